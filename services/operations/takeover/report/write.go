package report

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// Write writes the report into a folder, as JSON and as a page, and returns the path
// of the page.
func (r *Report) Write(folder string) (string, error) {
	name := r.Stage
	if r.Plan {
		name += "-plan"
	}
	page, err := r.Create(folder, name+".html")
	if err != nil {
		return "", err
	}
	defer page.Close()
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	beside := strings.TrimSuffix(page.Name(), ".html") + ".json"
	if err := errors.Join(os.WriteFile(beside, append(data, '\n'), 0o600), reportTemplate.Execute(page, r)); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return page.Name(), nil
}

// Create creates a file in the folder of reports, whose name begins with the time of
// the report.
func (r *Report) Create(folder, name string) (*os.File, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	path := filepath.Join(folder, r.Began.Format("20060102T150405Z")+"-"+name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return file, nil
}

// Print prints the report for a person.
func (r *Report) Print(out io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintf(out, "found: %s: %d", f.Message, f.Count)
		if f.Source != "" {
			fmt.Fprintf(out, " in %s", f.Source)
		}
		if len(f.Samples) > 0 {
			fmt.Fprintf(out, ", such as %s", strings.Join(f.Samples, ", "))
		}
		fmt.Fprintln(out)
	}
	for _, t := range r.Tables {
		t.print(out)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(out, "%s: %s: %s\n", map[bool]string{true: "holds", false: "FAILS"}[c.Passed], c.Name, c.Detail)
	}
}

func (t *Table) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s\n", t.Title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  "+strings.Join(t.Columns, "\t"))
	for _, row := range t.Rows {
		fmt.Fprintf(w, "  "+strings.TrimSuffix(strings.Repeat("%v\t", len(row)), "\t")+"\n", row...)
	}
	_ = w.Flush()
}
