package kind

import (
	"fmt"
	"slices"
	"strings"
)

// Expansion is one navigation property of $expand, with those inside it.
type Expansion struct {
	Name   string
	Expand []Expansion
}

// Refusal is the text of the error for a bad request.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// ParseExpand reads a,b($expand=c;$select=d); a nested $select is ignored.
func ParseExpand(s string) ([]Expansion, error) {
	var out []Expansion
	for part := range slices.Values(outside(s, ',')) {
		name, inner, nested := strings.Cut(strings.TrimSpace(part), "(")
		x := Expansion{Name: name}
		if nested {
			inner, closed := strings.CutSuffix(inner, ")")
			if !closed {
				return nil, Refusal(fmt.Sprintf("Parsing OData Select and Expand failed: unbalanced parentheses in '%s'.", s))
			}
			for _, option := range outside(inner, ';') {
				if more, ok := strings.CutPrefix(strings.TrimSpace(option), "$expand="); ok {
					var err error
					if x.Expand, err = ParseExpand(more); err != nil {
						return nil, err
					}
				}
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// outside splits s at sep where no parenthesis is open.
func outside(s string, sep rune) []string {
	var out []string
	depth, from := 0, 0
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case sep:
			if depth == 0 {
				out = append(out, s[from:i])
				from = i + 1
			}
		}
	}
	return append(out, s[from:])
}
