package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// CheckFree returns an error that names an address on which another process listens,
// and that process if the system tells.
func CheckFree(addrs map[string]string) error {
	for name, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%s needs %s, which %s has: end it, or set TENANTPILOT_PORT_BASE (now the ports begin at 7000)", name, addr, owner(addr))
		}
		if err != nil {
			return fmt.Errorf("%s cannot listen on %s: %w", name, addr, err)
		}
		l.Close()
	}
	return nil
}

// owner returns the name of the process that listens on addr. It knows it only on
// Linux, and only for processes of the same user unless we are root.
func owner(addr string) string {
	const unknown = "another process"
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return unknown
	}
	inode := listener(tcp.Port)
	if inode == "" {
		return unknown
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return unknown
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			return describe(strings.Split(fd, "/")[2])
		}
	}
	return unknown
}

// listener returns the inode of the socket that listens on port, or "".
func listener(port int) string {
	const listening = "0A"
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return f[9]
			}
		}
	}
	return ""
}

func describe(pid string) string {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return "process " + pid
	}
	return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
}
