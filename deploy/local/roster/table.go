package roster

// table has a row for each service. A service stands below all that it calls.
var table = []Service{
	{
		Name: "operations", Number: 1,
		Owns:    "the run store: runs, their events, leases, labels",
		Retains: true,
	},
	{
		Name: "tenancy", Number: 2,
		Owns:    "workspaces, members, API tokens, tenants and the secrets of their Graph connections",
		Secrets: []string{"master.key"},
		Settings: func(at Site) []Setting {
			return []Setting{
				{"MASTER_KEY_FILE", at.Key("master.key")},
				{"AUTHORITY_OVERRIDE", "https://" + at.Simulator},
				{"GRAPH_OVERRIDE", "https://" + at.Simulator},
				{"EXTRA_CA", at.Key("ca.pem")},
			}
		},
	},
	{
		Name: "inventory", Number: 3,
		Owns:  "policy items, versions, coverage, schedules; works on `inventory_sync` runs",
		Calls: []string{"operations", "tenancy"}, Graph: true,
	},
	{
		Name: "gateway", Number: 0,
		Owns: "nothing: JSON API, OpenAPI, console",
		Web:  true, Secrets: []string{"session.key"},
		Settings: func(at Site) []Setting {
			return []Setting{
				{"ACTOR_KEY", at.Key("actor-key.pem")},
				{"SESSION_KEY_FILE", at.Key("session.key")},
			}
		},
	},
}
