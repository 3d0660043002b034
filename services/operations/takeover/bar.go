package takeover

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// redraw is how long a bar stays as it is: rows pass faster than it is drawn.
const redraw = 100 * time.Millisecond

// bar shows how far a pass over total rows is; -1 stands for a number that nobody
// knows. Where there is nothing to do, or nobody looks, such as in a log, it is not drawn.
func (t *Tool) bar(label string, total int64) *progressbar.ProgressBar {
	file, ok := t.out.(*os.File)
	seen := total != 0 && ok && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(t.out), progressbar.OptionSetVisibility(seen),
		progressbar.OptionSetDescription(label), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(redraw), progressbar.OptionOnCompletion(func() { _, _ = t.out.Write([]byte("\n")) }))
}
