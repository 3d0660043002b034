package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrHeld is the error of Lock when another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock locks file for this process, or fails with ErrHeld. The lock is held as long as
// this process, or one that inherited the returned file, has it open.
func Lock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrHeld
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return f, nil
}

// State is what a running launcher writes down for other launchers.
type State struct {
	PID         int       `json:"pid"`
	StartTime   time.Time `json:"start_time"`
	Console     string    `json:"console"`
	Simulator   string    `json:"simulator"`
	Source      string    `json:"source"` // what the simulator serves
	WorkspaceID int64     `json:"workspace_id"`
	TenantID    int64     `json:"tenant_id"`
	Token       string    `json:"token"`     // file of the API token
	Authority   string    `json:"authority"` // file of the CA that signs for the simulator
}

// Alive reports whether the launcher that wrote s still runs. A launcher that was
// killed leaves its state behind.
func (s State) Alive() bool { return s.PID > 0 && syscall.Kill(s.PID, 0) == nil }

// WriteState replaces file in one step.
func WriteState(file string, s State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	next := filepath.Join(filepath.Dir(file), ".next-"+filepath.Base(file))
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

// ReadState reads what WriteState wrote.
func ReadState(file string) (State, error) {
	var s State
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}
