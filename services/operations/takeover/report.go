package takeover

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"time"
)

// Report is what a stage did, or would do, for people and for programs.
type Report struct {
	Stage    string            `json:"stage"`
	Plan     bool              `json:"plan"` // nothing was changed
	Began    time.Time         `json:"began"`
	Ended    time.Time         `json:"ended"`
	Error    string            `json:"error,omitempty"`
	Passed   bool              `json:"passed"` // no error, and every check holds
	Options  map[string]string `json:"options,omitempty"`
	Checks   []Check           `json:"checks"`
	Findings []Finding         `json:"findings"`
	Tables   []*Table          `json:"tables"`
}

// Check is a statement that must hold for the stage to have passed.
type Check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail,omitempty"` // what was found, what to do
}

// Finding is something an operator should know that stops nothing.
type Finding struct {
	Code    string   `json:"code"` // for programs: "dangling_link"
	Source  string   `json:"source,omitempty"`
	Message string   `json:"message"`
	Count   int64    `json:"count"`
	Samples []string `json:"samples,omitempty"` // ids, or values
}

// Table is a table of numbers or words.
type Table struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

func (r *Report) check(name string, passed bool, detail string, args ...any) {
	r.Checks = append(r.Checks, Check{Name: name, Passed: passed, Detail: fmt.Sprintf(detail, args...)})
}

func (r *Report) find(f Finding) {
	if f.Count > 0 {
		r.Findings = append(r.Findings, f)
	}
}

func (r *Report) table(title string, columns ...string) *Table {
	t := &Table{Title: title, Columns: columns, Rows: [][]any{}}
	r.Tables = append(r.Tables, t)
	return t
}

func (t *Table) row(cells ...any) { t.Rows = append(t.Rows, cells) }

// errNotPassed says that the report has the reasons.
var errNotPassed = errors.New("the stage has not passed: see the checks in its report")

func (r *Report) end(at time.Time, err error) error {
	r.Ended, r.Passed = at, err == nil
	for _, c := range r.Checks {
		r.Passed = r.Passed && c.Passed
	}
	switch {
	case err != nil:
		r.Error = err.Error()
		return err
	case !r.Passed:
		return errNotPassed
	}
	return nil
}

const beginStage = `-- takeover.beginStage
	insert into tenantpilot_takeover.stage (name, began_at) values ($1, now())
	on conflict (name) do update set began_at = now(), ended_at = null, report = null`

const endStage = `-- takeover.endStage
	update tenantpilot_takeover.stage set ended_at = now(), report = $2 where name = $1`

// run takes a stage from begin to report. A stage counts as done when it passed,
// and not as planned.
func (t *Tool) run(ctx context.Context, stage string, plan bool, options map[string]string, do func(context.Context, *Report) error) (*Report, error) {
	r := &Report{Stage: stage, Plan: plan, Began: t.now().UTC(), Options: options, Checks: []Check{}, Findings: []Finding{}, Tables: []*Table{}}
	if !plan {
		if _, err := t.legacy.Exec(ctx, beginStage, stage); err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
	err := r.end(t.now().UTC(), do(ctx, r))
	r.Ended = t.now().UTC()
	if err == nil && !plan {
		_, err = t.legacy.Exec(ctx, endStage, stage, r)
	}
	return r, errors.Join(err, t.write(r))
}

const stagePassed = `-- takeover.stagePassed
	select exists (select from tenantpilot_takeover.stage where name = $1 and ended_at is not null)`

// requires fails unless stage has passed since it last began.
func (t *Tool) requires(ctx context.Context, stage string) error {
	var passed bool
	if err := t.legacy.QueryRow(ctx, stagePassed, stage).Scan(&passed); err != nil {
		return err
	}
	if !passed {
		return fmt.Errorf("%s comes first: run it to its end", stage)
	}
	return nil
}

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// write puts the report into the folder of reports, as JSON and as a page.
func (t *Tool) write(r *Report) error {
	if err := os.MkdirAll(t.cfg.Reports, 0o700); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	name := r.Began.Format("20060102T150405Z") + "-" + r.Stage
	if r.Plan {
		name += "-plan"
	}
	path := filepath.Join(t.cfg.Reports, name)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	page, err := os.OpenFile(path+".html", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer page.Close()
	if err := errors.Join(os.WriteFile(path+".json", append(data, '\n'), 0o600), reportTemplate.Execute(page, r)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(t.out, "report: %s.html\n", path)
	return nil
}
