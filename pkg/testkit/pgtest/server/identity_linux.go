package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// identity is whom PostgreSQL runs as, since it refuses to be root.
type identity struct {
	uid, gid  int  // of another user, if dropping root
	drop      bool // to uid and gid
	namespace bool // stay root outside, be an ordinary user inside a user namespace
}

// identityFor is ourselves, unless we are root: then the user postgres (or
// nobody) where that user can get to dir, else a user namespace, which needs no
// change to the folders above.
func identityFor(dir string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{}, nil
	}
	if !reachable(dir) {
		return identity{namespace: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return identity{}, fmt.Errorf("user %s: %w", name, err)
		}
		return identity{uid: uid, gid: gid, drop: true}, nil
	}
	return identity{namespace: true}, nil
}

// reachable reports whether everybody may pass through dir and all above it.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

func (i identity) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true} // a ^C at the terminal must not reach it before us
	switch {
	case i.drop:
		a.Credential = &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid), Groups: []uint32{}} //nolint:gosec // ids fit
	case i.namespace:
		a.Cloneflags = syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
	}
	return a
}

// own gives path and all below it to the identity.
func (i identity) own(path string) error {
	if !i.drop {
		return nil
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, i.uid, i.gid)
	})
}
