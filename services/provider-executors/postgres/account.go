package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// account is who runs a scratch server: nil is the executor's own user, which works unless that is root.
func (e *Engine) account() (*tool.Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(e.config.ScratchAccount)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", rejected("PostgreSQL does not run as root, and the account for scratch servers is not on the executor's machine: create it, name another in the setting scratchAccount, or ask for proof CHECKED"), err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil || uid == 0 {
		return nil, rejected("the account for scratch servers cannot be used: name an ordinary one in the setting scratchAccount")
	}
	return &tool.Account{UID: uint32(uid), GID: uint32(gid)}, nil
}

// handOver makes a private folder below dir for the account. dir and the folder of all scratch folders
// above it, which are the executor's own, can then be passed through by others and not be listed. What is
// above those is left as it is.
func handOver(dir, name string, as *tool.Account) (string, error) {
	sub := filepath.Join(dir, name)
	if err := os.Mkdir(sub, 0o700); err != nil {
		return "", spaceForServer.Failure(err)
	}
	if as == nil {
		return sub, nil
	}
	if err := errors.Join(os.Chown(sub, int(as.UID), int(as.GID)), letThrough(dir), letThrough(filepath.Dir(dir))); err != nil {
		return "", spaceForServer.Failure(err)
	}
	for above := dir; ; above = filepath.Dir(above) {
		if !passable(above, as) {
			return "", rejected("the account for scratch servers cannot reach the scratch folder, because a folder above it is closed to others: choose another in the setting scratch, or chmod o+x what is above")
		}
		if above == filepath.Dir(above) {
			return sub, nil
		}
	}
}

// letThrough lets others pass through a folder of the executor's own.
func letThrough(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || info.Mode()&0o001 != 0 {
		return nil
	}
	return os.Chmod(dir, info.Mode().Perm()|0o001)
}

func passable(dir string, as *tool.Account) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	bit := os.FileMode(0o001)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case st.Uid == as.UID:
			bit = 0o100
		case st.Gid == as.GID:
			bit = 0o010
		}
	}
	return info.Mode()&bit != 0
}
