package canonical

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// Hashing must stay small beside reading: every sync hashes everything.
func BenchmarkHash(b *testing.B) {
	setting := `{"@odata.type":"#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance","settingDefinitionId":"device_vendor_msft_policy_config_x","settingInstanceTemplateReference":null,"choiceSettingValue":{"settingValueTemplateReference":null,"value":"device_vendor_msft_policy_config_x_1","children":[]}}`
	o := object{Raw: json.RawMessage(`{"@odata.type":"#microsoft.graph.x","id":"1","name":"n","description":"d","roleScopeTagIds":["0"]}`)}
	size := 0
	for i := range 60 {
		raw := fmt.Appendf(nil, `{"id":"%d","settingInstance":%s}`, i, strings.Replace(setting, `[]`, `[`+setting+`,`+setting+`]`, 1))
		o.Children = append(o.Children, Element{Collection: "settings", Raw: raw})
		size += len(raw)
	}
	typ, _ := catalog.Lookup("configurationPolicies")
	h := NewHasher(typ)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(o.Raw, o.Children, o.Assignments); err != nil {
			b.Fatal(err)
		}
	}
}
