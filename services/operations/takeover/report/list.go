package report

import (
	"fmt"
	"strings"
)

// Samples is how many ids or values a finding names at most.
const Samples = 5

// Listed is how many items a sentence names at most.
const Listed = 20

// List returns the items with commas between them, "none" if there are none.
func List(items []string) string {
	switch {
	case len(items) == 0:
		return "none"
	case len(items) > Listed:
		return fmt.Sprintf("%s and %d more", strings.Join(items[:Listed], ", "), len(items)-Listed)
	}
	return strings.Join(items, ", ")
}

// Some returns the first items as samples of a finding.
func Some[T any](items []T) []string {
	var samples []string
	for _, item := range items[:min(len(items), Samples)] {
		samples = append(samples, fmt.Sprint(item))
	}
	return samples
}
