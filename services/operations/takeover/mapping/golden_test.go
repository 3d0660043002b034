package mapping_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/mapping"
)

var update = flag.Bool("update", false, "write the golden files")

// golden is a run in the format of a golden file.
type golden struct {
	ID             int64             `json:"id"`
	WorkspaceID    *int64            `json:"workspace_id"`
	TenantID       *int64            `json:"tenant_id"`
	UserID         *int64            `json:"user_id"`
	InitiatorName  string            `json:"initiator_name"`
	Type           string            `json:"type"`
	Status         string            `json:"status"`
	Outcome        string            `json:"outcome"`
	IdentityHash   string            `json:"run_identity_hash"`
	SummaryCounts  map[string]int64  `json:"summary_counts"`
	FailureSummary []mapping.Failure `json:"failure_summary"`
	Context        map[string]any    `json:"context"`
	StartedAt      *time.Time        `json:"started_at"`
	CompletedAt    *time.Time        `json:"completed_at"`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at"`
}

func shown(r mapping.Run) golden {
	return golden{
		r.ID, r.WorkspaceID, r.TenantID, r.UserID, r.InitiatorName, r.Type, string(r.Status), string(r.Outcome),
		hex.EncodeToString(r.IdentityHash), r.SummaryCounts, r.FailureSummary, r.Context, r.StartedAt, r.CompletedAt, r.CreatedAt, r.UpdatedAt,
	}
}

func at(minute int) *time.Time {
	t := time.Date(2026, 1, 5, 3, minute, 0, 0, time.UTC)
	return &t
}

// row returns a row that was last touched at ten minutes past three.
func row(status string) mapping.Row {
	return mapping.Row{
		ID: 7, Status: &status, WorkspaceID: new(int64(50)), TenantID: new(int64(60)), UserID: new(int64(70)), UserName: new("Ada Example"),
		StartedAt: at(1), FinishedAt: at(9), CreatedAt: at(0), UpdatedAt: at(10),
	}
}

// active returns a row that has not ended.
func active(status string) mapping.Row {
	r := row(status)
	r.FinishedAt = nil
	return r
}

var (
	fresh = mapping.Takeover{Zone: "UTC", Base: 1_000, Began: *at(30)}
	stale = mapping.Takeover{Zone: "UTC", Base: 1_000, Began: *at(30), StaleBefore: *at(20)}
)

// statuses are the statuses of each source, and an unknown one.
var statuses = map[string][]string{
	"inventory_sync_runs":   {"pending", "running", "success", "partial", "failed", "skipped", "exploded"},
	"entra_group_sync_runs": {"pending", "running", "succeeded", "failed", "partial", "exploded"},
	"backup_schedule_runs":  {"running", "success", "partial", "failed", "canceled", "skipped", "exploded"},
	"restore_runs": {"queued", "running", "completed", "partial", "failed", "cancelled", "aborted", "completed_with_errors",
		"CompletedWithErrors", "exploded"},
}

func mapped(source string, r mapping.Row, t mapping.Takeover) mapping.Run {
	switch source {
	case "inventory_sync_runs":
		return mapping.InventorySync{
			Row: r, SelectionHash: new("a1b2"), SelectionPayload: json.RawMessage(`{"policy_types": ["settingsCatalogPolicy"]}`),
			ErrorCodes: json.RawMessage(`["graph_throttled", "graph_forbidden"]`),
			Observed:   new(int64(12)), Upserted: new(int64(10)), Errors: new(int64(2)),
		}.Map(t)
	case "entra_group_sync_runs":
		return mapping.GroupSync{
			Row: r, SelectionKey: new("groups-v1:all"), SlotKey: new("202601050300Z"),
			ErrorCode: new("graph_throttled"), ErrorCategory: new("throttled"), ErrorSummary: new("Too many requests"),
			Stopped: new(true), StopReason: new("page_limit"),
			Pages: new(int64(3)), Observed: new(int64(12)), Upserted: new(int64(10)), Errors: new(int64(2)),
		}.Map(t)
	case "backup_schedule_runs":
		return mapping.ScheduleRun{
			Row: r, ScheduleID: new(int64(5)), SetID: new(int64(9)), ScheduledFor: at(0),
			Summary:   json.RawMessage(`{"total_policies": 12, "backed_up": "10", "errors": 2.9}`),
			ErrorCode: new("BACKUP_FAILED"), ErrorMessage: new("It went wrong"),
		}.Map(t)
	default:
		return mapping.Restore{
			Row: r, SetID: new(int64(9)), RequestedBy: new("Sam Same"), DryRun: new(false),
			Results:       json.RawMessage(`{"items": [{"ok": true}, {"status": "applied"}, {"ok": false}]}`),
			FailureReason: new("It went wrong"),
		}.Map(t)
	}
}

func TestEveryStatusOfEverySourceBecomesWhatItShould(t *testing.T) {
	t.Parallel()
	for source, all := range statuses {
		runs := map[string]golden{}
		for _, status := range all {
			runs[status] = shown(mapped(source, row(status), fresh))
			if r := mapped(source, active(status), fresh); r.CompletedAt == nil {
				runs[status] = shown(r)
				runs[status+", given up"] = shown(mapped(source, active(status), stale))
			} else {
				runs[status+", without an end"] = shown(r)
			}
		}
		compare(t, source, runs)
	}
}

func TestWizardStatesOfRestoresAreNoRuns(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"draft", "scoped", "checked", "previewed", "pending", "Draft", "PENDING"} {
		require.False(t, mapping.Restore{Row: row(status)}.Executed(), status)
	}
	for _, status := range statuses["restore_runs"] {
		require.True(t, mapping.Restore{Row: row(status)}.Executed(), status)
	}
}

// canonical are rows of the legacy operation_runs, by what is special about them.
var canonical = map[string]mapping.Canonical{
	"queued":               {LegacyType: "inventory.sync", Type: "inventory_sync", Row: active("queued"), Outcome: new("pending")},
	"running":              {LegacyType: "inventory.sync", Type: "inventory_sync", Row: active("running"), Outcome: new("pending")},
	"succeeded":            {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("completed"), Outcome: new("succeeded")},
	"partially_succeeded":  {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("completed"), Outcome: new("partially_succeeded")},
	"failed":               {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("completed"), Outcome: new("failed")},
	"cancelled":            {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("completed"), Outcome: new("cancelled")},
	"completed or not":     {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("completed"), Outcome: new("pending")},
	"unknown status":       {LegacyType: "inventory.sync", Type: "inventory_sync", Row: row("exploded"), Outcome: new("succeeded")},
	"sync":                 {LegacyType: "inventory.sync", Type: "inventory_sync", Context: []byte(`{"inputs": {"selection_hash": "a1"}}`)},
	"groups":               {LegacyType: "directory_groups.sync", Type: "entra_group_sync", Context: []byte(`{"selection_key": "all", "slot_key": null}`)},
	"drift":                {LegacyType: "drift.generate", Type: "drift_generate_findings", IdentityHash: new(strings.Repeat("d1", 32)), Context: []byte(`{"baseline_run_id": 3, "inputs": {"current_run_id": "4"}}`)},
	"drift of runs":        {LegacyType: "drift.generate", Type: "drift_generate_findings", Context: []byte(`{"baseline_run_id": 3, "baseline_operation_run_id": 13, "inputs": {"current_run_id": "4", "current_operation_run_id": "14"}}`)},
	"drift of half a run":  {LegacyType: "drift.generate", Type: "drift_generate_findings", IdentityHash: new(strings.Repeat("d2", 32)), Context: []byte(`{"inputs": {"baseline_operation_run_id": 13, "current_run_id": 4}}`)},
	"scheduled":            {LegacyType: "backup_schedule.scheduled", Type: "backup_schedule_run", Trigger: new("scheduled"), Context: []byte(`{"backup_schedule_id": 5, "scheduled_for": "2026-01-05T03:00:00.000000Z"}`)},
	"run now":              {LegacyType: "backup_schedule.run_now", Type: "backup_schedule_run", Trigger: new("run_now"), Context: []byte(`{"backup_schedule_id": 5}`)},
	"scheduled elsewhere":  {LegacyType: "backup_schedule.retry", Type: "backup_schedule_run", Trigger: new("retry"), Context: []byte(`{"backup_schedule_id": 5, "scheduled_for": "2026-01-05T03:00:00+02:00"}`)},
	"retention":            {LegacyType: "backup_schedule.retention", Type: "backup_schedule_retention", Context: []byte(`{"backup_schedule_id": 5}`)},
	"purge":                {LegacyType: "backup_schedule.purge", Type: "backup_schedule_purge", Context: []byte(`{"backup_schedule_id": 5}`)},
	"restore":              {LegacyType: "restore.execute", Type: "restore_execute", Context: []byte(`{"restore_run_id": 8}`)},
	"connection check":     {LegacyType: "tenant_connection_check", Type: "tenant_connection_check"},
	"tenant left behind":   {LegacyType: "restore.execute", Type: "restore_execute", LegacyTenantID: new(int64(1)), Context: []byte(`{"restore_run_id": 8}`)},
	"hash not hexadecimal": {LegacyType: "inventory.sync", Type: "inventory_sync", IdentityHash: new("not hexadecimal")},
	"context not object":   {LegacyType: "inventory.sync", Type: "inventory_sync", Context: []byte(`["a"]`)},
	"imported before":      {LegacyType: "inventory_sync", Type: "inventory_sync", Context: []byte(`{"legacy": {"source": "inventory_sync_runs", "id": 3}}`)},
	"odd documents":        {LegacyType: "inventory_sync", Type: "inventory_sync", SummaryCounts: []byte(`{"total": "7", "failed": -1, "items": {}}`), FailureSummary: []byte(`[{"code": 403}, "timeout", null, {"message": "x", "reason_code": 1}]`)},
	"whole failures": {
		LegacyType: "inventory_sync", Type: "inventory_sync", SummaryCounts: []byte(`{"total": 2.0, "failed": null}`),
		FailureSummary: []byte(`[{"code": "x", "reason_code": "throttled", "message": "m", "item": "policy-1", "retryable": true, "remediation": "Wait.", "request_id": "r1"}, {"code": "y", "item": null}]`),
	},
	"failures of other kinds": {
		LegacyType: "inventory_sync", Type: "inventory_sync",
		FailureSummary: []byte(`{"code": "x", "item": 7, "retryable": "yes", "remediation": "Wait.", "http_status": 429}`),
	},
}

func TestCanonicalRunsKeepWhatTheyCan(t *testing.T) {
	t.Parallel()
	moved := fresh
	moved.Base, moved.RunBase, moved.LastRun = 5_000_000, 5_000_000, 1_000_000
	runs := map[string]golden{}
	for name, r := range canonical {
		if r.Status == nil {
			r.Row, r.Outcome = row("completed"), new("succeeded")
		}
		if r.LegacyTenantID != nil {
			r.TenantID = nil
		}
		runs[name] = shown(r.Map(moved))
	}
	compare(t, "operation_runs", runs)
}

func compare(t *testing.T, name string, runs map[string]golden) {
	t.Helper()
	got, err := json.MarshalIndent(runs, "", "\t")
	require.NoError(t, err)
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")
}
