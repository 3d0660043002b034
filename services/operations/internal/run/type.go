package run

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Type is an entry of the allow-list of run types.
type Type struct {
	Name           string
	Label          string
	Owner          string // the only service that may start, begin or complete it
	Lease          time.Duration
	MaxAttempts    int
	QueueDeadline  time.Duration
	CancelDeadline time.Duration
	RetentionDays  int
	KeepAtLeast    int      // the newest completed runs of a workspace that age does not remove
	KeepNewest     bool     // nor the newest completed run of each identity
	SearchKeys     []string // context keys that become labels
}

// Types is the allow-list, by name.
type Types map[string]Type

// DefaultTypes answers the allow-list with the settings of a new installation.
func DefaultTypes() Types {
	list := []Type{
		{Name: "inventory_sync", Label: "Inventory sync", Owner: "inventory", SearchKeys: []string{"selection_hash", "sync_schedule_id"}},
		{Name: "drift_generate_findings", Label: "Drift detection", Owner: "inventory", SearchKeys: []string{"baseline_run_id", "current_run_id"}},
		{Name: "tenant_connection_check", Label: "Tenant connection check", Owner: "inventory"},
		{Name: "entra_group_sync", Label: "Entra group sync", Owner: "directory", SearchKeys: []string{"selection_key", "slot_key"}},
		{Name: "backup_schedule_run", Label: "Scheduled backup", Owner: "backup", SearchKeys: []string{"backup_schedule_id", "backup_set_id"}},
		{Name: "backup_schedule_retention", Label: "Backup retention", Owner: "backup", SearchKeys: []string{"backup_schedule_id"}},
		{Name: "backup_schedule_purge", Label: "Backup purge", Owner: "backup", SearchKeys: []string{"backup_schedule_id"}},
		{Name: "backup_verify", Label: "Backup verification", Owner: "backup", SearchKeys: []string{"backup_set_id"}},
		{Name: "restore_preview", Label: "Restore preview", Owner: "restore", SearchKeys: []string{"restore_run_id", "backup_set_id"}},
		{Name: "restore_execute", Label: "Restore", Owner: "restore", SearchKeys: []string{"restore_run_id", "backup_set_id"}},
	}
	types := Types{}
	for _, t := range list {
		t.Lease, t.MaxAttempts = 20*time.Second, 3
		t.QueueDeadline, t.CancelDeadline = time.Hour, 2*time.Minute
		t.RetentionDays, t.KeepAtLeast, t.KeepNewest = 90, 100, true
		types[t.Name] = t
	}
	return types
}

// override is what an installation may set per type; absent keeps the default.
type override struct {
	Lease          *duration `json:"lease"`
	MaxAttempts    *int      `json:"max_attempts"`
	QueueDeadline  *duration `json:"queue_deadline"`
	CancelDeadline *duration `json:"cancel_deadline"`
	RetentionDays  *int      `json:"retention_days"`
	KeepAtLeast    *int      `json:"keep_at_least"`
	// KeepNewest is for types whose identities name single occasions, of which
	// the newest run is the only one: true keeps those for ever.
	KeepNewest *bool `json:"keep_newest"`
}

// With answers t with the settings in overrides, a JSON object by type name,
// for example {"inventory_sync": {"lease": "30s", "max_attempts": 5}}.
func (t Types) With(overrides string) (Types, error) {
	var set map[string]override
	if err := json.Unmarshal([]byte(cmp.Or(overrides, "{}")), &set); err != nil {
		return nil, fmt.Errorf("run types: %w", err)
	}
	types := maps.Clone(t)
	for name, o := range set {
		typ, ok := types[name]
		if !ok {
			return nil, fmt.Errorf("run types: %q is not a run type", name)
		}
		o.apply(&typ)
		if err := typ.check(); err != nil {
			return nil, fmt.Errorf("run types: %s: %w", name, err)
		}
		types[name] = typ
	}
	return types, nil
}

func (o override) apply(t *Type) {
	set(&t.Lease, (*time.Duration)(o.Lease))
	set(&t.MaxAttempts, o.MaxAttempts)
	set(&t.QueueDeadline, (*time.Duration)(o.QueueDeadline))
	set(&t.CancelDeadline, (*time.Duration)(o.CancelDeadline))
	set(&t.RetentionDays, o.RetentionDays)
	set(&t.KeepAtLeast, o.KeepAtLeast)
	set(&t.KeepNewest, o.KeepNewest)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (t Type) check() error {
	switch {
	case t.Lease < 100*time.Millisecond:
		return fmt.Errorf("lease %s is shorter than 100ms", t.Lease)
	case t.MaxAttempts < 1:
		return fmt.Errorf("max_attempts %d is less than 1", t.MaxAttempts)
	case t.QueueDeadline <= 0 || t.CancelDeadline <= 0:
		return fmt.Errorf("deadlines must be positive")
	case t.RetentionDays < 30:
		return fmt.Errorf("retention_days %d is less than 30: request ids must outlive their callers' retries", t.RetentionDays)
	case t.KeepAtLeast < 0:
		return fmt.Errorf("keep_at_least %d is negative", t.KeepAtLeast)
	}
	return nil
}

// Get answers the type named name.
func (t Types) Get(name string) (Type, error) {
	if typ, ok := t[name]; ok {
		return typ, nil
	}
	return Type{}, errs.Invalid("type", "%q is not a run type; ask ListRunTypes for the names", name)
}

// OwnedBy answers the names of the types service owns, sorted.
func (t Types) OwnedBy(service string) []string {
	var names []string
	for name, typ := range t {
		if typ.Owner == service {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// List answers every type by name.
func (t Types) List() []Type {
	return slices.SortedFunc(maps.Values(t), func(a, b Type) int { return cmp.Compare(a.Name, b.Name) })
}

// duration reads Go's form of durations, "20s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}
