package executortest

import (
	"os/exec"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// Compression is what an executor has without settings: the zstd program where it is installed. Tests of engines that
// pass what a program writes use it; the built-in one is that of all others.
func Compression() archive.Compression {
	path, err := exec.LookPath("zstd")
	if err != nil {
		return archive.Compression{}
	}
	return archive.Compression{Program: path}
}
