package adopt

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// people are the workspaces, users, tenants and members that are taken over.
type people struct {
	workspaces []legacyWorkspace
	users      []legacyUser
	tenants    []legacyTenant
	members    []legacyMember

	workspaceIDs, userIDs map[int64]int64 // the new ids, by legacy id
	tenantIDs             map[int64]tenantHere
}

// tenantHere is the new id of a tenant, and that of its new workspace.
type tenantHere struct{ id, workspaceID int64 }

type legacyWorkspace struct {
	ID       int64
	Name     string
	Imported bool // by an earlier call, with its members
}

type legacyUser struct {
	ID    int64
	Name  string
	Email string
}

type legacyTenant struct {
	ID          int64
	WorkspaceID int64 // 0 if it has none
	Name        string
	DirectoryID string
	Domain      string
	Imported    bool // by an earlier call
}

type legacyMember struct {
	WorkspaceID, UserID int64
	Role                string
}

const readWorkspaces = `-- takeover.readWorkspaces
	select w.id, left(coalesce(w.name, ''), 2000), m.legacy_id is not null
	from workspaces w left join tenantpilot_takeover.workspace_map m on m.legacy_id = w.id
	order by w.id`

const readUsers = `-- takeover.readUsers
	select id, left(coalesce(name, ''), 2000), case when char_length(email) <= 320 then email else '' end
	from users order by id`

// No other column leaves the legacy database: some hold secrets of the tenant.
const readTenants = `-- takeover.readTenants
	select t.id, coalesce(t.workspace_id, 0), left(coalesce(t.name, ''), 2000), left(coalesce(t.external_id, ''), 2000),
		case when char_length(to_jsonb(t) ->> 'domain') <= 253 then to_jsonb(t) ->> 'domain' else '' end, m.legacy_id is not null
	from tenants t left join tenantpilot_takeover.tenant_map m on m.legacy_id = t.id
	order by t.id`

const haveMemberships = `-- takeover.haveMemberships
	select to_regclass('workspace_memberships') is not null`

const readMembers = `-- takeover.readMembers
	select m.workspace_id, m.user_id, coalesce(m.role::text, '') from workspace_memberships m
	join workspaces w on w.id = m.workspace_id join users u on u.id = m.user_id
	order by m.workspace_id, m.user_id`

func (a *adoption) readPeople(ctx context.Context) (p people, err error) {
	if p.workspaces, err = query.Collect[legacyWorkspace](ctx, a.Legacy, readWorkspaces); err != nil {
		return p, fmt.Errorf("read workspaces: %w", err)
	}
	if p.users, err = query.Collect[legacyUser](ctx, a.Legacy, readUsers); err != nil {
		return p, fmt.Errorf("read users: %w", err)
	}
	if p.tenants, err = query.Collect[legacyTenant](ctx, a.Legacy, readTenants); err != nil {
		return p, fmt.Errorf("read tenants: %w", err)
	}
	var have bool
	if err := a.Legacy.QueryRow(ctx, haveMemberships).Scan(&have); err != nil || !have {
		return p, err
	}
	if p.members, err = query.Collect[legacyMember](ctx, a.Legacy, readMembers); err != nil {
		return p, fmt.Errorf("read memberships: %w", err)
	}
	return p, nil
}

// lookAtPeople checks that everybody can be taken over: by the flags, and by calls to
// tenancy that only validate.
func (a *adoption) lookAtPeople(ctx context.Context) (err error) {
	if a.people, err = a.readPeople(ctx); err != nil {
		return err
	}
	a.placeTenants()
	a.nameRoles()
	a.nameOwners()
	return a.sendPeople(ctx, true)
}

// madeID returns the legacy id of a workspace or user that only the operator has named.
// Tenancy knows objects by their legacy ids, so the same name always has the same id. It is
// higher than any id of a row.
func madeID(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return 1_000_000_000_000 + int64(h.Sum32())
}

// placeTenants gives tenants without a workspace the one of --workspace-map.
func (a *adoption) placeTenants() {
	p := &a.people
	var homeless, wrong []string
	table := a.r.Table("Tenants without a workspace", "tenant", "name", "goes to")
	said := map[int64]bool{}
	for i := range p.tenants {
		tenant := &p.tenants[i]
		place, ok := a.o.WorkspaceMap[tenant.ID]
		said[tenant.ID] = ok
		switch {
		case ok && tenant.WorkspaceID != 0:
			wrong = append(wrong, fmt.Sprintf("tenant %d is in workspace %d", tenant.ID, tenant.WorkspaceID))
		case ok:
			problem := p.place(tenant, place)
			wrong = append(wrong, problem...)
			table.Row(tenant.ID, tenant.Name, place)
		case tenant.WorkspaceID == 0 && !tenant.Imported:
			homeless = append(homeless, fmt.Sprintf("%d (%s)", tenant.ID, tenant.Name))
			table.Row(tenant.ID, tenant.Name, "?")
		}
	}
	for _, pair := range pairs(a.o.WorkspaceMap) {
		if id, _, _ := strings.Cut(pair, "="); !said[parsed(id)] {
			wrong = append(wrong, "there is no tenant "+id)
		}
	}
	a.r.Check("every tenant has a workspace (else --workspace-map gives it one)", len(homeless) == 0, "without: %s", report.List(homeless))
	a.r.Check("--workspace-map is valid", len(wrong) == 0, "wrong: %s", report.List(wrong))
}

func parsed(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64) // no row has the id 0
	return n
}

// place puts a tenant into a workspace, given by its id or by the name of a new one. It
// returns what is wrong with that.
func (p *people) place(tenant *legacyTenant, where string) (wrong []string) {
	id := parsed(where)
	if id == 0 {
		id = madeID(where)
		if same := p.workspacesNamed(where); len(same) > 0 {
			return []string{fmt.Sprintf("%q is the name of a legacy workspace: give its id, %s", where, strings.Join(same, " or "))}
		}
		if !p.hasWorkspace(id) {
			p.workspaces = append(p.workspaces, legacyWorkspace{ID: id, Name: where, Imported: tenant.Imported})
		}
	}
	if !p.hasWorkspace(id) {
		return []string{fmt.Sprintf("there is no legacy workspace %d", id)}
	}
	tenant.WorkspaceID = id
	return nil
}

func (p *people) hasWorkspace(id int64) bool {
	return slices.ContainsFunc(p.workspaces, func(w legacyWorkspace) bool { return w.ID == id })
}

// workspacesNamed returns the ids of the legacy workspaces with a name.
func (p *people) workspacesNamed(name string) (ids []string) {
	for _, w := range p.workspaces {
		if w.Name == name && w.ID != madeID(name) {
			ids = append(ids, fmt.Sprint(w.ID))
		}
	}
	return ids
}

var knownRoles = []string{"readonly", "operator", "manager", "owner"}

// nameRoles translates the roles of members. A role that is not known becomes readonly.
func (a *adoption) nameRoles() {
	var odd []string
	members := a.people.members
	for i := range members {
		role := strings.ToLower(strings.TrimSpace(members[i].Role))
		if !slices.Contains(knownRoles, role) {
			odd = append(odd, fmt.Sprintf("user %d of workspace %d: %q", members[i].UserID, members[i].WorkspaceID, members[i].Role))
			role = "readonly"
		}
		members[i].Role = role
	}
	a.r.Find(report.Finding{
		Code: "unknown_role", Source: "workspace_memberships", Count: int64(len(odd)), Samples: report.Some(odd),
		Message: "unknown roles, which become readonly",
	})
}

// nameOwners gives workspaces without an owner the one of --owner. A workspace that an
// earlier call has imported got its owner then.
func (a *adoption) nameOwners() {
	p := &a.people
	owned := map[int64]bool{}
	for _, m := range p.members {
		owned[m.WorkspaceID] = owned[m.WorkspaceID] || m.Role == "owner"
	}
	var orphans, wrong []string
	table := a.r.Table("Workspaces without an owner", "workspace", "name", "gets")
	for _, w := range p.workspaces {
		who, said := a.o.Owners[w.ID]
		switch {
		case said:
			wrong = append(wrong, p.own(w.ID, who)...)
			table.Row(w.ID, w.Name, who)
		case !owned[w.ID] && !w.Imported:
			orphans = append(orphans, fmt.Sprintf("%d (%s)", w.ID, w.Name))
			table.Row(w.ID, w.Name, "?")
		}
	}
	for _, pair := range pairs(a.o.Owners) {
		if id, _, _ := strings.Cut(pair, "="); !p.hasWorkspace(parsed(id)) {
			wrong = append(wrong, "there is no legacy workspace "+id)
		}
	}
	a.r.Check("every workspace has an owner (else --owner gives it one)", len(orphans) == 0, "without: %s", report.List(orphans))
	a.r.Check("--owner is valid", len(wrong) == 0, "wrong: %s", report.List(wrong))
}

// own makes a user the owner of a workspace, given by the id or by the name of a new user.
// It refuses the name of a legacy user: several may have the same. It returns what is wrong.
func (p *people) own(workspaceID int64, who string) (wrong []string) {
	id := parsed(who)
	switch same := p.usersNamed(who); {
	case id != 0 && !slices.ContainsFunc(p.users, func(u legacyUser) bool { return u.ID == id }):
		return []string{fmt.Sprintf("there is no legacy user %d", id)}
	case id == 0 && len(same) > 0:
		return []string{fmt.Sprintf("%q is the name of a legacy user: give the id, %s", who, report.List(same))}
	case id == 0:
		id = madeID(who)
		if !slices.ContainsFunc(p.users, func(u legacyUser) bool { return u.ID == id }) {
			p.users = append(p.users, legacyUser{ID: id, Name: who})
		}
	}
	is := func(m legacyMember) bool { return m.WorkspaceID == workspaceID && m.UserID == id }
	if at := slices.IndexFunc(p.members, is); at >= 0 {
		p.members[at].Role = "owner"
		return nil
	}
	p.members = append(p.members, legacyMember{WorkspaceID: workspaceID, UserID: id, Role: "owner"})
	return nil
}

func (p *people) usersNamed(name string) (ids []string) {
	for _, u := range p.users {
		if u.Name == name && u.ID != madeID(name) {
			ids = append(ids, fmt.Sprint(u.ID))
		}
	}
	return ids
}

// held returns the new workspaces whose history is taken over.
func (p *people) held() (ids []int64) {
	for _, id := range p.workspaceIDs {
		ids = append(ids, id)
	}
	for _, t := range p.tenantIDs {
		ids = append(ids, t.workspaceID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

const savePeople = `-- takeover.savePeople
	with w as (
		insert into tenantpilot_takeover.workspace_map (legacy_id, workspace_id) select * from unnest($1::bigint[], $2::bigint[])
		on conflict (legacy_id) do update set workspace_id = excluded.workspace_id
	), u as (
		insert into tenantpilot_takeover.user_map (legacy_id, user_id) select * from unnest($3::bigint[], $4::bigint[])
		on conflict (legacy_id) do update set user_id = excluded.user_id
	)
	insert into tenantpilot_takeover.tenant_map (legacy_id, tenant_id, workspace_id) select * from unnest($5::bigint[], $6::bigint[], $7::bigint[])
	on conflict (legacy_id) do update set tenant_id = excluded.tenant_id, workspace_id = excluded.workspace_id`

// importPeople makes everybody in tenancy, and notes the new ids afterwards: so every
// workspace that is noted has its owner.
func (a *adoption) importPeople(ctx context.Context) error {
	if err := a.sendPeople(ctx, false); err != nil {
		return err
	}
	if err := a.sameAsBefore(ctx); err != nil {
		return err
	}
	p := a.people
	var w, u, t [3][]int64
	for legacy, id := range p.workspaceIDs {
		w[0], w[1] = append(w[0], legacy), append(w[1], id)
	}
	for legacy, id := range p.userIDs {
		u[0], u[1] = append(u[0], legacy), append(u[1], id)
	}
	for legacy, here := range p.tenantIDs {
		t[0], t[1], t[2] = append(t[0], legacy), append(t[1], here.id), append(t[2], here.workspaceID)
	}
	if _, err := a.Legacy.Exec(ctx, savePeople, w[0], w[1], u[0], u[1], t[0], t[1], t[2]); err != nil {
		return fmt.Errorf("remember who is who: %w", err)
	}
	return nil
}

const readRemembered = `-- takeover.readRemembered
	select 'workspace', legacy_id, workspace_id from tenantpilot_takeover.workspace_map where legacy_id = any($1)
	union all select 'user', legacy_id, user_id from tenantpilot_takeover.user_map where legacy_id = any($2)
	union all select 'tenant', legacy_id, tenant_id from tenantpilot_takeover.tenant_map where legacy_id = any($3)`

type remembered struct {
	Kind     string
	LegacyID int64
	ID       int64
}

// sameAsBefore fails if tenancy returns other ids than before: then it is not the tenancy
// that the runs were written for.
func (a *adoption) sameAsBefore(ctx context.Context) error {
	p := a.people
	before, err := query.Collect[remembered](ctx, a.Legacy, readRemembered, keys(p.workspaceIDs), keys(p.userIDs), keys(p.tenantIDs))
	if err != nil {
		return fmt.Errorf("read who is who: %w", err)
	}
	for _, b := range before {
		now := map[string]int64{"workspace": p.workspaceIDs[b.LegacyID], "user": p.userIDs[b.LegacyID], "tenant": p.tenantIDs[b.LegacyID].id}[b.Kind]
		if now != b.ID {
			return fmt.Errorf("legacy %s %d was %d in tenancy before and is %d now: is it another installation, or one restored from a backup? Roll adopt back first",
				b.Kind, b.LegacyID, b.ID, now)
		}
	}
	return nil
}

func keys[V any](m map[int64]V) []int64 {
	ids := make([]int64, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	return ids
}
