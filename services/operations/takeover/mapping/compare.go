package mapping

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"time"
)

// Differences returns the columns in which stored differs from m, sorted.
func (m Run) Differences(stored Run) []string {
	var columns []string
	for column, same := range map[string]bool{
		"id":                m.ID == stored.ID,
		"workspace_id":      equal(m.WorkspaceID, stored.WorkspaceID),
		"tenant_id":         equal(m.TenantID, stored.TenantID),
		"user_id":           equal(m.UserID, stored.UserID),
		"initiator_name":    m.InitiatorName == stored.InitiatorName,
		"type":              m.Type == stored.Type,
		"status":            m.Status == stored.Status,
		"outcome":           m.Outcome == stored.Outcome,
		"run_identity_hash": bytes.Equal(m.IdentityHash, stored.IdentityHash),
		"summary_counts":    maps.Equal(m.SummaryCounts, stored.SummaryCounts),
		"failure_summary":   slices.Equal(m.FailureSummary, stored.FailureSummary),
		"context":           sameValue(m.Context, stored.Context),
		"started_at":        sameTime(m.StartedAt, stored.StartedAt),
		"completed_at":      sameTime(m.CompletedAt, stored.CompletedAt),
		"created_at":        m.CreatedAt.Equal(stored.CreatedAt),
		"updated_at":        m.UpdatedAt.Equal(stored.UpdatedAt),
	} {
		if !same {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	return columns
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func sameTime(a, b *time.Time) bool {
	return a == b || a != nil && b != nil && a.Equal(*b)
}

// sameValue compares decoded JSON; equal numbers may be written differently.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValue)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	}
	return a == b
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, ok := new(big.Rat).SetString(a.String())
	y, too := new(big.Rat).SetString(b.String())
	return ok && too && x.Cmp(y) == 0
}

// Stored is a run as it is read from the operations database; see [Stored.Decoded].
type Stored struct {
	Run
	Counts, Failures, Text []byte // summary_counts, failure_summary and context
}

// Decoded returns the run with its documents decoded. If a count or a failure has the wrong
// kind, the run differs from every other.
func (s Stored) Decoded() (Run, error) {
	r := s.Run
	if err := json.Unmarshal(s.Counts, &r.SummaryCounts); err != nil {
		return r, err
	}
	if err := json.Unmarshal(s.Failures, &r.FailureSummary); err != nil {
		return r, err
	}
	r.Context, _ = decode(s.Text).(map[string]any)
	return r, nil
}
