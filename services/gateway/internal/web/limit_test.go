package web

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// A caller that keeps making requests is not forgotten, however many others come. If it
// were, it would get a full bucket again.
func TestFloodOfCallers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := NewLimiter(0.001, 1, func() time.Time { return now })
	if err := l.Take("busy"); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * maxBuckets {
		if err := l.Take(fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 && l.Take("busy") == nil {
			t.Fatalf("forgotten after %d other callers", n+1)
		}
	}
}

// A token that keeps being used is not forgotten either.
func TestFloodOfTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	i := newIdentity(nil, nil, func() time.Time { return now })
	busy := sha256.Sum256([]byte("busy"))
	i.remember(busy, actor.Actor{UserID: 7})
	for n := range 2 * maxKnown {
		i.remember(sha256.Sum256([]byte(fmt.Sprint(n))), actor.Actor{})
		if a, ok := i.recall(busy); !ok || a.UserID != 7 {
			t.Fatalf("forgotten after %d other tokens", n+1)
		}
	}
	now = now.Add(believed)
	if _, ok := i.recall(busy); ok {
		t.Error("known for longer than it may be")
	}
}
