package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// verdict is what a document was recognised as: an object of a kind, a part of
// one, or nothing, with the reason.
type verdict struct {
	kind   *kind
	part   string // the navigation property a part fills; "" for objects
	owner  string // id of a part's owner, where the document says it
	reason string
}

// classify tells a document's kind by @odata.type, else @odata.context, else shape.
func (d exported) classify() verdict {
	if d.els != nil {
		return d.classifyPart()
	}
	if part := partShape(d.raw); part != "" {
		return exported{els: []json.RawMessage{d.raw}, context: text(d.raw, "@odata.context")}.classifyPart()
	}
	if len(d.raw) == 0 || d.raw[0] != '{' {
		return verdict{reason: "not a JSON object"}
	}
	odataType, context := text(d.raw, "@odata.type"), text(d.raw, "@odata.context")
	if k := kindOfType(odataType); k != nil {
		return verdict{kind: k}
	}
	for _, c := range []string{context, d.context} {
		if k, _, _ := kindOfContext(c); k != nil {
			return verdict{kind: k}
		}
	}
	if odataType != "" {
		return verdict{reason: fmt.Sprintf("@odata.type %q is none of the types served", odataType)}
	}
	if context != "" {
		return verdict{reason: fmt.Sprintf("@odata.context %q is none of the types served", context)}
	}
	return shape(d.raw)
}

func (d exported) classifyPart() verdict {
	_, owner, part := kindOfContext(d.context)
	if len(d.els) > 0 {
		part = partShape(d.els[0])
	}
	if part == "assignments" && owner == "" {
		owner = assignmentOwner(d.els[0])
	}
	// An empty array still may be told by its file's name.
	return verdict{part: part, owner: owner}
}

// assignmentOwner reads the policy's id out of an assignment: its source, or
// the first half of its own id.
func assignmentOwner(el json.RawMessage) string {
	if id := text(el, "sourceId"); id != "" && id != zeroGUID {
		return id
	}
	id, _, _ := strings.Cut(text(el, "id"), "_")
	return id
}

// partShape recognises an element of a navigation property.
func partShape(raw []byte) string {
	has := keysOf(raw)
	switch {
	case has["settingInstance"]:
		return settings.name
	case has["target"] && strings.HasSuffix(text(property(raw, "target"), "@odata.type"), "AssignmentTarget"):
		return assignments.name
	case has["enabled"] && (has["definition"] || has["definition@odata.bind"]):
		return definitions.name
	case has["scheduledActionConfigurations"] && !has["displayName"]:
		return actions.name
	}
	return ""
}

func keysOf(raw []byte) map[string]bool {
	ms, err := members(raw)
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for _, m := range ms {
		out[m.key] = true
	}
	return out
}

// contextPath takes a metadata URL's fragment apart: collection, owner id, part.
var contextPath = regexp.MustCompile(`\$metadata#([A-Za-z]+(?:/[A-Za-z]+)*)(?:\('([^']+)'\)/([A-Za-z]+))?`)

func kindOfContext(context string) (k *kind, owner, part string) {
	m := contextPath.FindStringSubmatch(context)
	if m == nil {
		return nil, "", ""
	}
	k, _ = kindAt(m[1])
	return k, m[2], m[3]
}

// Types that end like a served base type and are something else.
var otherConfigurations = regexp.MustCompile(`^(deviceEnrollment|windows10Enrollment|.*MobileApp|.*[mM]anagedApp|androidManagedStoreApp|groupPolicy|deviceManagement)`)

var appTypes = []string{
	"windowsUniversalAppX", "windowsAppX", "windowsMobileMSI", "iosiPadOSWebClip", "macOSWebClip", "windowsPhoneXAP",
}

var exactTypes = map[string]string{
	"deviceManagementConfigurationPolicy":    "configurationPolicies",
	"groupPolicyConfiguration":               "groupPolicyConfigurations",
	"deviceManagementScript":                 "deviceManagementScripts",
	"deviceHealthScript":                     "deviceHealthScripts",
	"deviceAndAppManagementAssignmentFilter": "assignmentFilters",
	"payloadCompatibleAssignmentFilter":      "assignmentFilters",
	"roleScopeTag":                           "roleScopeTags",
	"conditionalAccessPolicy":                "conditionalAccess/policies",
	"group":                                  "groups",
}

// kindOfType finds the kind of an @odata.type; many kinds have derived types,
// told by how their names end.
func kindOfType(odataType string) *kind {
	name := strings.TrimPrefix(odataType, graphNS)
	switch {
	case name == "" || name == odataType:
		return nil
	case exactTypes[name] != "":
		return kindNamed(exactTypes[name])
	case strings.HasSuffix(name, "amedLocation"):
		return kindNamed("conditionalAccess/namedLocations")
	case strings.HasSuffix(name, "CompliancePolicy"):
		return kindNamed("deviceCompliancePolicies")
	case strings.HasSuffix(name, "App") || slices.Contains(appTypes, name):
		return kindNamed("mobileApps")
	case otherConfigurations.MatchString(name):
		return nil
	case strings.HasSuffix(name, "Configuration") || strings.Contains(name, "CertificateProfile") || strings.HasSuffix(name, "TrustedRootCertificate"):
		return kindNamed("deviceConfigurations")
	}
	return nil
}

// shapes tell a kind by properties no other kind has together.
var shapes = []struct {
	all  []string
	kind string
}{
	{[]string{"name", "platforms", "technologies"}, "configurationPolicies"},
	{[]string{"displayName", "conditions", "grantControls"}, "conditionalAccess/policies"},
	{[]string{"displayName", "conditions", "sessionControls"}, "conditionalAccess/policies"},
	{[]string{"displayName", "countriesAndRegions"}, "conditionalAccess/namedLocations"},
	{[]string{"displayName", "ipRanges"}, "conditionalAccess/namedLocations"},
	{[]string{"displayName", "detectionScriptContent"}, "deviceHealthScripts"},
	{[]string{"displayName", "runAsAccount", "scriptContent"}, "deviceManagementScripts"},
	{[]string{"displayName", "platform", "rule"}, "assignmentFilters"},
	{[]string{"displayName", "scheduledActionsForRule"}, "deviceCompliancePolicies"},
	{[]string{"displayName", "definitionValues"}, "groupPolicyConfigurations"},
	{[]string{"displayName", "policyConfigurationIngestionType"}, "groupPolicyConfigurations"},
	{[]string{"displayName", "omaSettings"}, "deviceConfigurations"},
	{[]string{"displayName", "publisher", "publishingState"}, "mobileApps"},
	{[]string{"displayName", "securityEnabled", "mailEnabled"}, "groups"},
	{[]string{"displayName", "description", "isBuiltIn", "id"}, "roleScopeTags"},
}

// shape recognises an object without any OData annotation.
func shape(raw []byte) verdict {
	has := keysOf(raw)
	all := func(keys []string) bool {
		return !slices.ContainsFunc(keys, func(k string) bool { return !has[k] })
	}
	switch {
	case has["settingsDelta"]:
		return verdict{reason: "an endpoint security intent (settingsDelta), a type not served"}
	case all([]string{"TenantId", "Objects"}):
		return verdict{reason: "a migration table of ids, not an object"}
	case has["rolePermissions"]:
		return verdict{reason: "a role definition, a type not served"}
	}
	for _, s := range shapes {
		if all(s.all) {
			return verdict{kind: kindNamed(s.kind)}
		}
	}
	return verdict{reason: "no @odata.type, no @odata.context, and not the shape of a type served; its properties: " + firstKeys(raw)}
}

func firstKeys(raw []byte) string {
	ms, _ := members(raw)
	var b bytes.Buffer
	for i, m := range ms {
		if i == 6 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.key)
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
