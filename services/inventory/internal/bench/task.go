package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
	"github.com/tenantpilot/tenantpilot/pkg/tenants/connect"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	job "github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/sync"
)

// task is what a child process does: a sync into a database, or bare requests.
type task struct {
	Graph, CA, Token string
	Database         string
	Run              int64
	Requests         []request
}

// outcome is the result of a task.
type outcome struct {
	Succeeded bool
	Seconds   float64
	Counts    map[string]int64
	PeakBytes int64
}

// Child does the one task that it reads from in, and writes the outcome to out.
func Child(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	trusted, err := roots.Only(t.CA)
	if err != nil {
		return err
	}
	var o outcome
	if t.Database != "" {
		o, err = t.sync(ctx, trusted)
	} else {
		o, err = t.bare(ctx, trusted)
	}
	if err != nil {
		return err
	}
	if o.PeakBytes, err = measure.PeakMemory(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o)
}

func (t task) sync(ctx context.Context, trusted *x509.CertPool) (outcome, error) {
	db, err := pg.Open(ctx, t.Database, 0)
	if err != nil {
		return outcome{}, err
	}
	defer db.Close()
	cfg := graph.DefaultConfig()
	cfg.RootCAs, cfg.Concurrency, cfg.Limits = trusted, concurrency, graph.Unlimited()
	connector := connect.With(t, cfg)
	defer connector.Close()
	syncer := sync.New(store.New(db), connector, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	about, err := structpb.NewStruct(item.Selection{policies}.Context(0))
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	result, err := syncer.Sync(ctx, &job.Run{ID: t.Run, WorkspaceID: 1, TenantID: 1, Epoch: 1, Context: about}, func(map[string]int64) {})
	return outcome{
		Succeeded: result.Outcome == operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED,
		Seconds:   time.Since(start).Seconds(), Counts: result.Counts,
	}, err
}

// IssueGraphToken makes a task a tenancy service that has one token.
func (t task) IssueGraphToken(context.Context, *tenancyv1.IssueGraphTokenRequest, ...grpc.CallOption) (*tenancyv1.IssueGraphTokenResponse, error) {
	return &tenancyv1.IssueGraphTokenResponse{
		AccessToken: t.Token, GraphUrl: t.Graph, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
	}, nil
}

// bare makes the recorded requests in their order, and reads the responses.
func (t task) bare(ctx context.Context, trusted *x509.CertPool) (outcome, error) {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: concurrency,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, r := range t.Requests {
		group.Go(func() error { return t.say(ctx, client, r) })
	}
	err := group.Wait()
	return outcome{Succeeded: err == nil, Seconds: time.Since(start).Seconds()}, err
}

func (t task) say(ctx context.Context, client *http.Client, r request) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, t.Graph+r.URI, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", r.Method, r.URI, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func fetchToken(ctx context.Context, client *http.Client, graph string) (string, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"secret"},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, graph+"/"+directory+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	return answer.AccessToken, json.NewDecoder(resp.Body).Decode(&answer)
}
