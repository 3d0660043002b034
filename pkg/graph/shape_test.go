package graph

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/graph/canonical"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// responses maps a path with its query to the body that the server returns. The server
// returns 404 for any other path, so a wrong path in the catalog fails the test.
type responses map[string]string

func (a responses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := a[r.RequestURI]
	if !ok {
		status(404)(w, r)
		return
	}
	_, _ = io.WriteString(w, body)
}

func TestReadType_eachShape(t *testing.T) {
	t.Parallel()
	const group = `{"target":{"groupId":"g"}}`
	dm := "/beta/deviceManagement/"
	tests := map[string]struct {
		of   string
		at   responses
		want Object
	}{
		"item read for its script": {
			of: "deviceManagementScripts",
			at: responses{
				dm + "deviceManagementScripts":               `{"value":[{"id":"1","displayName":"S","scriptContent":null}]}`,
				dm + "deviceManagementScripts/1":             `{"@odata.context":"c","id":"1","displayName":"S","scriptContent":"ZWNobw=="}`,
				dm + "deviceManagementScripts/1/assignments": `{"value":[` + group + `]}`,
			},
			want: Object{ID: "1", Name: "S", Raw: []byte(`{"@odata.context":"c","id":"1","displayName":"S","scriptContent":"ZWNobw=="}`), Assignments: []json.RawMessage{[]byte(group)}},
		},
		"Microsoft's own script, without content": {
			of: "deviceHealthScripts",
			at: responses{
				dm + "deviceHealthScripts":               `{"value":[{"id":"1","isGlobalScript":true}]}`,
				dm + "deviceHealthScripts/1":             `{"id":"1","displayName":"H","isGlobalScript":true,"detectionScriptContent":null}`,
				dm + "deviceHealthScripts/1/assignments": `{"value":[]}`,
			},
			want: Object{ID: "1", Name: "H", Raw: []byte(`{"id":"1","displayName":"H","isGlobalScript":true,"detectionScriptContent":null}`)},
		},
		"compliance with its actions": {
			of: "deviceCompliancePolicies",
			at: responses{
				dm + "deviceCompliancePolicies?$expand=scheduledActionsForRule($expand=scheduledActionConfigurations)": `{"value":[{"@odata.type":"#t","id":"1","scheduledActionsForRule":[]}]}`,
				dm + "deviceCompliancePolicies/1/assignments":                                                          `{"value":[]}`,
			},
			want: Object{ID: "1", ODataType: "#t", Raw: []byte(`{"@odata.type":"#t","id":"1","scheduledActionsForRule":[]}`)},
		},
		"administrative template, two levels down": {
			of: "groupPolicyConfigurations",
			at: responses{
				dm + "groupPolicyConfigurations":                                                                       `{"value":[{"id":"1","displayName":"G"}]}`,
				dm + "groupPolicyConfigurations/1/assignments":                                                         `{"value":[]}`,
				dm + "groupPolicyConfigurations/1/definitionValues?$expand=definition":                                 `{"value":[{"id":"d1"},{"id":"d2"}]}`,
				dm + "groupPolicyConfigurations/1/definitionValues/d1/presentationValues?$expand=presentation":         `{"value":[{"id":"p1"}],"@odata.nextLink":"BASE` + dm + `groupPolicyConfigurations/1/definitionValues/d1/presentationValues?$skiptoken=1"}`,
				dm + "groupPolicyConfigurations/1/definitionValues/d1/presentationValues?$skiptoken=1":                 `{"value":[{"id":"p2"}]}`,
				dm + "groupPolicyConfigurations/1/definitionValues/d2/presentationValues?$expand=presentation":         `{"value":[]}`,
				dm + "groupPolicyConfigurations/1/definitionValues/d2/presentationValues?$expand=presentation&$top=25": `{"value":[]}`,
			},
			want: Object{ID: "1", Name: "G", Raw: []byte(`{"id":"1","displayName":"G"}`), Children: []canonical.Element{
				{Collection: "definitionValues", Ordinal: 0, ID: "d1", Raw: []byte(`{"id":"d1"}`)},
				{Collection: "definitionValues", Ordinal: 1, ID: "d2", Raw: []byte(`{"id":"d2"}`)},
				{Collection: "presentationValues", ParentID: "d1", Ordinal: 0, ID: "p1", Raw: []byte(`{"id":"p1"}`)},
				{Collection: "presentationValues", ParentID: "d1", Ordinal: 1, ID: "p2", Raw: []byte(`{"id":"p2"}`)},
			}},
		},
		"application with more assignments than were expanded": {
			of: "mobileApps",
			at: responses{
				"/beta/deviceAppManagement/mobileApps?$expand=categories,assignments":    `{"value":[{"id":"1","assignments":[` + group + `],"assignments@odata.nextLink":"BASE/beta/deviceAppManagement/mobileApps/1/assignments?$skiptoken=1"}]}`,
				"/beta/deviceAppManagement/mobileApps/1/assignments?$skiptoken=1":        `{"value":[{"target":{}}]}`,
				"/beta/deviceAppManagement/mobileApps/1/assignments?$skiptoken=notasked": `{}`,
			},
			want: Object{ID: "1", Raw: []byte(`{"id":"1","assignments":[` + group + `],"assignments@odata.nextLink":"BASE/beta/deviceAppManagement/mobileApps/1/assignments?$skiptoken=1"}`), Assignments: []json.RawMessage{[]byte(group), []byte(`{"target":{}}`)}},
		},
		"filter, in the list alone": {
			of:   "assignmentFilters",
			at:   responses{dm + "assignmentFilters": `{"value":[{"id":"1","displayName":"F"}]}`},
			want: Object{ID: "1", Name: "F", Raw: []byte(`{"id":"1","displayName":"F"}`)},
		},
		"an id that must be escaped": {
			of: "deviceConfigurations",
			at: responses{
				dm + "deviceConfigurations":                       `{"value":[{"id":"a/b c","displayName":null}]}`,
				dm + "deviceConfigurations/a%2Fb%20c/assignments": `{"value":[]}`,
			},
			want: Object{ID: "a/b c", Raw: []byte(`{"id":"a/b c","displayName":null}`)},
		},
		"a type without objects": {of: "conditionalAccess/policies", at: responses{"/beta/identity/conditionalAccess/policies": `{"value":[]}`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, inside(func(rw http.ResponseWriter, r *http.Request) { test.at.based(r.Host).ServeHTTP(rw, r) }))
			var got Object
			result, err := w.ReadType(t.Context(), mustLookup(t, test.of), func(o Object) error { got = o; return nil })
			require.NoError(t, err)
			require.NoError(t, got.Err)
			require.True(t, result.Complete)
			test.want.Raw = []byte(based(string(test.want.Raw), w.url))
			require.Equal(t, len(test.want.Assignments), len(got.Assignments))
			require.Equal(t, texts(test.want.Assignments), texts(got.Assignments))
			if test.want.ID != "" {
				want, err := canonical.NewHasher(mustLookup(t, test.of)).Hash(got.Raw, got.Children, got.Assignments)
				require.NoError(t, err)
				require.Equal(t, want, got.Hash)
				got.Hash = [32]byte{}
			}
			got.Assignments, test.want.Assignments = nil, nil
			if test.want.ID == "" {
				test.want.Raw = nil
			}
			require.Equal(t, test.want, got)
		})
	}
}

// What Graph leaves out or cuts short must not pass for the whole.
func TestReadType_holes(t *testing.T) {
	t.Parallel()
	dm := "/beta/deviceManagement/"
	tests := map[string]struct {
		of string
		at responses
	}{
		"a script without its content": {of: "deviceManagementScripts", at: responses{
			dm + "deviceManagementScripts":               `{"value":[{"id":"1"}]}`,
			dm + "deviceManagementScripts/1":             `{"id":"1","scriptContent":null}`,
			dm + "deviceManagementScripts/1/assignments": `{"value":[]}`,
		}},
		"another script than asked for": {of: "deviceManagementScripts", at: responses{
			dm + "deviceManagementScripts":               `{"value":[{"id":"1"}]}`,
			dm + "deviceManagementScripts/1":             `{"id":"2","scriptContent":"x"}`,
			dm + "deviceManagementScripts/1/assignments": `{"value":[]}`,
		}},
		"an expansion cut short": {of: "deviceCompliancePolicies", at: responses{
			dm + "deviceCompliancePolicies?$expand=scheduledActionsForRule($expand=scheduledActionConfigurations)": `{"value":[{"id":"1","scheduledActionsForRule":[{"scheduledActionConfigurations":[],"scheduledActionConfigurations@odata.nextLink":"x"}]}]}`,
			dm + "deviceCompliancePolicies/1/assignments":                                                          `{"value":[]}`,
		}},
		"an expansion not done": {of: "mobileApps", at: responses{
			"/beta/deviceAppManagement/mobileApps?$expand=categories,assignments": `{"value":[{"id":"1"}]}`,
		}},
		"two elements of one id, whose parts could not be told apart": {of: "groupPolicyConfigurations", at: responses{
			dm + "groupPolicyConfigurations":                                                               `{"value":[{"id":"1"}]}`,
			dm + "groupPolicyConfigurations/1/assignments":                                                 `{"value":[]}`,
			dm + "groupPolicyConfigurations/1/definitionValues?$expand=definition":                         `{"value":[{"id":"d1"},{"id":"d1"}]}`,
			dm + "groupPolicyConfigurations/1/definitionValues/d1/presentationValues?$expand=presentation": `{"value":[{"id":"p1"}]}`,
		}},
		"an object without an id":    {of: "assignmentFilters", at: responses{dm + "assignmentFilters": `{"value":[{"displayName":"x"}]}`}},
		"an element that is null":    {of: "assignmentFilters", at: responses{dm + "assignmentFilters": `{"value":[null]}`}},
		"an element of another kind": {of: "assignmentFilters", at: responses{dm + "assignmentFilters": `{"value":["x"]}`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, inside(test.at.ServeHTTP))
			var got Object
			result, err := w.ReadType(t.Context(), mustLookup(t, test.of), func(o Object) error { got = o; return nil })
			require.NoError(t, err)
			require.ErrorContains(t, got.Err, CodeIncomplete)
			require.Equal(t, ReadResult{Listed: 1, Failed: 1, Requests: result.Requests}, result)
		})
	}
}

func (a responses) based(host string) responses {
	out := make(responses, len(a))
	for path, body := range a {
		out[path] = based(body, "http://"+host)
	}
	return out
}

// The first requests of one object must fit one batch.
func TestFirstParts_fitABatch(t *testing.T) {
	t.Parallel()
	for _, typ := range catalog.Types() {
		require.LessOrEqual(t, firstParts(typ), BatchSize, typ.Name)
	}
}
