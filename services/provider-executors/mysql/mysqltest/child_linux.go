package mysqltest

import (
	"os/exec"
	"syscall"
)

// dieWithUs lets a server end with the process of the tests, however that ends.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
