package executortest

import (
	"os"

	"golang.org/x/sys/unix"
)

// enough is for the servers of one package's tests.
const enough = 4 << 30

// MemoryDir makes a folder with a short path (that of a socket has at most 107 bytes), in memory where the system has
// room there: servers make hundreds of files for every database, and sync. Who calls removes it.
func MemoryDir(pattern string) (string, error) {
	const memory = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= enough { //nolint:gosec // a block's size
		if dir, err := os.MkdirTemp(memory, pattern); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", pattern)
}
