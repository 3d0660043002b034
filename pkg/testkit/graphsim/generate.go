package graphsim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"
)

// maker makes the objects of a generated tenant out of seed, kind and index
// alone: nothing is stored, and the same object always has the same bytes.
type maker struct {
	seed   uint64
	counts map[string]int
}

// share is a kind's part of a tenant of a given size; Microsoft's own maxima
// cap some. What is left over becomes configuration policies.
type share struct {
	kind    string
	percent int
	max     int
}

var shares = []share{
	{"deviceConfigurations", 14, 0}, {"deviceCompliancePolicies", 7, 0}, {"groupPolicyConfigurations", 7, 0},
	{"deviceManagementScripts", 5, 0}, {"deviceHealthScripts", 5, 0}, {"assignmentFilters", 3, 200},
	{"roleScopeTags", 3, 100}, {"mobileApps", 6, 0}, {"conditionalAccess/policies", 5, 195}, {"conditionalAccess/namedLocations", 3, 195},
}

const maxGroups = 2000

// generate fills the tenant with objects still to be made.
func (t *Tenant) generate(cfg TenantConfig) {
	t.made = &maker{seed: cfg.Seed, counts: cfg.Counts}
	if cfg.Counts == nil {
		t.made.counts = counts(cfg.Size)
	}
	for _, k := range kinds {
		for i := range t.made.counts[k.name] {
			t.kinds[k.name].add(&entry{id: t.made.id(k.name, i), index: i})
		}
	}
}

// counts deals size out: one of every kind, if there are enough, and the rest
// by share.
func counts(size int) map[string]int {
	out := map[string]int{"configurationPolicies": size}
	if size > 0 {
		out["groups"] = min(12+size/5, maxGroups)
	}
	spare := size - len(shares) - 1
	if spare < 0 {
		return out
	}
	for _, s := range shares {
		n := 1 + (spare*s.percent+50)/100
		if s.max > 0 {
			n = min(n, s.max)
		}
		out[s.kind] = n
		out["configurationPolicies"] -= n
	}
	return out
}

func (m *maker) id(kind string, i int) string {
	if kind == "roleScopeTags" {
		return strconv.Itoa(i) // "0" is the built-in Default
	}
	return guid("generated", strconv.FormatUint(m.seed, 10), kind, strconv.Itoa(i))
}

// rng is the source of chance for one part of one object.
func (m *maker) rng(kind, part string, i int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(kind + "\n" + part))
	return rand.New(rand.NewPCG(m.seed^h.Sum64(), uint64(i)*0x9e3779b97f4a7c15+1))
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// body makes an object as an item shows it.
func (m *maker) body(k *kind, e *entry) json.RawMessage {
	r := m.rng(k.name, "body", e.index)
	switch k.name {
	case "configurationPolicies":
		return m.configurationPolicy(e, r)
	case "deviceConfigurations":
		return m.deviceConfiguration(e, r)
	case "deviceCompliancePolicies":
		return m.compliancePolicy(e, r)
	case "groupPolicyConfigurations":
		return m.groupPolicy(e, r)
	case "deviceManagementScripts":
		return m.script(e, r)
	case "deviceHealthScripts":
		return m.healthScript(e, r)
	case "assignmentFilters":
		return m.filter(e, r)
	case "roleScopeTags":
		return m.scopeTag(e)
	case "mobileApps":
		return m.app(e, r)
	case "conditionalAccess/policies":
		return m.accessPolicy(e, r)
	case "conditionalAccess/namedLocations":
		return m.location(e, r)
	}
	return m.group(e, r)
}

// nav makes the elements of a navigation property.
func (m *maker) nav(k *kind, e *entry, name string) sequence {
	r := m.rng(k.name, name, e.index)
	switch name {
	case "settings":
		return m.settings(e, r)
	case "assignments":
		return sequenceOf(m.assignments(k, e, r))
	case "definitionValues":
		return sequenceOf(m.definitionValues(e, r))
	case "scheduledActionsForRule":
		return sequenceOf(m.scheduledActions(e, r))
	case "categories":
		return sequenceOf(m.appCategories(r))
	}
	return sequence{}
}

// times returns when an object was made and last changed: within two years
// before a fixed day, so that the bytes do not depend on today's.
func times(r *rand.Rand) (created, modified string) {
	at := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC).Add(-time.Duration(r.IntN(700*24)) * time.Hour)
	at = at.Add(time.Duration(r.IntN(3600*1e7)) * 100)
	later := at.Add(time.Duration(r.IntN(200*24*3600)) * time.Second)
	const layout = "2006-01-02T15:04:05.9999999Z"
	return at.Format(layout), later.Format(layout)
}

// tags are scope tag ids: mostly Default alone.
func (m *maker) tags(r *rand.Rand) []string {
	n := m.counts["roleScopeTags"]
	if n < 2 || r.IntN(4) > 0 {
		return []string{"0"}
	}
	return []string{"0", strconv.Itoa(1 + r.IntN(n-1))}
}

func (m *maker) groupID(r *rand.Rand) string {
	n := m.counts["groups"]
	if n == 0 {
		return guid("no group", strconv.Itoa(r.IntN(20)))
	}
	return m.id("groups", r.IntN(n))
}

const (
	allUsersID   = "acacacac-9df4-4c7d-9d50-4ef0226f57a9"
	allDevicesID = "adadadad-808e-44e2-905a-0b7873a8a531"
)

// assignments makes none to four targets of the four kinds; scope tags and the
// like have none.
func (m *maker) assignments(k *kind, e *entry, r *rand.Rand) []json.RawMessage {
	if k.name == "roleScopeTags" {
		return nil
	}
	out := []json.RawMessage{}
	seen := map[string]bool{}
	for range r.IntN(5) {
		target, key := m.target(r)
		if seen[key] {
			continue
		}
		seen[key] = true
		id := e.id + "_" + key
		switch k.name {
		case "mobileApps":
			out = append(out, object("@odata.type", "#microsoft.graph.mobileAppAssignment", "id", id,
				"intent", pick(r, []string{"required", "available", "uninstall"}), "source", "direct", "sourceId", e.id, "target", target, "settings", nil))
		case "deviceHealthScripts":
			out = append(out, object("id", id, "runRemediationScript", r.IntN(2) == 0, "target", target,
				"runSchedule", object("@odata.type", "#microsoft.graph.deviceHealthScriptDailySchedule", "interval", 1+r.IntN(7), "useUtc", false, "time", fmt.Sprintf("%02d:30:00.0000000", r.IntN(24)))))
		case "deviceManagementScripts":
			out = append(out, object("id", id, "target", target))
		default:
			out = append(out, object("id", id, "source", "direct", "sourceId", e.id, "target", target))
		}
	}
	return out
}

func (m *maker) target(r *rand.Rand) (target json.RawMessage, key string) {
	filter, filterType := any(nil), "none"
	if n := m.counts["assignmentFilters"]; n > 0 && r.IntN(3) == 0 {
		filter, filterType = m.id("assignmentFilters", r.IntN(n)), pick(r, []string{"include", "exclude"})
	}
	typ, group := "groupAssignmentTarget", ""
	switch r.IntN(6) {
	case 0:
		typ, key = "allLicensedUsersAssignmentTarget", allUsersID
	case 1:
		typ, key = "allDevicesAssignmentTarget", allDevicesID
	case 2:
		typ, group = "exclusionGroupAssignmentTarget", m.groupID(r)
		filter, filterType = nil, "none"
	default:
		group = m.groupID(r)
	}
	pairs := []any{"@odata.type", "#microsoft.graph." + typ,
		"deviceAndAppManagementAssignmentFilterId", filter, "deviceAndAppManagementAssignmentFilterType", filterType}
	if group != "" {
		key = group
		pairs = append(pairs, "groupId", group)
	}
	return object(pairs...), key
}
