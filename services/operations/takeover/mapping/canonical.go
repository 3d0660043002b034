package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"strconv"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Canonical is a row of the legacy operation_runs.
type Canonical struct {
	Row
	LegacyTenantID *int64
	InitiatorName  *string
	LegacyType     string
	Type           string  // the canonical type; empty if the row stays behind
	Trigger        *string // the trigger that the legacy type implies
	Outcome        *string
	IdentityHash   *string
	SummaryCounts  json.RawMessage
	FailureSummary json.RawMessage
	Context        json.RawMessage
}

// Map returns the run that r becomes. Its type and tenant have other names now, so its
// identity is computed anew, if its context holds the inputs.
func (r Canonical) Map(t Takeover) Run {
	failures, odd := normalFailures(r.FailureSummary)
	m, from := t.run(r.Row, "operation_runs", r.Type, r.word(), failures)
	m.InitiatorName = named(r.InitiatorName, named(r.UserName, "system"))
	if odd {
		from.Failures = r.FailureSummary
	}
	if m.SummaryCounts, odd = normalCounts(r.SummaryCounts); odd {
		from.Counts = r.SummaryCounts
	}
	doc := r.context(t)
	inputs, known := r.inputs(doc, t.Zone)
	lost := r.LegacyTenantID != nil && r.TenantID == nil
	if known && !lost {
		m.IdentityHash = run.Identity(r.TenantID, r.Type, inputs)
	} else {
		m.IdentityHash, from.Notes = r.oldHash(), append(from.Notes, "hash_kept")
	}
	if lost {
		from.Notes = append(from.Notes, "tenant_missing")
	}
	m.Context = r.withOrigin(doc, from)
	return m
}

// word returns the status by which r is judged: the outcome, if the run is completed.
func (r Canonical) word() string {
	status, outcome := word(r.Status), word(r.Outcome)
	switch {
	case status != "completed":
		return status
	case outcomes[outcome] == run.Pending:
		return ""
	}
	return outcome
}

func (r Canonical) withOrigin(doc map[string]any, from origin) map[string]any {
	status := text(r.Status) + "/" + text(r.Outcome)
	from.Status, from.Type = &status, r.LegacyType
	if earlier, ok := doc["legacy"]; ok {
		from.Earlier, _ = json.Marshal(earlier)
	}
	whole := decode(r.Context)
	if _, object := whole.(map[string]any); !object && whole != nil {
		from.Context = r.Context
	}
	ctx := maps.Clone(doc)
	if r.Trigger != nil {
		ctx["trigger"] = *r.Trigger
	}
	ctx["legacy"] = contextOf(from)
	return ctx
}

// context returns r's context, with the offset added to the ids of runs in it.
func (r Canonical) context(t Takeover) map[string]any {
	doc, ok := decode(r.Context).(map[string]any)
	if !ok {
		return map[string]any{}
	}
	if r.Type != "drift_generate_findings" || t.RunBase == 0 {
		return doc
	}
	t.move(doc)
	if inputs, ok := doc["inputs"].(map[string]any); ok {
		t.move(inputs)
	}
	return doc
}

func (t Takeover) move(doc map[string]any) {
	for _, key := range []string{"baseline_operation_run_id", "current_operation_run_id"} {
		n, ok := whole(doc[key])
		if !ok || n < 1 || n > t.LastRun {
			continue
		}
		id := strconv.FormatInt(n+t.RunBase, 10)
		if _, text := doc[key].(string); text {
			doc[key] = id
		} else {
			doc[key] = json.Number(id)
		}
	}
}

// inputs returns the inputs of r's identity, if its context holds them.
func (r Canonical) inputs(doc map[string]any, zone string) (string, bool) {
	switch r.Type {
	case "inventory_sync":
		return field(doc, "selection_hash")
	case "entra_group_sync":
		key, ok := field(doc, "selection_key")
		slot, _ := field(doc, "slot_key")
		return key + ":" + slot, ok
	case "drift_generate_findings":
		baseline, ok := field(doc, "baseline_operation_run_id")
		current, too := field(doc, "current_operation_run_id")
		return baseline + ":" + current, ok && too
	case "backup_schedule_run":
		schedule, ok := field(doc, "backup_schedule_id")
		at, _ := field(doc, "scheduled_for")
		at, too := utc(at, zone)
		return schedule + ":" + at, ok && too
	case "backup_schedule_retention", "backup_schedule_purge":
		return field(doc, "backup_schedule_id")
	case "backup_verify":
		return field(doc, "backup_set_id")
	case "restore_preview", "restore_execute":
		return field(doc, "restore_run_id")
	case "tenant_connection_check":
		return "", true
	}
	return "", false
}

// field returns a string or number of a context or else of its inputs, in the way labels are
// made.
func field(doc map[string]any, key string) (string, bool) {
	v, ok := doc[key]
	if !ok {
		inputs, _ := doc["inputs"].(map[string]any)
		v = inputs[key]
	}
	switch v := v.(type) {
	case string:
		return v, v != ""
	case json.Number:
		return v.String(), true
	}
	return "", false
}

var timeInUTC = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})([.][0-9]+)?(Z|[+]00:?00)?$`)

// utc returns a time in the format of identity inputs, if it is in UTC.
func utc(at, zone string) (string, bool) {
	m := timeInUTC.FindStringSubmatch(at)
	if m == nil || m[4] == "" && zone != "UTC" {
		return "", false
	}
	return m[1] + "T" + m[2] + "+00:00", true
}

// oldHash returns the identity hash that r had.
func (r Canonical) oldHash() []byte {
	old := text(r.IdentityHash)
	if sum, err := hex.DecodeString(old); err == nil && len(sum) == sha256.Size {
		return sum
	}
	sum := sha256.Sum256([]byte(old))
	return sum[:]
}
