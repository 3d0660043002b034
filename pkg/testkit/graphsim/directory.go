package graphsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

func (m *maker) filter(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	model := pick(r, []string{"Surface", "Latitude 7440", "EliteBook", `Teams Room "A"`})
	rule := `(device.model -startsWith "` + model + `") and (device.deviceOwnership -eq "Corporate")`
	return object("id", e.id, "createdDateTime", created, "lastModifiedDateTime", modified, "displayName", m.name("assignmentFilters", e.index),
		"description", m.description(r), "platform", pick(r, []string{"windows10AndLater", "iOS", "macOS", "androidForWork"}), "rule", rule,
		"roleScopeTags", m.tags(r), "assignmentFilterManagementType", "devices", "payloads", []json.RawMessage{})
}

func (m *maker) scopeTag(e *entry) json.RawMessage {
	if e.index == 0 {
		return object("id", "0", "displayName", "Default", "description", "", "isBuiltIn", true)
	}
	r := m.rng("roleScopeTags", "body", e.index)
	return object("id", e.id, "displayName", fmt.Sprintf("Site %s %02d", pick(r, []string{"Köln", "Leeds", "Graz", "Lyon", "大阪"}), e.index),
		"description", m.description(r), "isBuiltIn", false)
}

func (m *maker) app(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	names := []string{"7-Zip 24.09 (x64)", "Company Portal", "Google Chrome Enterprise", "Notepad++ v8", "Northwind VPN Client", "Adobe Acrobat Reader DC – MUI", "Zoom Workplace", "Citrix Workspace App"}
	head := []any{
		"id", e.id, "displayName", numbered(names, e.index), "description", m.description(r), "publisher", pick(r, []string{"Northwind IT", "Igor Pavlov", "Google LLC"}),
		"largeIcon", nil, "createdDateTime", created, "lastModifiedDateTime", modified, "isFeatured", false, "privacyInformationUrl", "", "informationUrl", nil,
		"owner", "", "developer", "", "notes", "", "uploadState", 1, "publishingState", "published", "isAssigned", r.IntN(2) == 0, "roleScopeTagIds", m.tags(r),
		"dependentAppCount", 0, "supersedingAppCount", 0, "supersededAppCount", 0,
	}
	switch e.index % 3 {
	case 0:
		rule := object("@odata.type", graphNS+"win32LobAppFileSystemRule", "ruleType", "detection", "path", `%ProgramFiles%\7-Zip`, "fileOrFolderName", "7z.exe",
			"check32BitOn64System", false, "operationType", "exists", "operator", "notConfigured", "comparisonValue", nil)
		return object(append([]any{"@odata.type", graphNS + "win32LobApp"}, append(head, "committedContentVersion", "1", "fileName", "setup.intunewin", "size", 1<<20+r.IntN(1<<28),
			"installCommandLine", `setup.exe /S /D="C:\Program Files\App"`, "uninstallCommandLine", `"%ProgramFiles%\7-Zip\Uninstall.exe" /S`,
			"applicableArchitectures", "x64", "rules", []json.RawMessage{rule})...)...)
	case 1:
		return object(append([]any{"@odata.type", graphNS + "winGetApp"}, append(head, "manifestHash", nil, "packageIdentifier", "9WZDNCRFJ3PZ",
			"installExperience", object("runAsAccount", "user"))...)...)
	}
	return object(append([]any{"@odata.type", graphNS + "webApp"}, append(head, "appUrl", "https://portal.northwind.example/?app=1&lang=de", "useManagedBrowser", false)...)...)
}

func (m *maker) appCategories(r *rand.Rand) []json.RawMessage {
	out := []json.RawMessage{}
	for _, name := range []string{"Productivity", "Business", "Data management"}[:r.IntN(3)] {
		out = append(out, object("id", guid("category", name), "displayName", name, "lastModifiedDateTime", "2025-01-01T00:00:00Z"))
	}
	return out
}

func (m *maker) accessPolicy(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	locations, excluded := []string{"All"}, []string{}
	if n := m.counts["conditionalAccess/namedLocations"]; n > 0 && r.IntN(2) == 0 {
		excluded = []string{m.id("conditionalAccess/namedLocations", r.IntN(n))}
	}
	users := object("includeUsers", []string{}, "excludeUsers", []string{}, "includeGroups", []string{m.groupID(r)}, "excludeGroups", []string{m.groupID(r)},
		"includeRoles", []string{}, "excludeRoles", []string{}, "includeGuestsOrExternalUsers", nil, "excludeGuestsOrExternalUsers", nil)
	applications := object("includeApplications", []string{pick(r, []string{"All", "Office365", "MicrosoftAdminPortals"})}, "excludeApplications", []string{},
		"includeUserActions", []string{}, "includeAuthenticationContextClassReferences", []string{}, "applicationFilter", nil)
	conditions := object("userRiskLevels", []string{}, "signInRiskLevels", pick(r, [][]string{{}, {"high"}, {"high", "medium"}}), "clientAppTypes", []string{"all"},
		"platforms", nil, "times", nil, "deviceStates", nil, "devices", nil, "clientApplications", nil, "applications", applications, "users", users,
		"locations", object("includeLocations", locations, "excludeLocations", excluded))
	grant := object("operator", "OR", "builtInControls", []string{pick(r, []string{"mfa", "block", "compliantDevice"})}, "customAuthenticationFactors", []string{},
		"termsOfUse", []string{}, "authenticationStrength", nil)
	name := fmt.Sprintf("CA%03d-%s-%s-AnyPlatform-%s", e.index, pick(r, []string{"Global", "Admins", "Internals", "Guests"}), pick(r, []string{"IdentityProtection", "BaseProtection", "DataProtection"}), pick(r, []string{"MFA", "BLOCK", "Compliant"}))
	return object("id", e.id, "templateId", nil, "displayName", name, "createdDateTime", created, "modifiedDateTime", modified,
		"state", pick(r, []string{"enabled", "enabledForReportingButNotEnforced", "disabled"}), "deletedDateTime", nil, "partialEnablementStrategy", nil,
		"sessionControls", nil, "conditions", conditions, "grantControls", grant)
}

func (m *maker) location(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	head := []any{"id", e.id, "displayName", fmt.Sprintf("Standort %s #%d", pick(r, []string{"Köln/Deutz", "Leeds", "São Paulo", "Wien"}), e.index), "modifiedDateTime", modified, "createdDateTime", created, "deletedDateTime", nil}
	if e.index%2 == 0 {
		return object(append([]any{"@odata.type", graphNS + "countryNamedLocation"}, append(head, "countriesAndRegions", []string{"DE", "AT", "CH"},
			"includeUnknownCountriesAndRegions", false, "countryLookupMethod", "clientIpAddress")...)...)
	}
	ranges := []json.RawMessage{
		object("@odata.type", graphNS+"iPv4CidrRange", "cidrAddress", fmt.Sprintf("203.0.113.%d/32", r.IntN(255))),
		object("@odata.type", graphNS+"iPv6CidrRange", "cidrAddress", "2001:db8::/48"),
	}
	return object(append([]any{"@odata.type", graphNS + "ipNamedLocation"}, append(head, "isTrusted", true, "ipRanges", ranges)...)...)
}

func (m *maker) group(e *entry, r *rand.Rand) json.RawMessage {
	created, _ := times(r)
	name := fmt.Sprintf("SG-%s-%s-%03d", pick(r, []string{"INTUNE", "APP", "CA", "LIC"}), pick(r, []string{"Pilot", "Alle Mitarbeiter", "Kiosk", "Außendienst", "VIP & Vorstand", "O'Brien's Team"}), e.index)
	types, rule, state := []string{}, any(nil), any(nil)
	if r.IntN(3) == 0 {
		types, rule, state = []string{"DynamicMembership"}, `(user.department -eq "Sales")`, "On"
	}
	return object("id", e.id, "deletedDateTime", nil, "classification", nil, "createdDateTime", created, "creationOptions", []string{}, "description", m.description(r),
		"displayName", name, "expirationDateTime", nil, "groupTypes", types, "isAssignableToRole", nil, "mail", nil, "mailEnabled", false,
		"mailNickname", fmt.Sprintf("sg%06d", e.index), "membershipRule", rule, "membershipRuleProcessingState", state, "onPremisesSyncEnabled", nil,
		"proxyAddresses", []string{}, "renewedDateTime", created, "resourceProvisioningOptions", []string{}, "securityEnabled", true,
		"securityIdentifier", fmt.Sprintf("S-1-12-1-%d-%d-%d-%d", r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()), "theme", nil, "visibility", nil, "onPremisesProvisioningErrors", []json.RawMessage{})
}
