package web

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
	"log/slog"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestPreview(t *testing.T) {
	addr := os.Getenv("PREVIEW")
	if addr == "" {
		t.Skip()
	}
	w := newWorld()
	for i, r := range w.runs {
		_ = i
		shift(r)
	}
	conn, signer := connect(t, w)
	site, err := New(t.Context(), Config{Operations: conn, Tenancy: conn, Inventory: conn, Signer: signer, SessionKey: make([]byte, 32), Rate: 1000, Burst: 1000, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	must(t, err)
	go func() {
		for range time.Tick(300 * time.Millisecond) {
			w.change(11, func(r *operationsv1.Run) {
				if !active(r) { return }
				if r.CancelRequestTime != nil {
					r.Status, r.Outcome, r.CompleteTime = 3, operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED, timestamppb.Now()
					return
				}
				r.SummaryCounts["processed"] += 10
				r.SummaryCounts["unchanged"] += 10
			})
		}
	}()
	lis, err := net.Listen("tcp", addr)
	must(t, err)
	fmt.Println("preview on", addr)
	_ = http.Serve(lis, site)
}

func shift(r *operationsv1.Run) {
	d := time.Since(start()) - 2*time.Minute
	for _, p := range []**timestamppb.Timestamp{&r.CreateTime, &r.StartTime, &r.CompleteTime} {
		if *p != nil {
			*p = timestamppb.New((*p).AsTime().Add(d))
		}
	}
	_ = proto.Clone
}
