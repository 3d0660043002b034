package graphsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
)

var areaIDs = []string{
	"abovelock", "applicationmanagement", "authentication", "browser", "bitlocker", "connectivity", "credentialproviders", "cryptography", "defender",
	"deliveryoptimization", "devicelock", "dmaguard", "eventlogservice", "experience", "firewall", "kerberos", "lanmanworkstation", "localpoliciessecurityoptions",
	"microsoft_edge", "networklistmanager", "power", "printers", "privacy", "remotedesktopservices", "smartscreen", "system", "update", "windowslogon",
}

var settingIDs = []string{
	"allowtelemetry", "allowusbconnection", "blockcrossdeviceclipboard", "cloudblocklevel", "configuresystemguardlaunch", "deferfeatureupdatesperiodindays",
	"disableadvertisingid", "enablesmartscreeninshell", "enforcelocksreenmachineidletimeout", "excludedextensions", "excludedpaths", "hardeneduncpaths", "idletimeoutminutes",
	"inactivitylimit", "loglevel", "maximumlogfilesize", "minencryptionkeysize", "notifyuserbeforerestart", "passwordexpirationdays", "preventenablinglockscreencamera",
	"proxysettings", "realtimescandirection", "requirepassword", "scheduledscantime", "trustedpublishers", "userrightsassignments",
}

const graphType = "#microsoft.graph.deviceManagementConfiguration"

// settingCount is how many settings policy i has: most a handful, some exactly
// at and just past a page, a few hundreds.
func (m *maker) settingCount(i int) int {
	r := m.rng("configurationPolicies", "count", i)
	switch i % 20 {
	case 0:
		if i%200 == 0 {
			return 300
		}
		return 60 + r.IntN(120)
	case 5:
		return childPage
	case 6:
		return childPage + 1
	case 10:
		return 2 * childPage
	case 15:
		return 1
	}
	return 1 + r.IntN(20)
}

func (m *maker) configurationPolicy(e *entry, r *rand.Rand) json.RawMessage {
	created, modified := times(r)
	family, template, display := "none", "", any(nil)
	if r.IntN(5) == 0 {
		family, template = "endpointSecurityAttackSurfaceReduction", "e8c053d6-9f95-42b1-a7f1-ebfd71c67a4b_1"
		display = "Attack Surface Reduction Rules"
	}
	platform, technology := "windows10", "mdm"
	if r.IntN(4) == 0 {
		platform, technology = "macOS", "mdm,appleRemoteManagement"
	}
	return object(
		"createdDateTime", created, "creationSource", nil, "description", m.description(r), "lastModifiedDateTime", modified,
		"name", m.name("configurationPolicies", e.index), "platforms", platform, "priorityMetaData", nil, "roleScopeTagIds", m.tags(r),
		"settingCount", m.settingCount(e.index), "technologies", technology, "id", e.id,
		"templateReference", object("templateId", template, "templateFamily", family, "templateDisplayName", display, "templateDisplayVersion", nil))
}

// settings makes every setting from a source of chance of its own.
func (m *maker) settings(e *entry, r *rand.Rand) sequence {
	space := len(areaIDs) * len(settingIDs)
	start := r.IntN(space)
	return sequence{len: m.settingCount(e.index), at: func(i int) json.RawMessage {
		n := (start + 31*i) % space // 31 shares no factor with the space: no definition twice
		def := "device_vendor_msft_policy_config_" + areaIDs[n%len(areaIDs)] + "_" + settingIDs[n/len(areaIDs)]
		return object("id", strconv.Itoa(i), "settingInstance", instance(m.rng(e.id, "setting", i), def, 0))
	}}
}

// instance makes one setting instance; depth bounds the tree below it.
func instance(r *rand.Rand, def string, depth int) json.RawMessage {
	kind := r.IntN(100)
	switch {
	case kind < 45 || depth > 2 && kind < 70:
		return choice(r, def, nil)
	case kind < 60 && depth < 3:
		return choice(r, def, nested(r, def, depth))
	case kind < 68 && depth < 3:
		return groupCollection(r, def, depth)
	case kind < 76:
		return simpleCollection(r, def)
	case kind < 78:
		secret := object("@odata.type", graphType+"SecretSettingValue", "settingValueTemplateReference", nil,
			"value", guid(def), "valueState", "encryptedValueToken")
		return object("@odata.type", graphType+"SimpleSettingInstance", "settingDefinitionId", def, "settingInstanceTemplateReference", nil, "simpleSettingValue", secret)
	}
	return object("@odata.type", graphType+"SimpleSettingInstance", "settingDefinitionId", def, "settingInstanceTemplateReference", nil, "simpleSettingValue", simpleValue(r))
}

func nested(r *rand.Rand, def string, depth int) []json.RawMessage {
	out := make([]json.RawMessage, 1+r.IntN(3))
	for i := range out {
		out[i] = instance(r, fmt.Sprintf("%s_%s%d", def, pick(r, settingIDs), i), depth+1)
	}
	return out
}

func choice(r *rand.Rand, def string, children []json.RawMessage) json.RawMessage {
	if children == nil {
		children = []json.RawMessage{}
	}
	value := object("settingValueTemplateReference", nil, "value", def+"_"+strconv.Itoa(r.IntN(3)), "children", children)
	return object("@odata.type", graphType+"ChoiceSettingInstance", "settingDefinitionId", def, "settingInstanceTemplateReference", nil, "choiceSettingValue", value)
}

// groupCollection makes rows of settings, as firewall rules and macOS payloads are.
func groupCollection(r *rand.Rand, def string, depth int) json.RawMessage {
	rows := make([]json.RawMessage, 1+r.IntN(3))
	for i := range rows {
		rows[i] = object("settingValueTemplateReference", nil, "children", nested(r, def+"_{row}", depth))
	}
	return object("@odata.type", graphType+"GroupSettingCollectionInstance", "settingDefinitionId", def, "settingInstanceTemplateReference", nil, "groupSettingCollectionValue", rows)
}

func simpleCollection(r *rand.Rand, def string) json.RawMessage {
	values := make([]json.RawMessage, 1+r.IntN(5))
	for i := range values {
		values[i] = stringValue(r)
	}
	return object("@odata.type", graphType+"SimpleSettingCollectionInstance", "settingDefinitionId", def, "settingInstanceTemplateReference", nil, "simpleSettingCollectionValue", values)
}

func simpleValue(r *rand.Rand) json.RawMessage {
	if r.IntN(2) == 0 {
		return stringValue(r)
	}
	return object("@odata.type", graphType+"IntegerSettingValue", "settingValueTemplateReference", nil, "value", r.IntN(65536))
}

var settingStrings = []string{
	`C:\Program Files\Contoso\*.exe`, "https://intranet.northwind.example/?a=1&b=2", `{"ExtensionInstallForcelist":["odfafepnkmbhccpbejgmiehpchacaeak"]}`,
	"*S-1-5-32-544", "time.northwind.example", "Grüße aus Zürich – <b>IT</b>", "", "0xF0000000", "サポート窓口: 03-0000-0000", "<enabled/>\r\n<data id=\"x\" value=\"1\"/>", "admin_*",
}

func stringValue(r *rand.Rand) json.RawMessage {
	return object("@odata.type", graphType+"StringSettingValue", "settingValueTemplateReference", nil, "value", pick(r, settingStrings))
}
