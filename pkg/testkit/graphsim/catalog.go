package graphsim

import "strings"

// kind is one collection of the simulated Graph: where it lives and what its
// answers leave out.
type kind struct {
	name     string // how callers of this package and load reports say it
	path     string // below the version
	entity   string // the OData type a parser error names
	nameKey  string
	v1       bool // v1.0 has it too; beta has all
	entra    bool // errors come from the directory, not from Intune
	workload string
	listCuts []string // properties a list leaves out and an item has
	navs     []nav
}

// nav is a navigation property: on its own path below the item, and inside the
// item only when asked for with $expand.
type nav struct {
	name     string
	cuts     []string // what its elements show only under a nested $expand
	children string   // a collection below each element, cut from it as well
}

// childPage is how many elements Intune puts on one page of a child
// collection; most lost settings in the wild were lost behind it.
const childPage = 25

const listPage = 100

var (
	assignments = nav{name: "assignments"}
	settings    = nav{name: "settings", cuts: []string{"settingDefinitions"}}
	definitions = nav{name: "definitionValues", cuts: []string{"definition"}, children: "presentationValues"}
	actions     = nav{name: "scheduledActionsForRule", cuts: []string{"scheduledActionConfigurations"}}
	categories  = nav{name: "categories"}
	relations   = nav{name: "relationships"}
)

// presentations describes the elements below a definition value.
var presentations = nav{name: "presentationValues", cuts: []string{"presentation"}}

var kinds = []*kind{
	{
		name: "configurationPolicies", path: "deviceManagement/configurationPolicies", nameKey: "name",
		entity: "deviceManagementConfigurationPolicy", workload: "deviceConfigV2", navs: []nav{settings, assignments},
	},
	{
		name: "deviceConfigurations", path: "deviceManagement/deviceConfigurations", nameKey: "displayName", v1: true,
		entity: "deviceConfiguration", workload: "deviceConfiguration", navs: []nav{assignments},
	},
	{
		name: "deviceCompliancePolicies", path: "deviceManagement/deviceCompliancePolicies", nameKey: "displayName", v1: true,
		entity: "deviceCompliancePolicy", workload: "deviceConfiguration", navs: []nav{actions, assignments},
	},
	{
		name: "groupPolicyConfigurations", path: "deviceManagement/groupPolicyConfigurations", nameKey: "displayName",
		entity: "groupPolicyConfiguration", workload: "deviceConfiguration", navs: []nav{definitions, assignments},
	},
	{
		name: "deviceManagementScripts", path: "deviceManagement/deviceManagementScripts", nameKey: "displayName",
		entity: "deviceManagementScript", workload: "deviceConfiguration",
		listCuts: []string{"scriptContent"}, navs: []nav{assignments},
	},
	{
		name: "deviceHealthScripts", path: "deviceManagement/deviceHealthScripts", nameKey: "displayName",
		entity: "deviceHealthScript", workload: "deviceConfiguration",
		listCuts: []string{"detectionScriptContent", "remediationScriptContent"}, navs: []nav{assignments},
	},
	{
		name: "assignmentFilters", path: "deviceManagement/assignmentFilters", nameKey: "displayName",
		entity: "deviceAndAppManagementAssignmentFilter", workload: "deviceConfiguration",
	},
	{
		name: "roleScopeTags", path: "deviceManagement/roleScopeTags", nameKey: "displayName",
		entity: "roleScopeTag", workload: "rbac", navs: []nav{assignments},
	},
	{
		name: "mobileApps", path: "deviceAppManagement/mobileApps", nameKey: "displayName", v1: true,
		entity: "mobileApp", workload: "applications", navs: []nav{assignments, categories, relations},
	},
	{
		name: "conditionalAccess/policies", path: "identity/conditionalAccess/policies", nameKey: "displayName", v1: true,
		entity: "conditionalAccessPolicy", workload: conditionalAccess, entra: true,
	},
	{
		name: "conditionalAccess/namedLocations", path: "identity/conditionalAccess/namedLocations", nameKey: "displayName", v1: true,
		entity: "namedLocation", workload: conditionalAccess, entra: true,
	},
	{
		name: "groups", path: "groups", nameKey: "displayName", v1: true,
		entity: "group", workload: "directory", entra: true,
	},
}

// kindNamed finds a kind by its name; nil where there is none.
func kindNamed(name string) *kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

// kindAt finds the kind a path (below the version, no leading slash) lies in,
// and what follows the collection.
func kindAt(path string) (k *kind, rest string) {
	for _, k := range kinds {
		if path == k.path {
			return k, ""
		}
		if rest, ok := strings.CutPrefix(path, k.path+"/"); ok {
			return k, rest
		}
	}
	return nil, ""
}

// nav finds a navigation property by name.
func (k *kind) nav(name string) (nav, bool) {
	for _, n := range k.navs {
		if n.name == name {
			return n, true
		}
	}
	return nav{}, false
}
