package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report prints what a completed run did: its counts, the coverage by type and
// every failure with what to do about it.
func Report(out io.Writer, r Run, coverage []Coverage) {
	took := r.CompleteTime.Sub(r.CreateTime).Round(10 * time.Millisecond)
	fmt.Fprintf(out, "\nRun %d (%s): %s in %s\n", r.ID, r.Type, word(r.Outcome, "RUN_OUTCOME_"), took)
	fmt.Fprintf(out, "  %s\n\n", counts(r.SummaryCounts))
	table(out, coverage)
	for i, f := range r.FailureSummary {
		if i == 0 {
			fmt.Fprintln(out, "\nWhat went wrong")
		}
		failure(out, f)
	}
}

func counts(c map[string]count) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		words = append(words, fmt.Sprintf("%s %d", name, c[name]))
	}
	return strings.Join(words, " · ")
}

func table(out io.Writer, coverage []Coverage) {
	if len(coverage) == 0 {
		fmt.Fprintln(out, "  no policy type was read")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "policy type\tlisted\tread\tfailed\tnew\tupdated\tunchanged\tremoved\tcomplete\t")
	for _, c := range coverage {
		complete := "yes"
		if !c.Complete {
			complete = "NO"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n",
			c.Type, c.Listed, c.Read, c.Failed, c.Created, c.Updated, c.Unchanged, c.Removed, complete)
	}
	_ = w.Flush() // if the terminal fails there is nowhere to write the error
	for _, c := range coverage {
		if c.Message != "" {
			fmt.Fprintf(out, "  %s: %s\n", c.Type, c.Message)
		}
	}
}

func failure(out io.Writer, f Failure) {
	fmt.Fprintf(out, "  %s", strings.ToLower(strings.TrimPrefix(f.Reason, "FAILURE_REASON_")))
	if f.Item != "" {
		fmt.Fprintf(out, " %s", f.Item)
	}
	fmt.Fprintf(out, ": %s\n", f.Message)
	if f.Remediation != "" {
		fmt.Fprintf(out, "    → %s\n", f.Remediation)
	}
}
