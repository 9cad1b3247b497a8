package process

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tributary-bus/tributary/sdk/control"
)

// orphaned is what the system tells a plugin when its host is gone: one of the
// real-time signals, which mean nothing to anybody else.
const orphaned = syscall.Signal(44)

// The host has the system kill a plugin with SIGKILL when the host is gone, and
// the plugin alone: what that has started would go on. A plugin of ours asks to be
// told instead, and kills its group, itself included.
//
// What is asked for is a thing of the thread that was executed: in init we are on it.
func init() {
	if os.Getenv(control.Handshake.MagicCookieKey) != control.Handshake.MagicCookieValue || !leads() {
		return
	}
	// Where the host wants no signal there shall be none: it would come as soon as
	// the thread ends that has started the plugin.
	var wanted int32
	err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&wanted)), 0, 0, 0)
	if err != nil || syscall.Signal(wanted) != syscall.SIGKILL {
		return
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, orphaned)
	if unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(orphaned), 0, 0, 0) != nil {
		return // it stays with SIGKILL
	}
	go func() { // for as long as the process
		<-told
		KillGroup()
	}()
}
