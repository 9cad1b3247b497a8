//go:build !linux

package servers

import "syscall"

// dyingWithParent has nothing to offer: only Linux ends a process with the one
// that started it.
func dyingWithParent() *syscall.SysProcAttr { return nil }
