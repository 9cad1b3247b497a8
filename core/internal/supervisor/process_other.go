//go:build !linux

package supervisor

import (
	"os"
	"syscall"
)

// self is this process's own binary.
var self, _ = os.Executable()

// apart puts a process into a group of its own. Only Linux ends it with the one
// that started it; elsewhere it notices that its control connection is gone.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd has nothing to offer: only Linux waits for an end without taking it.
func awaitEnd(int) bool { return false }

// resident cannot be told: the limit of memory holds on Linux alone.
func resident(int) int64 { return 0 }
