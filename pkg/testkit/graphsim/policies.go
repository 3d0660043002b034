package graphsim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

const graphNS = "#microsoft.graph."

// common are the properties every device policy starts with.
func (m *maker) common(kind, odataType string, e *entry, r *rand.Rand) []any {
	created, modified := times(r)
	return []any{
		"@odata.type", graphNS + odataType, "id", e.id, "createdDateTime", created, "lastModifiedDateTime", modified,
		"displayName", m.name(kind, e.index), "description", m.description(r), "roleScopeTagIds", m.tags(r), "version", 1 + r.IntN(40),
	}
}

func (m *maker) deviceConfiguration(e *entry, r *rand.Rand) json.RawMessage {
	const kind = "deviceConfigurations"
	switch e.index % 4 {
	case 0:
		return object(append(m.common(kind, "windows10CustomConfiguration", e, r), "supportsScopeTags", true, "omaSettings", omaSettings(e, r))...)
	case 1:
		return object(append(m.common(kind, "windowsUpdateForBusinessConfiguration", e, r), "supportsScopeTags", true,
			"deliveryOptimizationMode", "userDefined", "prereleaseFeatures", "userDefined", "automaticUpdateMode", "autoInstallAtMaintenanceTime",
			"microsoftUpdateServiceAllowed", true, "driversExcluded", r.IntN(2) == 0, "qualityUpdatesDeferralPeriodInDays", r.IntN(15),
			"featureUpdatesDeferralPeriodInDays", r.IntN(60), "qualityUpdatesPaused", false, "featureUpdatesPaused", false,
			"qualityUpdatesPauseExpiryDateTime", "0001-01-01T00:00:00Z", "featureUpdatesPauseExpiryDateTime", "0001-01-01T00:00:00Z",
			"deadlineForQualityUpdatesInDays", 1+r.IntN(7), "installationSchedule", nil)...)
	case 2:
		return object(append(m.common(kind, "iosGeneralDeviceConfiguration", e, r), "supportsScopeTags", true,
			"passcodeRequired", true, "passcodeMinimumLength", 4+r.IntN(8), "cameraBlocked", r.IntN(5) == 0, "airDropBlocked", r.IntN(2) == 0,
			"safariRequireFraudWarning", true, "appsVisibilityList", []json.RawMessage{}, "mediaContentRatingUnitedKingdom", nil)...)
	}
	return object(append(m.common(kind, "windows10GeneralConfiguration", e, r), "supportsScopeTags", true,
		"taskManagerBlockEndTask", r.IntN(2) == 0, "passwordMinimumLength", 8+r.IntN(8), "edgeHomepageUrls", []string{"https://intranet.northwind.example/?x=1&y=2"},
		"defenderScanType", "quick", "defenderScheduledQuickScanTime", "11:30:00.0000000", "privacyAdvertisingId", "blocked",
		"startMenuLayoutXml", base64.StdEncoding.EncodeToString([]byte("<LayoutModificationTemplate/>")), "cortanaBlocked", true)...)
}

// omaSettings mixes plain values with encrypted ones, which lists show as ****.
func omaSettings(e *entry, r *rand.Rand) []json.RawMessage {
	out := make([]json.RawMessage, 1+r.IntN(5))
	for i := range out {
		name, uri := fmt.Sprintf("OMA %d %s", i+1, pick(r, topics)), "./Device/Vendor/MSFT/Policy/Config/"+pick(r, areaIDs)+"/"+pick(r, settingIDs)
		if i == 0 {
			secret := fmt.Sprintf("%s_%s_%s", e.id, guid("oma", e.id), guid("secret", e.id))
			out[i] = object("@odata.type", graphNS+"omaSettingString", "displayName", name, "description", nil, "omaUri", uri,
				"secretReferenceValueId", secret, "isEncrypted", true, "value", "****")
			continue
		}
		out[i] = object("@odata.type", graphNS+"omaSettingInteger", "displayName", name, "description", "", "omaUri", uri,
			"secretReferenceValueId", nil, "isEncrypted", false, "value", r.IntN(1000), "isReadOnly", false)
	}
	return out
}

func (m *maker) compliancePolicy(e *entry, r *rand.Rand) json.RawMessage {
	const kind = "deviceCompliancePolicies"
	if e.index%3 == 2 {
		return object(append(m.common(kind, "macOSCompliancePolicy", e, r), "passwordRequired", true, "passwordMinimumLength", 6+r.IntN(8),
			"osMinimumVersion", fmt.Sprintf("15.%d", r.IntN(6)), "systemIntegrityProtectionEnabled", true, "storageRequireEncryption", true)...)
	}
	return object(append(m.common(kind, "windows10CompliancePolicy", e, r), "passwordRequired", r.IntN(2) == 0, "passwordMinimumLength", nil,
		"requireHealthyDeviceReport", true, "osMinimumVersion", fmt.Sprintf("10.0.%d.%d", 19045+r.IntN(3)*3500, r.IntN(5000)), "bitLockerEnabled", true,
		"secureBootEnabled", true, "codeIntegrityEnabled", r.IntN(2) == 0, "activeFirewallRequired", true, "defenderEnabled", true,
		"validOperatingSystemBuildRanges", []json.RawMessage{}, "deviceCompliancePolicyScript", nil)...)
}

func (m *maker) scheduledActions(e *entry, r *rand.Rand) []json.RawMessage {
	configurations := []json.RawMessage{}
	for i, action := range []string{"block", "notification", "retire"}[:1+r.IntN(3)] {
		configurations = append(configurations, object("id", guid("action", e.id, action), "gracePeriodHours", 24*i*(1+r.IntN(5)), "actionType", action,
			"notificationTemplateId", zeroGUID, "notificationMessageCCList", []string{}))
	}
	return []json.RawMessage{object("id", guid("rule", e.id), "ruleName", nil, "scheduledActionConfigurations", configurations)}
}

func (m *maker) groupPolicy(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	return object("createdDateTime", created, "displayName", m.name("groupPolicyConfigurations", e.index), "description", m.description(r),
		"roleScopeTagIds", m.tags(r), "policyConfigurationIngestionType", "builtIn", "id", e.id, "lastModifiedDateTime", modified)
}

func (m *maker) definitionValues(e *entry, r *rand.Rand) []json.RawMessage {
	n := 1 + r.IntN(8)
	if e.index%5 == 0 { // more than a page
		n += childPage
	}
	out := make([]json.RawMessage, n)
	for i := range out {
		id := guid("definitionValue", e.id, strconv.Itoa(i))
		created, modified := times(r)
		setting := pick(r, settingIDs)
		definition := object("id", guid("definition", setting), "classType", pick(r, []string{"machine", "user"}), "displayName", setting,
			"explainText", "Pick \"Enabled\" to turn this on.\r\n\r\nIf you disable it, <nothing> happens.", "categoryPath", `\Windows Components\`+pick(r, areas),
			"supportedOn", "At least Windows 10", "policyType", "admxBacked", "hasRelatedDefinitions", false, "groupPolicyCategoryId", guid("category", setting),
			"minDeviceCspVersion", "5.0", "minUserCspVersion", "0.0", "version", "1.0", "lastModifiedDateTime", created)
		out[i] = object("createdDateTime", created, "enabled", r.IntN(4) > 0, "configurationType", "policy", "id", id, "lastModifiedDateTime", modified,
			"definition", definition, "presentationValues", presentationValues(id, r))
	}
	return out
}

func presentationValues(owner string, r *rand.Rand) []json.RawMessage {
	out := make([]json.RawMessage, r.IntN(3))
	for i := range out {
		id := guid("presentationValue", owner, strconv.Itoa(i))
		created, modified := times(r)
		presentation := object("@odata.type", graphNS+"groupPolicyPresentationTextBox", "label", pick(r, topics), "id", guid("presentation", id),
			"lastModifiedDateTime", created, "defaultValue", "", "required", false, "maxLength", 1023)
		out[i] = object("@odata.type", graphNS+"groupPolicyPresentationValueText", "createdDateTime", created, "lastModifiedDateTime", modified,
			"id", id, "value", pick(r, settingStrings), "presentation", presentation)
	}
	return out
}

func powershell(r *rand.Rand, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\r\n$ErrorActionPreference = 'Stop'\r\n", name)
	for range 3 + r.IntN(30) {
		fmt.Fprintf(&b, "Set-ItemProperty -Path 'HKLM:\\SOFTWARE\\Northwind\\%s' -Name '%s' -Value %d\r\n", pick(r, areaIDs), pick(r, settingIDs), r.IntN(100))
	}
	return base64.StdEncoding.EncodeToString([]byte(b.String()))
}

func (m *maker) script(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	name := m.name("deviceManagementScripts", e.index)
	return object("enforceSignatureCheck", false, "runAs32Bit", r.IntN(2) == 0, "id", e.id, "displayName", name, "description", m.description(r),
		"createdDateTime", created, "lastModifiedDateTime", modified, "runAsAccount", pick(r, []string{"system", "user"}),
		"fileName", fmt.Sprintf("Set-Config%d.ps1", e.index), "roleScopeTagIds", m.tags(r), "scriptContent", powershell(r, name))
}

func (m *maker) healthScript(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	name := m.name("deviceHealthScripts", e.index)
	global := e.index == 0
	if global {
		name = "Restart stopped Office C2R svc"
	}
	return object("id", e.id, "publisher", pick(r, []string{"Northwind IT", "Microsoft"}), "version", "1."+strconv.Itoa(r.IntN(9)), "displayName", name,
		"description", m.description(r), "createdDateTime", created, "lastModifiedDateTime", modified, "runAsAccount", "system", "enforceSignatureCheck", false,
		"runAs32Bit", false, "roleScopeTagIds", m.tags(r), "isGlobalScript", global, "highestAvailableVersion", nil, "deviceHealthScriptType", "deviceHealthScript",
		"detectionScriptParameters", []json.RawMessage{}, "remediationScriptParameters", []json.RawMessage{},
		"detectionScriptContent", powershell(r, "detect "+name), "remediationScriptContent", powershell(r, "fix "+name))
}
