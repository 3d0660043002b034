package graphsim

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
)

// query is the OData options a call may carry.
type query struct {
	names  []string // $select
	expand []kind.Expansion
	top    int // 0: not given
	skip   string
}

func parseQuery(values url.Values) (query, error) {
	var q query
	for key, v := range values {
		switch key {
		case "$select":
			q.names = split(v[0])
		case "$expand":
			expand, err := kind.ParseExpand(v[0])
			if err != nil {
				return q, err
			}
			q.expand = expand
		case "$top":
			n, err := strconv.Atoi(v[0])
			if err != nil || n < 1 {
				return q, kind.Refusal(fmt.Sprintf("Invalid value '%s' for $top query option found.", v[0]))
			}
			q.top = n
		case "$skiptoken":
			q.skip = v[0]
		case "$count":
		default:
			if strings.HasPrefix(key, "$") {
				return q, kind.Refusal(fmt.Sprintf("The query option '%s' is not supported.", key))
			}
		}
	}
	return q, nil
}

func split(list string) []string {
	var out []string
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func expanded(list []kind.Expansion, name string) bool {
	return slices.ContainsFunc(list, func(x kind.Expansion) bool { return x.Name == name })
}

func selected(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "(" + strings.Join(names, ",") + ")"
}

// pageSize is how many elements a page gets: $top may ask for fewer than the
// collection's maximum, and more is clamped.
func (s *Server) pageSize(name string, size int, q query) int {
	if n := s.pageSizes[name]; n > 0 {
		size = n
	}
	if q.top > 0 {
		size = min(size, q.top)
	}
	return size
}

// skipToken hides a position in a token that fits only this path.
func (s *Server) skipToken(c *call, position int) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(position))
	b = append(b, s.sign(c.path + "\n" + string(b))[:8]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// skipped reads the position out of q's token, 0 without one.
func (s *Server) skipped(c *call, q query) (position int, ok bool) {
	if q.skip == "" {
		return 0, true
	}
	b, err := base64.RawURLEncoding.DecodeString(q.skip)
	if err != nil || len(b) != 12 {
		return 0, false
	}
	position = int(binary.BigEndian.Uint32(b))
	return position, s.skipToken(c, position) == q.skip
}
