package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestABusyPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = CheckFree(map[string]string{"the gateway": l.Addr().String()})
	for _, want := range []string{"the gateway", l.Addr().String(), fmt.Sprintf("(process %d)", os.Getpid()), "TENANTPILOT_PORT_BASE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckFree: %v, want it to say %q", err, want)
		}
	}
}

func TestAFreePortIsLeftFree(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	for range 2 {
		if err := CheckFree(map[string]string{"the gateway": addr}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(file); !errors.Is(err, ErrHeld) {
		t.Errorf("second Lock: %v, want ErrHeld", err)
	}
	first.Close()
	// A child that another test has just forked has the file open until it executes its program.
	again, err := Lock(file)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); errors.Is(err, ErrHeld) && time.Now().Before(end); again, err = Lock(file) {
		<-tick.C
	}
	if err != nil {
		t.Fatalf("Lock after it was let go: %v", err)
	}
	again.Close()
}

func TestStateIsReadAsWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "fleet.json")
	want := State{PID: 7, Console: "http://127.0.0.1:7080", Source: "a folder", WorkspaceID: 1, TenantID: 1 << 60}
	if err := WriteState(file, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadState(file); err != nil || got != want {
		t.Errorf("ReadState: %+v, %v, want %+v", got, err, want)
	}
}

func TestAStateOutlivesItsLauncher(t *testing.T) {
	t.Parallel()
	if !(State{PID: os.Getpid()}).Alive() {
		t.Error("our own state is not alive")
	}
	ended := exec.Command("/bin/true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if (State{PID: ended.Process.Pid}).Alive() || (State{}).Alive() {
		t.Error("the state of a process that ended is alive")
	}
}
