// Package report is what a stage reports: checks that must hold, findings that stop
// nothing, and tables. It knows no database.
package report

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Report is what one run of a stage did, or, as a plan, would do.
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

// Check is a statement that must hold for the stage to pass.
type Check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail,omitempty"` // what was found, and what to do
}

// Finding is something an operator should know, and that stops nothing.
type Finding struct {
	Code    string   `json:"code"` // for programs, such as "dangling_link"
	Source  string   `json:"source,omitempty"`
	Message string   `json:"message"`
	Count   int64    `json:"count"`
	Samples []string `json:"samples,omitempty"` // ids or values
}

// Table is a table of numbers or words.
type Table struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// New begins the report of a stage.
func New(stage string, plan bool, options map[string]string, at time.Time) *Report {
	return &Report{Stage: stage, Plan: plan, Began: at, Options: options, Checks: []Check{}, Findings: []Finding{}, Tables: []*Table{}}
}

// Check adds a check.
func (r *Report) Check(name string, passed bool, detail string, args ...any) {
	r.Checks = append(r.Checks, Check{Name: name, Passed: passed, Detail: fmt.Sprintf(detail, args...)})
}

// Find adds a finding, unless its count is 0.
func (r *Report) Find(f Finding) {
	if f.Count > 0 {
		r.Findings = append(r.Findings, f)
	}
}

// Table adds an empty table, and returns it.
func (r *Report) Table(title string, columns ...string) *Table {
	t := &Table{Title: title, Columns: columns, Rows: [][]any{}}
	r.Tables = append(r.Tables, t)
	return t
}

// Row adds a row.
func (t *Table) Row(cells ...any) { t.Rows = append(t.Rows, cells) }

// Holds reports whether all checks so far hold.
func (r *Report) Holds() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Passed })
}

// ErrNotPassed means that a check does not hold; the report says which.
var ErrNotPassed = errors.New("the stage has not passed: see the checks in its report")

// End ends the report with the error of the stage, if any, and returns that error, or
// [ErrNotPassed] if a check does not hold.
func (r *Report) End(at time.Time, err error) error {
	r.Ended, r.Passed = at, err == nil && r.Holds()
	switch {
	case err != nil:
		r.Error = err.Error()
		return err
	case !r.Passed:
		return ErrNotPassed
	}
	return nil
}
