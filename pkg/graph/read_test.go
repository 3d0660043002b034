package graph

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/graph/canonical"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// shelf serves policies with settings in pages of 25, as Intune does.
type shelf struct {
	policies int
	settings int // of each
	page     int // of the list
}

// odd JSON that must survive: spaces, escapes, exponents, duplicate keys.
const oddities = `"description" : "a\u00e9\/b <&> é", "x":1.50e0,"x": 1.5 `

func (s shelf) policy(i, claimed int) string {
	return fmt.Sprintf(`{ "id":"p%d","name":"Policy %d", %s,"settingCount":%d}`, i, i, oddities, claimed)
}

func setting(i int) string {
	return fmt.Sprintf(`{"id":"%d", "settingInstance":{"settingDefinitionId":"d%d"}}`, i, i)
}

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host + "/beta/deviceManagement/configurationPolicies"
	skip, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	id, child, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/beta/deviceManagement/configurationPolicies"), "/settings")
	switch {
	case id == "":
		writePage(w, base, skip, s.page, s.policies, func(i int) string { return s.policy(i, s.settings) })
	case strings.HasSuffix(r.URL.Path, "/assignments"):
		_, _ = io.WriteString(w, `{"value":[{"id":"a", "target":{"groupId":"g"}}]}`)
	case strings.HasSuffix(r.URL.Path, "/settings") && child == "":
		writePage(w, base+id+"/settings", skip, 25, s.settings, setting)
	default:
		http.NotFound(w, r)
	}
}

func writePage(w io.Writer, base string, skip, size, of int, element func(int) string) {
	end := min(skip+size, of)
	var elements []string
	for i := skip; i < end; i++ {
		elements = append(elements, element(i))
	}
	next := ""
	if end < of {
		next = fmt.Sprintf(`,"@odata.nextLink":"%s?$skiptoken=%d"`, base, end)
	}
	_, _ = fmt.Fprintf(w, `{"@odata.context":"c","value":[%s]%s}`, strings.Join(elements, " , "), next)
}

func mustLookup(t *testing.T, name string) catalog.Type {
	t.Helper()
	found, ok := catalog.Lookup(name)
	require.True(t, ok)
	return found
}

func collect(into map[string]Object) func(Object) error {
	return func(o Object) error {
		into[o.ID] = o
		return nil
	}
}

func TestReadType_whole(t *testing.T) {
	t.Parallel()
	s := shelf{policies: 95, settings: 60, page: 10}
	w := setup(t, inside(s.ServeHTTP))
	got := make(map[string]Object)
	result, err := w.ReadType(t.Context(), mustLookup(t, "configurationPolicies"), collect(got))
	require.NoError(t, err)
	require.True(t, result.Complete)
	require.Equal(t, 95, result.Listed)
	require.Equal(t, 95, result.Read)
	require.Len(t, got, 95)
	require.Equal(t, len(w.requests()), result.Requests)
	require.Less(t, result.Requests, 95, "children are read in batches")
	for i := range 95 {
		o := got[fmt.Sprintf("p%d", i)]
		require.NoError(t, o.Err)
		require.Equal(t, s.policy(i, 60), string(o.Raw), "bytes as sent")
		require.Equal(t, fmt.Sprintf("Policy %d", i), o.Name)
		require.Equal(t, []string{`{"id":"a", "target":{"groupId":"g"}}`}, texts(o.Assignments))
		require.Len(t, o.Children, 60)
		for n, e := range o.Children {
			require.Equal(t, canonical.Element{Collection: "settings", Ordinal: n, ID: strconv.Itoa(n), Raw: []byte(setting(n))}, e)
		}
	}
}

func texts[T ~[]byte](raws []T) []string {
	out := make([]string, len(raws))
	for i, r := range raws {
		out[i] = string(r)
	}
	return out
}

func TestExist(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int // of p1; p0 and p2 are there
		there  []string
		class  Class // of the error
	}{
		"all there":  {status: 200, there: []string{"p0", "p1", "p2"}},
		"one gone":   {status: 404, there: []string{"p0", "p2"}},
		"one closed": {status: 403, class: ClassPermission},
		"refused":    {status: 401, class: ClassTenantAuth},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, inside(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/deviceConfigurations/p1") {
					w.WriteHeader(tt.status)
				}
				_, _ = io.WriteString(w, `{"id":"x"}`)
			}))
			there, requests, err := w.Exist(t.Context(), mustLookup(t, "deviceConfigurations"), []string{"p0", "p1", "p2"})
			if tt.class != "" {
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, tt.class, e.Class)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.there, there)
			require.Equal(t, 1, requests)
		})
	}
}

func TestReadType_stopsWithYield(t *testing.T) {
	t.Parallel()
	w := setup(t, inside(shelf{policies: 200, page: 50}.ServeHTTP))
	stop := errors.New("enough")
	calls := 0
	result, err := w.ReadType(t.Context(), mustLookup(t, "configurationPolicies"), func(Object) error {
		calls++
		return stop
	})
	require.ErrorIs(t, err, stop)
	require.Equal(t, 1, calls, "not called again after it failed")
	require.False(t, result.Complete)
}

func TestReadType_incomplete(t *testing.T) {
	t.Parallel()
	s := shelf{policies: 3, settings: 30, page: 10}
	tests := map[string]struct {
		suffix string // of the path that misbehaves
		status int
		body   string
		code   string
	}{
		"fewer settings than claimed":  {suffix: "/p1/settings", body: `{"value":[{"id":"0"}]}`, status: 200, code: CodeIncomplete},
		"settings refused":             {suffix: "/p1/settings", body: `{"error":{"code":"Forbidden","message":"no"}}`, status: 403, code: "Forbidden"},
		"assignments missing":          {suffix: "/p1/assignments", body: `{"error":{"code":"NotFound","message":"no"}}`, status: 404, code: "NotFound"},
		"a page without value":         {suffix: "/p1/assignments", body: `{}`, status: 200, code: CodeMalformed},
		"settings that are no objects": {suffix: "/p1/settings", body: `{"value":[1]}`, status: 200, code: CodeIncomplete},
		"a page that names itself next": {
			suffix: "/p1/assignments", status: 200, code: CodeLoop,
			body: `{"value":[],"@odata.nextLink":"BASE/beta/deviceManagement/configurationPolicies/p1/assignments"}`,
		},
		"a link to a foreign host": {
			suffix: "/p1/assignments", status: 200, code: CodeForeignHost,
			body: `{"value":[],"@odata.nextLink":"https://graph.example.com/beta/x"}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var base string
			w := setup(t, inside(func(rw http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, test.suffix) {
					s.ServeHTTP(rw, r)
					return
				}
				rw.WriteHeader(test.status)
				_, _ = io.WriteString(rw, strings.ReplaceAll(test.body, "BASE", base))
			}))
			base = w.url
			got := make(map[string]Object)
			result, err := w.ReadType(t.Context(), mustLookup(t, "configurationPolicies"), collect(got))
			require.NoError(t, err)
			require.Equal(t, ReadResult{Listed: 3, Read: 2, Failed: 1, Requests: result.Requests}, result)
			var e *Error
			require.ErrorAs(t, got["p1"].Err, &e)
			require.Equal(t, test.code, e.Code)
			require.Empty(t, got["p1"].Children, "nothing of it may be stored")
			require.Len(t, got["p2"].Children, 30)
		})
	}
}

// A list that moves while it is paged shows some objects twice.
func TestReadType_listedTwice(t *testing.T) {
	t.Parallel()
	one := `{"id":"1","displayName":"F"}`
	w := setup(t, text("application/json", `{"value":[`+one+`,{"id":"2"},`+one+`]}`))
	result, err := w.ReadType(t.Context(), mustLookup(t, "assignmentFilters"), func(Object) error { return nil })
	require.NoError(t, err)
	require.Equal(t, ReadResult{Listed: 2, Read: 2, Requests: 1, Complete: true}, result)
}

// A tenant that turns us away in the middle ends the reading: no object after
// the first would fare better.
func TestReadType_turnedAway(t *testing.T) {
	t.Parallel()
	s := shelf{policies: 50, settings: 1, page: 50}
	w := setup(t, inside(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "configurationPolicies") {
			s.ServeHTTP(rw, r)
			return
		}
		status(401)(rw, r)
	}), func(c *Config) { c.Concurrency = 1 })
	_, err := w.ReadType(t.Context(), mustLookup(t, "configurationPolicies"), func(Object) error { return nil })
	require.Equal(t, "tenant_auth", ReasonCode(err))
	require.LessOrEqual(t, len(w.requests()), 5)

	single := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "deviceConfigurations") {
			_, _ = io.WriteString(rw, `{"value":[{"id":"1"}]}`)
			return
		}
		status(401)(rw, r)
	})
	_, err = single.ReadType(t.Context(), mustLookup(t, "deviceConfigurations"), func(Object) error { return nil })
	require.Equal(t, "tenant_auth", ReasonCode(err))
}
