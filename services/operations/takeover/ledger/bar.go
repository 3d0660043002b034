package ledger

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// redraw is the shortest time between two drawings of a bar.
const redraw = 100 * time.Millisecond

// Bar returns a progress bar for total rows; -1 means that their number is not known. It
// is drawn only on a terminal, and only if there is something to do.
func (l *Ledger) Bar(label string, total int64) *progressbar.ProgressBar {
	file, ok := l.out.(*os.File)
	visible := total != 0 && ok && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(l.out), progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(label), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(redraw), progressbar.OptionOnCompletion(func() { _, _ = l.out.Write([]byte("\n")) }))
}
