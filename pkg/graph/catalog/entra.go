package catalog

import "net/http"

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
