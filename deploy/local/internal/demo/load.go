package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// loadReport says what the simulator made of a folder.
type loadReport struct {
	Loaded   []struct{ Notes []string }
	Rejected []struct{ Path, Reason string }
	Totals   map[string]int
}

// LoadReport prints what the simulator made of the folder it was given: how
// many objects of each type, and every file it left out with the reason.
func LoadReport(ctx context.Context, client *http.Client, simulator string, out io.Writer) error {
	r, err := getLoadReport(ctx, client, simulator)
	if err != nil {
		return fmt.Errorf("load report: %w", err)
	}
	var types []string
	total, noted := 0, 0
	for _, name := range slices.Sorted(maps.Keys(r.Totals)) {
		types = append(types, fmt.Sprintf("%s %d", name, r.Totals[name]))
		total += r.Totals[name]
	}
	for _, each := range r.Loaded {
		if len(each.Notes) > 0 {
			noted++
		}
	}
	fmt.Fprintf(out, "loaded %d objects: %s\n", total, strings.Join(types, " · "))
	if noted > 0 {
		fmt.Fprintf(out, "  %d of them without an id or with one that another has: .data/log/graphsim.log names them\n", noted)
	}
	for i, each := range r.Rejected {
		if i == 0 {
			fmt.Fprintf(out, "left out %d:\n", len(r.Rejected))
		}
		fmt.Fprintf(out, "  %s: %s\n", each.Path, each.Reason)
	}
	return nil
}

func getLoadReport(ctx context.Context, client *http.Client, simulator string) (loadReport, error) {
	var r loadReport
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, simulator+"/_sim/load-report", nil)
	if err != nil {
		return r, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return r, json.NewDecoder(resp.Body).Decode(&r)
}
