// Package measure tells what a benchmark over a PostgreSQL server must say or know of
// the machine: what it is, what else it does, and what processes took of it. It needs
// Linux's /proc.
package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine names the processor, how many there are, and Go's version.
func Machine() string {
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo") // what is missing is not said
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), model, runtime.Version())
}

// LoadAverage returns that of the last minute; 0 if the system does not have it.
func LoadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// OnDisk refuses a folder in memory, where a commit costs nothing.
func OnDisk(dir string) error {
	const tmpfs = 0x01021994
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == tmpfs {
		return fmt.Errorf("%s is in memory: choose a folder on a disk with -dir", dir)
	}
	return nil
}

// process is what /proc tells of one.
type process struct {
	parent    int
	own, dead time.Duration // CPU time of it, and of its children that ended
}

// tick is the unit of /proc's times on every Linux that Go runs on.
const tick = time.Second / 100

func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// After the name, which may hold anything: state ppid … utime stime cutime cstime.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	number := func(i int) int {
		n, _ := strconv.Atoi(string(fields[i])) // the kernel writes numbers
		return n
	}
	return process{
		parent: number(1),
		own:    time.Duration(number(11)+number(12)) * tick,
		dead:   time.Duration(number(13)+number(14)) * tick,
	}, nil
}

// FamilyTime is the CPU time of pid and all its children, also those that ended: of
// a PostgreSQL server and its backends.
func FamilyTime(pid int) (time.Duration, error) {
	p, err := readProcess(pid)
	if err != nil {
		return 0, err
	}
	total := p.own + p.dead
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := readProcess(child); err == nil && p.parent == pid { // it may have ended meanwhile
			total += p.own
		}
	}
	return total, nil
}

// OwnTime returns the CPU time of this process.
func OwnTime() time.Duration { return used(syscall.RUSAGE_SELF) }

// ChildTime returns the CPU time of the children that this process has waited
// for.
func ChildTime() time.Duration { return used(syscall.RUSAGE_CHILDREN) }

func used(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0 // unreachable: who is one that there is
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// PeakMemory returns the most memory that this process held at a time, in bytes.
// For a child process the number that its parent reads includes the parent's own
// memory before the child began.
func PeakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, errors.New("the system does not tell peak memory")
	}
	kibibytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kibibytes << 10, err
}

// Profile writes a CPU profile of the next length of the process whose debug port is
// at address, at least a second, to file, and makes its folder.
func Profile(ctx context.Context, address string, length time.Duration, file string) error {
	query := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, max(int(length.Seconds()), 1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, query, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	f, err := os.Create(file) //nolint:gosec // named by who runs the benchmark
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
