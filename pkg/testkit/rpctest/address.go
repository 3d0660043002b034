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

// Address returns an address of loopback on which nobody listens, for a process
// that needs to be given one. The port is below those that systems hand out by
// themselves (RFC 6335, section 6): a connection of another test could otherwise
// take it before the process listens.
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
