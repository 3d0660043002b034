package workspace

import (
	"fmt"
	"strings"
	"unicode"
)

// Outcome is how an imported object came to be here.
type Outcome int

// The outcomes.
const (
	Created Outcome = iota + 1
	Found           // imported before
	Adopted         // made here before, and imported now
)

// LegacyName makes a name of what an older installation called text, which may
// have had other rules: nothing is refused for its name. What has none is
// called by its kind and id.
func LegacyName(kind, text string, id int64) string {
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if name := cut(line, maxName); name != "" {
		return name
	}
	return Apart(kind, id)
}

// Apart tells the imported object of that id from another of its name.
func Apart(name string, id int64) string {
	suffix := fmt.Sprintf(" (legacy %d)", id)
	return cut(name, maxName-len(suffix)) + suffix
}

// cut is at most the first n characters of text, without blanks around them.
func cut(text string, n int) string {
	text = strings.TrimSpace(text)
	if all := []rune(text); len(all) > n {
		text = strings.TrimSpace(string(all[:n]))
	}
	return text
}
