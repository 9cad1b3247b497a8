package servers

import "syscall"

// dyingWithParent makes a process end with the test that starts it, however
// that one ends.
func dyingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
