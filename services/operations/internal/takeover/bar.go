package takeover

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows how far a pass over total rows is. Where nobody looks, such as in a
// log, it is not drawn.
func (t *Tool) bar(label string, total int64) *progressbar.ProgressBar {
	file, ok := t.out.(*os.File)
	seen := ok && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(t.out), progressbar.OptionSetVisibility(seen),
		progressbar.OptionSetDescription(label), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionOnCompletion(func() { _, _ = t.out.Write([]byte("\n")) }))
}
