package rpctest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is [Address] for a test.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := Address(t.Context())
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	return address
}

// Address answers an address of loopback that nobody listens on, for a process
// that must be told one. It is below the ports that systems give to whoever asks for
// any (RFC 6335, section 6): between our asking and the process' listening, some
// connection of another test would sooner or later get such a one.
func Address(ctx context.Context) (string, error) {
	const first, last, tries = 10_000, 32_000, 100
	for range tries {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)) //nolint:gosec // any port will do
		if lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address); err == nil {
			_ = lis.Close()
			return address, nil
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", first, last)
}
