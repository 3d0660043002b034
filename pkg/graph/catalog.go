package graph

import (
	"net/http"
	"slices"
	"strings"
)

// Type is all there is to know about one kind of object: how to read it whole,
// which of its properties we never write, and how it is put back.
//
// One entry here and one folder of fixtures for the simulator make a new type:
// docs/howto/add-a-policy-type.md.
type Type struct {
	Name         string // ours, and the word selections use
	Entity       string // the type in Graph's schema; objects may be of types derived from it
	Version      string // "beta" or "v1.0"; v1.0 lacks nearly all of Intune
	V1           bool   // v1.0 serves it too
	Path         string // of the collection
	NameProperty string
	Workload     string // whose quota it counts against
	// Marks recognise an exported object of this type that has no OData
	// annotations: it has a name, and all properties of one of these lists.
	Marks [][]string
	Max   int // how many Microsoft allows in a tenant; 0: no number is published

	Expand      string   // navigation properties that the list must be asked for
	ItemRead    bool     // the list leaves properties out: every object is read by id
	Content     []string // properties the list leaves out and an item always has, unless built in
	ItemOnly    []string // properties the list leaves out and an item may lack
	Children    []Child
	Assignments Assignments
	Unread      []string // navigation properties that are not part of the object for us

	ReadOnly   []string // never sent, and ignored when two objects are compared; beside [CommonReadOnly]
	Masks      []string // the same, at any depth: how Graph marks what it hides
	Fixed      []string // sent on create only
	References []string // expanded properties of which only the id counts
	Sets       []string // arrays whose order means nothing, at any depth
	BuiltIn    string   // property that is true of objects Microsoft made: they are neither created nor deleted

	Create, Update string // HTTP methods; an update by PUT replaces the whole
	AssignKey      string // body key of the assign action, which replaces all assignments; "": there is no such action
	RestoreOrder   int    // lower first
	DependsOn      []string
}

// Child is a collection under an object that is part of it.
type Child struct {
	Name          string
	Query         string // query of every page: what must be expanded
	CountProperty string // property of the object that says how many elements there must be
	DropID        bool   // elements are numbered by position, or anew on every write
	Children      []Child
	Marks         []string // properties that tell an element in a file of its own
	Unread        []string // navigation properties of an element that we do not read
}

// Assignments says where an object's assignments are.
type Assignments int

// The places.
const (
	NoAssignments     Assignments = iota
	AssignmentsByPath             // the collection /assignments
	AssignmentsInline             // in the object, by $expand
)

// RestoreLast is the RestoreOrder of types that no other type depends on.
const RestoreLast = 1000

// CommonReadOnly are properties Graph keeps for itself on every type. They are
// stripped by name, never because they are empty: mailEnabled=false is a value.
func CommonReadOnly() []string {
	return []string{"id", "createdDateTime", "lastModifiedDateTime", "modifiedDateTime", "version", "isAssigned", "supportsScopeTags"}
}

// Catalog returns every type that is known, in the order of restoring.
func Catalog() []Type {
	types := slices.Concat(foundation(), configuration(), scripts(), conditionalAccess())
	slices.SortStableFunc(types, func(a, b Type) int { return a.RestoreOrder - b.RestoreOrder })
	return types
}

// Lookup finds a type by its name.
func Lookup(name string) (Type, bool) {
	types := Catalog()
	i := slices.IndexFunc(types, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return types[i], true
}

func configuration() []Type {
	return []Type{
		{
			Name: "configurationPolicies", Entity: "deviceManagementConfigurationPolicy",
			Version: "beta", Path: "/deviceManagement/configurationPolicies",
			Marks:        [][]string{{"platforms", "technologies"}},
			NameProperty: "name", Workload: WorkloadDeviceConfigV2,
			Children: []Child{{
				Name: "settings", CountProperty: "settingCount", DropID: true,
				Marks: []string{"settingInstance"}, Unread: []string{"settingDefinitions"},
			}},
			Assignments: AssignmentsByPath,
			ReadOnly:    []string{"settingCount", "creationSource", "priorityMetaData"},
			Sets:        []string{"roleScopeTagIds", "children", "choiceSettingCollectionValue"},
			// PATCH leaves the settings as they are.
			Create: http.MethodPost, Update: http.MethodPut, AssignKey: "assignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
		{
			Name: "deviceConfigurations", Entity: "deviceConfiguration",
			Version: "beta", V1: true, Path: "/deviceManagement/deviceConfigurations",
			Marks:        [][]string{{"omaSettings"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig,
			Assignments: AssignmentsByPath,
			ReadOnly: []string{
				"qualityUpdatesPauseStartDate", "featureUpdatesPauseStartDate",
				"qualityUpdatesWillBeRolledBack", "featureUpdatesWillBeRolledBack",
			},
			Masks:  []string{"isEncrypted", "secretReferenceValueId"},
			Sets:   []string{"roleScopeTagIds", "omaSettings"},
			Create: http.MethodPost, Update: http.MethodPatch, AssignKey: "assignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
		{
			Name: "deviceCompliancePolicies", Entity: "deviceCompliancePolicy",
			Version: "beta", V1: true, Path: "/deviceManagement/deviceCompliancePolicies",
			Marks:        [][]string{{"scheduledActionsForRule"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig,
			Expand:      "scheduledActionsForRule($expand=scheduledActionConfigurations)",
			Assignments: AssignmentsByPath,
			Sets:        []string{"roleScopeTagIds", "scheduledActionsForRule", "scheduledActionConfigurations", "notificationMessageCCList"},
			// An update goes without scheduledActionsForRule, which has an action of its own.
			Create: http.MethodPost, Update: http.MethodPatch, AssignKey: "assignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
		{
			Name: "groupPolicyConfigurations", Entity: "groupPolicyConfiguration",
			Version: "beta", Path: "/deviceManagement/groupPolicyConfigurations",
			Marks:        [][]string{{"definitionValues"}, {"policyConfigurationIngestionType"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig,
			Children: []Child{{
				Name: "definitionValues", Query: "$expand=definition", DropID: true, Marks: []string{"enabled", "definition"},
				Children: []Child{{Name: "presentationValues", Query: "$expand=presentation", DropID: true}},
			}},
			Assignments: AssignmentsByPath,
			// Custom templates' ids differ per tenant; Microsoft rewrites the texts at will.
			References: []string{"definition", "presentation"},
			Sets:       []string{"roleScopeTagIds"},
			Create:     http.MethodPost, Update: http.MethodPatch, AssignKey: "assignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
		{
			Name: "mobileApps", Entity: "mobileApp",
			Version: "beta", V1: true, Path: "/deviceAppManagement/mobileApps",
			Marks:        [][]string{{"publisher", "publishingState"}},
			NameProperty: "displayName", Workload: WorkloadApplications,
			Expand: "categories,assignments", Assignments: AssignmentsInline, Unread: []string{"relationships"},
			ReadOnly: []string{
				"uploadState", "publishingState", "dependentAppCount", "supersedingAppCount",
				"supersededAppCount", "committedContentVersion", "isFeatured", "size",
			},
			References: []string{"categories"},
			Sets:       []string{"roleScopeTagIds", "categories"},
			Create:     http.MethodPost, Update: http.MethodPatch, AssignKey: "mobileAppAssignments",
			RestoreOrder: 60, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
	}
}

// foundation returns the types that other types refer to.
func foundation() []Type {
	return []Type{
		{
			Name: "roleScopeTags", Entity: "roleScopeTag",
			Version: "beta", Path: "/deviceManagement/roleScopeTags",
			Marks:        [][]string{{"id", "description", "isBuiltIn"}},
			NameProperty: "displayName", Assignments: AssignmentsByPath, Workload: WorkloadRBAC,
			ReadOnly: []string{"isBuiltIn"}, BuiltIn: "isBuiltIn", // id 0, Default
			Create: http.MethodPost, Update: http.MethodPatch, AssignKey: "assignments",
			RestoreOrder: 10,
		},
		{
			Name: "assignmentFilters", Entity: "deviceAndAppManagementAssignmentFilter",
			Version: "beta", Path: "/deviceManagement/assignmentFilters",
			Marks:        [][]string{{"platform", "rule"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig, Max: 200,
			ReadOnly: []string{"payloads"}, Fixed: []string{"platform"},
			Sets:   []string{"roleScopeTags"},
			Create: http.MethodPost, Update: http.MethodPatch,
			RestoreOrder: 15, DependsOn: []string{"roleScopeTags"},
		},
	}
}

func scripts() []Type {
	return []Type{
		{
			Name: "deviceManagementScripts", Entity: "deviceManagementScript",
			Version: "beta", Path: "/deviceManagement/deviceManagementScripts",
			Marks:        [][]string{{"runAsAccount", "scriptContent"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig,
			ItemRead: true, Content: []string{"scriptContent"},
			Assignments: AssignmentsByPath,
			Sets:        []string{"roleScopeTagIds"},
			Create:      http.MethodPost, Update: http.MethodPatch, AssignKey: "deviceManagementScriptAssignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
		{
			Name: "deviceHealthScripts", Entity: "deviceHealthScript",
			Version: "beta", Path: "/deviceManagement/deviceHealthScripts",
			Marks:        [][]string{{"detectionScriptContent"}},
			NameProperty: "displayName", Workload: WorkloadDeviceConfig,
			ItemRead: true, Content: []string{"detectionScriptContent"}, ItemOnly: []string{"remediationScriptContent"},
			Assignments: AssignmentsByPath,
			ReadOnly:    []string{"isGlobalScript", "highestAvailableVersion", "deviceHealthScriptType"},
			BuiltIn:     "isGlobalScript",
			Sets:        []string{"roleScopeTagIds"},
			Create:      http.MethodPost, Update: http.MethodPatch, AssignKey: "deviceHealthScriptAssignments",
			RestoreOrder: RestoreLast, DependsOn: []string{"assignmentFilters", "roleScopeTags"},
		},
	}
}

// conditionalAccess is read from beta too: v1.0 leaves out conditions in
// preview, and a policy without one of its conditions means something else.
func conditionalAccess() []Type {
	return []Type{
		{
			Name: "conditionalAccess/namedLocations", Entity: "namedLocation",
			Version: "beta", V1: true, Path: "/identity/conditionalAccess/namedLocations",
			Marks:        [][]string{{"countriesAndRegions"}, {"ipRanges"}},
			NameProperty: "displayName", Workload: WorkloadConditionalAccess, Max: 195,
			Sets:   []string{"ipRanges", "countriesAndRegions"},
			Create: http.MethodPost, Update: http.MethodPatch,
			RestoreOrder: 50,
		},
		{
			Name: "conditionalAccess/policies", Entity: "conditionalAccessPolicy",
			Version: "beta", V1: true, Path: "/identity/conditionalAccess/policies",
			Marks:        [][]string{{"conditions", "grantControls"}, {"conditions", "sessionControls"}},
			NameProperty: "displayName", Workload: WorkloadConditionalAccess, Max: 195,
			ReadOnly:   []string{"templateId"},
			References: []string{"authenticationStrength"},
			Sets:       conditionSets(),
			Create:     http.MethodPost, Update: http.MethodPatch,
			RestoreOrder: RestoreLast, DependsOn: []string{"conditionalAccess/namedLocations"},
		},
	}
}

// conditionSets returns every property of conditions that lists something: the
// order of such a list means nothing.
func conditionSets() []string {
	sets := []string{
		"builtInControls", "customAuthenticationFactors", "termsOfUse", "clientAppTypes", "servicePrincipalRiskLevels",
		"signInRiskLevels", "userRiskLevels", "includeUserActions", "includeAuthenticationContextClassReferences",
	}
	for _, of := range []string{"Users", "Groups", "Roles", "Applications", "Locations", "Platforms", "ServicePrincipals", "Devices", "DeviceStates"} {
		sets = append(sets, "include"+of, "exclude"+of)
	}
	return sets
}

// list returns the path of the first request for the type.
func (t Type) list() string { return "/" + t.Version + t.Path + query(t.Expand) }

func query(expand string) string {
	if expand == "" {
		return ""
	}
	return "?$expand=" + expand
}

// workloads returns the workload whose quota a path counts against, by the
// beginning of the path. The longest beginning that fits counts.
func workloads() map[string]string {
	of := map[string]string{
		"/deviceManagement":    WorkloadDeviceConfig,
		"/deviceAppManagement": WorkloadApplications,
		"/identity":            WorkloadConditionalAccess,
		"":                     WorkloadIdentity,
	}
	for _, t := range Catalog() {
		of[t.Path] = t.Workload
	}
	return of
}

// bucket returns the quota that a path counts against; path begins with the
// version.
func (c *Client) bucket(path string) *bucket {
	path, _, _ = strings.Cut(path, "?")
	_, path, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for path = "/" + path; ; path = path[:strings.LastIndexByte(path, '/')] {
		if workload, ok := c.pool.workloads[path]; ok {
			return c.tenant.bucket(workload)
		}
	}
}
