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

// Type is a run type with its settings.
type Type struct {
	Name           string
	Label          string
	Owner          string // the only service that may start, begin or complete its runs
	Lease          time.Duration
	MaxAttempts    int
	QueueDeadline  time.Duration
	CancelDeadline time.Duration
	RetentionDays  int
	KeepAtLeast    int      // of a workspace, so many of the newest completed runs are kept however old
	KeepNewest     bool     // the newest completed run of each identity is kept however old
	SearchKeys     []string // keys of the context that become labels
}

// Types are the run types there are, by name.
type Types map[string]Type

// DefaultTypes returns the run types with the settings of a new installation.
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

// override is what an installation may set for a type. Nil keeps the default.
type override struct {
	Lease          *duration `json:"lease"`
	MaxAttempts    *int      `json:"max_attempts"`
	QueueDeadline  *duration `json:"queue_deadline"`
	CancelDeadline *duration `json:"cancel_deadline"`
	RetentionDays  *int      `json:"retention_days"`
	KeepAtLeast    *int      `json:"keep_at_least"`
	// KeepNewest is worth setting to false for types with a new identity at each occasion,
	// such as backup_schedule_run, whose identity contains the time of its slot: every run
	// is the newest of its identity, and so true keeps all of them for ever.
	KeepNewest *bool `json:"keep_newest"`
}

// With returns the types of t with the settings of overrides, a JSON object by type name,
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

// Get returns the type called name.
func (t Types) Get(name string) (Type, error) {
	if typ, ok := t[name]; ok {
		return typ, nil
	}
	return Type{}, errs.Invalid("type", "%q is not a run type; ListRunTypes has the names", name)
}

// OwnedBy returns the names of the types that service owns, sorted.
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

// List returns all types, sorted by name.
func (t Types) List() []Type {
	return slices.SortedFunc(maps.Values(t), func(a, b Type) int { return cmp.Compare(a.Name, b.Name) })
}

// duration is a time.Duration that is written as "20s" in JSON.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}
