package graphsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// call is one request to the simulator.
type call struct {
	method    string
	path      string // as sent, without the query
	query     url.Values
	host      string
	at        time.Time
	requestID string
	clientID  string

	version string // beta or v1.0, else whatever stands there
	app     string
	tenant  *Tenant
}

func (s *Server) newCall(r *http.Request) *call {
	c := &call{method: r.Method, path: pathOf(r), host: r.Host, at: s.now(), requestID: kind.RandomGUID()}
	c.version, _, _ = cutVersion(c.path)
	// net/url drops parameters with a semicolon, and nested $expand options contain one.
	c.query, _ = url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if c.clientID = r.Header.Get("client-request-id"); c.clientID == "" {
		c.clientID = c.requestID
	}
	return c
}

func pathOf(r *http.Request) string { return strings.TrimSuffix(r.URL.Path, "/") }

// tenantOf returns the tenant of a call for fault rules, before anything is
// checked.
func (s *Server) tenantOf(c *call, r *http.Request) string {
	if claims, reason := s.authenticate(r, c.at); reason == "" {
		return claims.Tenant
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	return first
}

// graph handles every path below /beta and /v1.0.
func (s *Server) graph(c *call, r *http.Request) *response {
	_, rest, ok := cutVersion(c.path)
	if !ok {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Invalid version: "+c.version)
	}
	claims, reason := s.authenticate(r, c.at)
	if reason != "" {
		return c.refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", reason)
	}
	a := s.tenants[claims.Tenant]
	if a == nil || a.app != claims.App {
		return c.refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
	}
	c.tenant, c.app = a.content, claims.App
	if rest == "$batch" {
		return s.batch(c, r)
	}
	k, below := kind.At(rest)
	if k == nil {
		k, below = kindKeyed(rest)
	}
	if k == nil || c.version == "v1.0" && !k.V1 {
		return c.noSegment(unknownSegment(rest))
	}
	if wait, ok := s.quotas.allow(c, k); !ok {
		return c.throttled(k, wait)
	}
	if c.method != http.MethodGet {
		return c.refuse(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	q, err := parseQuery(c.query)
	if err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequest", err.Error())
	}
	c.tenant.mu.RLock()
	defer c.tenant.mu.RUnlock()
	return s.read(c, k, below, q)
}

// cutVersion splits /beta/groups into beta and groups.
func cutVersion(path string) (version, rest string, ok bool) {
	version, rest, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return version, rest, version == "beta" || version == "v1.0"
}

func pathParts(path string) []string { return strings.Split(path, "/") }

// kindKeyed is [kindAt] for collection('id'), which Graph takes beside
// collection/id.
func kindKeyed(rest string) (*kind.Kind, string) {
	before, after, ok := strings.Cut(rest, "('")
	if !ok {
		return nil, ""
	}
	k, below := kind.At(before)
	id, tail, ok := strings.Cut(after, "')")
	if k == nil || below != "" || !ok {
		return nil, ""
	}
	return k, id + tail
}

func unknownSegment(rest string) string {
	parts := pathParts(rest)
	if len(parts) > 1 && (parts[0] == "deviceManagement" || parts[0] == "deviceAppManagement" || parts[0] == "identity") {
		return parts[1]
	}
	return parts[0]
}

// read handles a GET of a list, of an item, or of something below an item.
func (s *Server) read(c *call, k *kind.Kind, below string, q query) *response {
	if below == "" {
		return s.list(c, k, q)
	}
	parts := pathParts(below)
	e := c.tenant.kinds[k.Name].byID[parts[0]]
	if e == nil {
		return c.notFound(k, parts[0])
	}
	if len(parts) == 1 {
		return s.item(c, k, e, q)
	}
	n, ok := k.Nav(parts[1])
	if !ok {
		return c.noSegment(parts[1])
	}
	return s.below(c, n, c.tenant.nav(k, e, n.Name), fmt.Sprintf("%s('%s')/%s", k.Collection, e.id, n.Name), parts[2:], q)
}

// below handles what is under a navigation property: its elements, one of them
// (parts is its id), a collection under that one, and so on down.
func (s *Server) below(c *call, n kind.Nav, els kind.Sequence, context string, parts []string, q query) *response {
	if len(parts) == 0 {
		return s.children(c, n, els, context, q)
	}
	i := slices.IndexFunc(els.All(), func(e json.RawMessage) bool { return rawjson.Text(e, "id") == parts[0] })
	if i < 0 {
		return c.refuseIntune(http.StatusNotFound, "ResourceNotFound", "An error has occurred", 0)
	}
	el := els.At(i)
	if len(parts) == 1 {
		return respond(http.StatusOK, rawjson.Prepend(show(n, el, q.expand), `"@odata.context":`+rawjson.Quote(c.metadata(context+"/$entity"))))
	}
	under, ok := kind.NavNamed(n.Below, parts[1])
	if !ok {
		return c.noSegment(parts[1])
	}
	inside, err := rawjson.Elements(rawjson.Property(el, under.Name))
	if err != nil {
		inside = nil // absent or null: none
	}
	return s.below(c, under, kind.SequenceOf(inside), fmt.Sprintf("%s('%s')/%s", context, parts[0], under.Name), parts[2:], q)
}

func (s *Server) list(c *call, k *kind.Kind, q query) *response {
	after, ok := s.skipped(c, q)
	if !ok {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Skip token is invalid.")
	}
	page, more := c.tenant.page(k, after, s.pageSize(k.Name, kind.ListPage, q))
	values := make([]json.RawMessage, len(page))
	for i, e := range page {
		raw, err := s.shape(c, k, e, q, k.ListCuts)
		if err != nil {
			return c.refuse(http.StatusBadRequest, "BadRequest", err.Error())
		}
		values[i] = raw
	}
	next := 0
	if more {
		next = page[len(page)-1].seq
	}
	return s.envelope(c, k.Collection+selected(q.names), values, next)
}

func (s *Server) item(c *call, k *kind.Kind, e *entry, q query) *response {
	raw, err := s.shape(c, k, e, q, nil)
	if err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequest", err.Error())
	}
	if rawjson.Property(raw, "@odata.context") == nil {
		raw = rawjson.Prepend(raw, `"@odata.context":`+rawjson.Quote(c.metadata(k.Collection+selected(q.names)+"/$entity")))
	}
	return respond(http.StatusOK, raw)
}

// shape applies cuts, $select and $expand to one object.
func (s *Server) shape(c *call, k *kind.Kind, e *entry, q query, cuts []string) (json.RawMessage, error) {
	raw := c.tenant.body(k, e)
	if len(cuts) > 0 {
		raw = rawjson.Cut(raw, cuts...)
	}
	if len(q.names) > 0 {
		raw = rawjson.Keep(raw, q.names)
	}
	for _, x := range q.expand {
		n, ok := k.Nav(x.Name)
		if !ok {
			return nil, kind.Refusal(fmt.Sprintf("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.%s'.", x.Name, k.Entity))
		}
		els := showAll(n, c.tenant.nav(k, e, n.Name).All(), x.Expand)
		if note := n.Name + "@odata.context"; rawjson.Property(raw, note) == nil {
			raw = rawjson.AppendMember(raw, note, rawjson.Encode(c.metadata(fmt.Sprintf("%s('%s')/%s", k.Collection, e.id, n.Name))))
		}
		raw = rawjson.AppendMember(raw, n.Name, rawjson.Array(els))
	}
	return raw, nil
}

func (s *Server) children(c *call, n kind.Nav, els kind.Sequence, context string, q query) *response {
	after, ok := s.skipped(c, q)
	if !ok || after > els.Len {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Skip token is invalid.")
	}
	end := min(after+s.pageSize(n.Name, kind.ChildPage, q), els.Len)
	page := showAll(n, els.Slice(after, end), q.expand)
	if len(q.names) > 0 {
		for i := range page {
			page[i] = rawjson.Keep(page[i], q.names)
		}
	}
	next := 0
	if end < els.Len {
		next = end
	}
	return s.envelope(c, context+selected(q.names), page, next)
}

func showAll(n kind.Nav, els []json.RawMessage, expand []kind.Expansion) []json.RawMessage {
	out := make([]json.RawMessage, len(els))
	for i, e := range els {
		out[i] = show(n, e, expand)
	}
	return out
}

// show removes from an element what the call did not ask for.
func show(n kind.Nav, el json.RawMessage, expand []kind.Expansion) json.RawMessage {
	var hide []string
	for _, name := range n.Cuts {
		if !expanded(expand, name) {
			hide = append(hide, name)
		}
	}
	if len(hide) == 0 {
		return el
	}
	return rawjson.Cut(el, hide...)
}

// envelope returns a page of a collection. next is where the next page begins, 0
// on the last page.
func (s *Server) envelope(c *call, context string, values []json.RawMessage, next int) *response {
	out := []byte(`{"@odata.context":` + rawjson.Quote(c.metadata(context)))
	if next > 0 {
		out = append(out, `,"@odata.nextLink":`+rawjson.Quote(c.nextLink(s.skipToken(c, next)))...)
	}
	out = append(out, `,"value":`...)
	out = append(out, rawjson.Array(values)...)
	return respond(http.StatusOK, append(out, '}'))
}

// metadata returns an OData context. It always names Microsoft's host, so that
// the bytes of an object do not depend on our port.
func (c *call) metadata(fragment string) string {
	return "https://graph.microsoft.com/" + c.version + "/$metadata#" + fragment
}

func (c *call) nextLink(token string) string {
	q := url.Values{}
	for k, v := range c.query {
		q[k] = v
	}
	q.Set("$skiptoken", token)
	return "https://" + c.host + c.path + "?" + strings.ReplaceAll(q.Encode(), "%24", "$")
}
