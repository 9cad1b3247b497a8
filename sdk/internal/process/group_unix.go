//go:build unix

package process

import "syscall"

// KillGroup kills the process and what it has started, where it leads a
// process group of its own; elsewhere the group is somebody else's, and left alone.
func KillGroup() {
	if leads() {
		_ = syscall.Kill(0, syscall.SIGKILL) // what is left then ends by itself
	}
}

// leads tells whether the process leads a group of its own.
func leads() bool { return syscall.Getpgrp() == syscall.Getpid() }
