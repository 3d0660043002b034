package catalog

import "net/http"

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

// configuration returns the settings catalog and the older profiles.
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
	}
}

// compliance returns the rules that make a device compliant.
func compliance() []Type {
	return []Type{
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
	}
}

// templates returns the administrative templates.
func templates() []Type {
	return []Type{
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
	}
}

// applications returns what is installed on devices.
func applications() []Type {
	return []Type{
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

// scripts returns what runs on devices.
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
