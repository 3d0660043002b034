package mapping

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// InventorySync is a row of inventory_sync_runs.
type InventorySync struct {
	Row
	SelectionHash    *string
	SelectionPayload json.RawMessage
	ErrorCodes       json.RawMessage
	Observed         *int64
	Upserted         *int64
	Errors           *int64
}

// Map returns the run that r becomes.
func (r InventorySync) Map(t Takeover) Run {
	const typ = "inventory_sync"
	m, from := t.run(r.Row, "inventory_sync_runs", typ, word(r.Status), coded(r.ErrorCodes))
	m.InitiatorName = named(r.UserName, "system")
	m.IdentityHash = run.Identity(r.TenantID, typ, text(r.SelectionHash))
	m.SummaryCounts = map[string]int64{"total": positive(r.Observed), "succeeded": positive(r.Upserted), "failed": positive(r.Errors)}
	m.Context = contextOf(map[string]any{
		"inputs":            map[string]any{"selection_hash": r.SelectionHash},
		"selection_payload": r.SelectionPayload,
		"legacy":            from,
	})
	return m
}

// GroupSync is a row of entra_group_sync_runs.
type GroupSync struct {
	Row
	SelectionKey  *string
	SlotKey       *string
	ErrorCode     *string
	ErrorCategory *string
	ErrorSummary  *string
	Stopped       *bool
	StopReason    *string
	Pages         *int64
	Observed      *int64
	Upserted      *int64
	Errors        *int64
}

// Map returns the run that r becomes.
func (r GroupSync) Map(t Takeover) Run {
	const typ = "entra_group_sync"
	m, from := t.run(r.Row, "entra_group_sync_runs", typ, word(r.Status), failed(r.ErrorCode, r.ErrorCategory, r.ErrorSummary))
	m.InitiatorName = named(r.UserName, "scheduler")
	m.IdentityHash = run.Identity(r.TenantID, typ, text(r.SelectionKey)+":"+text(r.SlotKey))
	m.SummaryCounts = map[string]int64{
		"total": positive(r.Observed), "succeeded": positive(r.Upserted), "failed": positive(r.Errors), "items": positive(r.Pages),
	}
	m.Context = contextOf(map[string]any{
		"inputs":      map[string]any{"selection_key": r.SelectionKey, "slot_key": r.SlotKey},
		"safety_stop": map[string]any{"triggered": r.Stopped, "reason": r.StopReason},
		"legacy":      from,
	})
	return m
}

// ScheduleRun is a row of backup_schedule_runs.
type ScheduleRun struct {
	Row
	ScheduleID   *int64
	SetID        *int64
	ScheduledFor *time.Time
	Summary      json.RawMessage
	ErrorCode    *string
	ErrorMessage *string
}

// Map returns the run that r becomes. It does not know which runs were started by hand.
func (r ScheduleRun) Map(t Takeover) Run {
	const typ = "backup_schedule_run"
	m, from := t.run(r.Row, "backup_schedule_runs", typ, word(r.Status), failed(r.ErrorCode, nil, r.ErrorMessage))
	m.InitiatorName = named(r.UserName, "scheduler")
	m.IdentityHash = run.Identity(r.TenantID, typ, number(r.ScheduleID)+":"+text(written(r.ScheduledFor)))
	summary, _ := decode(r.Summary).(map[string]any)
	m.SummaryCounts = map[string]int64{
		"total": orZero(summary["total_policies"]), "succeeded": orZero(summary["backed_up"]), "failed": orZero(summary["errors"]),
	}
	m.Context = contextOf(map[string]any{
		"inputs":        map[string]any{"backup_schedule_id": r.ScheduleID, "scheduled_for": written(r.ScheduledFor)},
		"backup_set_id": r.SetID,
		"trigger":       "scheduled",
		"legacy":        from,
	})
	return m
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// Restore is a row of restore_runs.
type Restore struct {
	Row
	SetID         *int64
	RequestedBy   *string
	DryRun        *bool
	Results       json.RawMessage
	FailureReason *string
	DeletedAt     *time.Time
}

// Executed reports whether somebody asked to execute r; if not, it becomes no run.
func (r Restore) Executed() bool { return !wizard[word(r.Status)] }

// Map returns the run that r becomes. The row has only the name of the person who asked for
// it; Map guesses no user from that.
func (r Restore) Map(t Takeover) Run {
	const typ = "restore_execute"
	var reasons []Failure
	if text(r.FailureReason) != "" {
		reasons = []Failure{{Code: "restore.failed", ReasonCode: "unknown", Message: cut(*r.FailureReason, longestMessage)}}
	}
	m, from := t.run(r.Row, "restore_runs", typ, word(r.Status), reasons)
	from.Deleted = text(written(r.DeletedAt))
	m.UserID, m.InitiatorName = nil, named(r.RequestedBy, "system")
	m.IdentityHash = run.Identity(r.TenantID, typ, strconv.FormatInt(r.ID, 10))
	m.SummaryCounts = restored(r.Results)
	m.Context = contextOf(map[string]any{
		"inputs":     map[string]any{"restore_run_id": r.ID, "backup_set_id": r.SetID},
		"is_dry_run": r.DryRun,
		"legacy":     from,
	})
	return m
}

// restored counts the items of a restore.
func restored(results json.RawMessage) map[string]int64 {
	var total, ok int64
	for _, item := range items(decode(results)) {
		total++
		if succeeded(item) {
			ok++
		}
	}
	return map[string]int64{"total": total, "succeeded": ok, "failed": total - ok}
}

func items(results any) []any {
	if object, ok := results.(map[string]any); ok {
		results = object["items"]
	}
	switch list := results.(type) {
	case []any:
		return list
	case map[string]any:
		var all []any
		for _, item := range list {
			all = append(all, item)
		}
		return all
	}
	return nil
}

// succeededWords are the statuses of items that were restored.
var succeededWords = map[string]bool{
	"ok": true, "success": true, "succeeded": true, "applied": true, "created": true, "updated": true, "completed": true,
	"done": true, "unchanged": true, "dryrun": true,
}

func succeeded(item any) bool {
	if object, ok := item.(map[string]any); ok {
		for _, key := range []string{"ok", "success", "status"} {
			if object[key] != nil {
				item = object[key]
				break
			}
		}
	}
	switch said := item.(type) {
	case bool:
		return said
	case string:
		return succeededWords[word(&said)]
	}
	return false
}
