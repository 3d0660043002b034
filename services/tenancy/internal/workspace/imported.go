package workspace

import (
	"fmt"
	"strings"
	"unicode"
)

// Outcome is what an import did with an object.
type Outcome int

// The outcomes.
const (
	Created Outcome = iota + 1
	Found           // imported before
	Adopted         // made here before, and imported now
)

// LegacyName turns the name that an object has in an older installation into one
// that is allowed here. Nothing is refused for its name, since that installation may
// have had other rules. An object without a name is named by its kind and id.
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

// Apart returns the name with the legacy id behind it, which tells an imported object
// from another one with the same name.
func Apart(name string, id int64) string {
	suffix := fmt.Sprintf(" (legacy %d)", id)
	return cut(name, maxName-len(suffix)) + suffix
}

// cut returns at most the first n characters of text, without blanks around them.
func cut(text string, n int) string {
	text = strings.TrimSpace(text)
	if all := []rune(text); len(all) > n {
		text = strings.TrimSpace(string(all[:n]))
	}
	return text
}
