package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	n := 1000
	s := shelf{policies: n, settings: 60, page: 100}
	filler := strings.Repeat(`{"@odata.type":"#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance","settingDefinitionId":"device_vendor_msft_policy_config_x","value":12345,"b":"text \"x\""},`, 8)
	bigger = `,"f":[` + strings.Repeat(filler, 1) + `1]`
	handler := func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }
	_ = filler
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		inside(handler)(w, r)
	}))
	srv.Start()
	defer srv.Close()
	cfg := DefaultConfig()
	cfg.BaseURL = srv.URL
	cfg.Limits = Unlimited()
	p, _ := newPool(cfg)
	p.insecure = true
	rec := &recording{rt: p.http.Transport}
	p.http.Transport = rec
	c := p.Client("t", &secret{expiry: time.Now().Add(time.Hour)})
	typ, _ := Lookup("configurationPolicies")
	var peak uint64
	t0 := time.Now()
	var canon time.Duration
	res, err := c.ReadType(t.Context(), typ, func(o Object) error {
		c0 := time.Now()
		canon += time.Since(c0)
		var m runtime.MemStats
		if len(o.ID) == 4 && o.ID[1] == '5' {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
		return nil
	})
	ours := time.Since(t0)
	fmt.Println(res, err, "ours", ours, "canon", canon, "peak MiB", peak>>20, "bytes", rec.bytes>>20)
	// bare
	t0 = time.Now()
	ch := make(chan *req)
	var wg sync.WaitGroup
	for range cfg.Concurrency {
		wg.Go(func() {
			for q := range ch {
				hr, _ := http.NewRequest(q.method, q.url, strings.NewReader(q.body))
				resp, err := rec.rt.RoundTrip(hr)
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	for i := range rec.reqs {
		ch <- &rec.reqs[i]
	}
	close(ch)
	wg.Wait()
	bare := time.Since(t0)
	fmt.Printf("bare %v ratio %.2f\n", bare, float64(ours)/float64(bare))
}

type req struct{ method, url, body string }
type recording struct {
	rt    http.RoundTripper
	mu    sync.Mutex
	reqs  []req
	bytes int64
}

func (r *recording) RoundTrip(q *http.Request) (*http.Response, error) {
	body := ""
	if q.Body != nil {
		b, _ := io.ReadAll(q.Body)
		body = string(b)
		q.Body = io.NopCloser(strings.NewReader(body))
	}
	r.mu.Lock()
	r.reqs = append(r.reqs, req{q.Method, q.URL.String(), body})
	r.mu.Unlock()
	resp, err := r.rt.RoundTrip(q)
	if err == nil {
		resp.Body = &counted{resp.Body, r}
	}
	return resp, err
}

type counted struct {
	io.ReadCloser
	r *recording
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.r.mu.Lock()
	c.r.bytes += int64(n)
	c.r.mu.Unlock()
	return n, err
}

var _ = json.Valid
