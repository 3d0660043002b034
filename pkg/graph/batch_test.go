package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func asks(n int) []BatchRequest {
	reqs := make([]BatchRequest, n)
	for i := range reqs {
		reqs[i].Path = fmt.Sprintf("/deviceManagement/x/%d?a=b&c=<d>", i)
	}
	return reqs
}

func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, `{"path":%q}`, r.RequestURI)
}

func TestBatch_anyNumberInOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 20, 21, 45} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := setup(t, inside(echo))
			got, err := w.Batch(t.Context(), "beta", asks(n))
			require.NoError(t, err)
			require.Len(t, got, n)
			for i, r := range got {
				require.NoError(t, r.Err)
				require.Equal(t, fmt.Sprintf(`{"path":"/beta/deviceManagement/x/%d?a=b&c=<d>"}`, i), string(r.Body))
			}
			require.Equal(t, (n+19)/20, w.count("POST /beta/$batch"))
		})
	}
}

// A member is repeated by itself, when its own Retry-After says so.
func TestBatch_membersFailAlone(t *testing.T) {
	t.Parallel()
	times := make(map[string]int)
	w := setup(t, inside(func(w http.ResponseWriter, r *http.Request) {
		times[r.URL.Path]++
		again := times[r.URL.Path] == 1
		switch {
		case strings.HasSuffix(r.URL.Path, "/3") && again:
			status(429, "5")(w, r)
		case strings.HasSuffix(r.URL.Path, "/4") && again:
			status(503, "60")(w, r)
		case strings.HasSuffix(r.URL.Path, "/5") && again:
			status(424)(w, r)
		case strings.HasSuffix(r.URL.Path, "/6"):
			status(404)(w, r)
		case strings.HasSuffix(r.URL.Path, "/7"):
			status(500)(w, r)
		default:
			echo(w, r)
		}
	}))
	got, err := w.Batch(t.Context(), "beta", asks(10))
	require.NoError(t, err)
	for i, r := range got {
		switch i {
		case 6:
			require.Equal(t, "validation", ReasonCode(r.Err))
		case 7:
			require.Equal(t, "dependency", ReasonCode(r.Err))
		default:
			require.NoError(t, r.Err, i)
		}
	}
	counts := make([]int, 10)
	for i := range counts {
		counts[i] = times[fmt.Sprintf("/beta/deviceManagement/x/%d", i)]
	}
	require.Equal(t, []int{1, 1, 1, 2, 2, 2, 1, 8, 1, 1}, counts)
	require.GreaterOrEqual(t, w.clock.total(), time.Minute)
}

func TestBatch_everyMemberAccountedFor(t *testing.T) {
	t.Parallel()
	one := `{"id":"0","status":200,"body":{"n":0}}`
	two := `{"id":1,"status":200,"body":{"n":1}}`
	tests := map[string]struct {
		first string // the first batch response; later ones are whole
		batch int    // batches in all
	}{
		"numbers for ids":         {first: `{"responses":[` + two + `,` + one + `]}`, batch: 1},
		"one missing":             {first: `{"responses":[` + two + `]}`, batch: 2},
		"one twice":               {first: `{"responses":[` + one + `,` + two + `,{"id":"0","status":200,"body":{"n":9}}]}`, batch: 2},
		"an id never sent":        {first: `{"responses":[` + one + `,{"id":"7","status":200,"body":{}}]}`, batch: 2},
		"an id that is no number": {first: `{"responses":[` + one + `,{"id":"x","status":200,"body":{}}]}`, batch: 2},
		"no responses":            {first: `{}`, batch: 2},
		"cut off":                 {first: `{"responses":[` + one, batch: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					_, _ = io.WriteString(rw, test.first)
					return
				}
				inside(func(w http.ResponseWriter, r *http.Request) {
					_, _ = fmt.Fprintf(w, `{"n":%s}`, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
				})(rw, r)
			})
			got, err := w.Batch(t.Context(), "beta", asks(2))
			require.NoError(t, err)
			require.NoError(t, got[0].Err)
			require.NoError(t, got[1].Err)
			require.JSONEq(t, `{"n":0}`, string(got[0].Body))
			require.JSONEq(t, `{"n":1}`, string(got[1].Body))
			require.Len(t, w.requests(), test.batch)
		})
	}
}

func TestBatch_memberNeverAnswered(t *testing.T) {
	t.Parallel()
	w := setup(t, text("application/json", `{"responses":[]}`))
	got, err := w.Batch(t.Context(), "beta", asks(1))
	require.NoError(t, err)
	var e *Error
	require.ErrorAs(t, got[0].Err, &e)
	require.Equal(t, CodeNoAnswer, e.Code)
	require.Len(t, w.requests(), 8)
}

func TestBatch_wholeRefused(t *testing.T) {
	t.Parallel()
	w := setup(t, status(400))
	got, err := w.Batch(t.Context(), "beta", asks(21))
	require.NoError(t, err)
	for _, r := range got {
		require.Equal(t, "validation", ReasonCode(r.Err))
	}
	require.Len(t, w.requests(), 2)
}

// Writes are repeated only where Graph says it did nothing.
func TestBatch_writesAreNotRepeated(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		times  int
	}{
		"throttled":  {status: 429, times: 8},
		"dependency": {status: 424, times: 8},
		"gateway":    {status: 504, times: 1},
		"down":       {status: 503, times: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bodies := 0
			w := setup(t, inside(func(w http.ResponseWriter, r *http.Request) {
				var body struct{ A string }
				if json.NewDecoder(r.Body).Decode(&body) == nil && body.A == "<b>" {
					bodies++
				}
				status(test.status)(w, r)
			}))
			got, err := w.Batch(t.Context(), "beta", []BatchRequest{{Method: "POST", Path: "/x", Body: []byte(`{"a":"<b>"}`)}})
			require.NoError(t, err)
			require.Error(t, got[0].Err)
			require.Equal(t, test.times, bodies)
		})
	}
}

func TestBatch_wholeWithWritesIsNotRepeated(t *testing.T) {
	t.Parallel()
	for code, times := range map[int]int{503: 1, 429: 8} {
		w := setup(t, status(code))
		got, err := w.Batch(t.Context(), "beta", []BatchRequest{{Method: "POST", Path: "/x", Body: []byte(`{}`)}})
		require.NoError(t, err)
		require.Error(t, got[0].Err)
		require.Len(t, w.requests(), times)
	}
}

// Answers that are too large together are asked for apart.
func TestBatch_tooLargeTogether(t *testing.T) {
	t.Parallel()
	w := setup(t, inside(func(w http.ResponseWriter, r *http.Request) {
		size := 400
		if strings.HasSuffix(r.URL.Path, "/2") {
			size = 2000
		}
		_, _ = fmt.Fprintf(w, `"%s"`, strings.Repeat("x", size))
	}), func(c *Config) { c.MaxResponseBytes = 1000 })
	got, err := w.Batch(t.Context(), "beta", asks(4))
	require.NoError(t, err)
	for i, r := range got {
		if i == 2 {
			require.ErrorContains(t, r.Err, CodeTooLarge)
			continue
		}
		require.NoError(t, r.Err)
	}
}

func TestBatch_memberUnauthorized(t *testing.T) {
	t.Parallel()
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		inside(func(w http.ResponseWriter, q *http.Request) {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				status(401)(w, q)
				return
			}
			echo(w, q)
		})(rw, r)
	})
	got, err := w.Batch(t.Context(), "beta", asks(3))
	require.NoError(t, err)
	for _, r := range got {
		require.NoError(t, r.Err)
	}
	require.Equal(t, 1, w.cred.forced)

	refused := setup(t, inside(status(401)))
	_, err = refused.Batch(t.Context(), "beta", asks(3))
	require.Equal(t, "tenant_auth", ReasonCode(err))
	require.Len(t, refused.requests(), 2)
}
