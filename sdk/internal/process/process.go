// Package process is how a plugin's process lives: it ends when it is told to,
// or when whoever started it is gone, and keeps its memory small.
package process

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// parentInterval is how often the process looks for its parent.
const parentInterval = time.Second

// Frugal has the garbage collector work for a small heap, unless the
// environment says otherwise: many plugins share a machine with the core, and
// most of them rest most of the time.
func Frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// UntilTold waits until the process is to end, and says why: it was sent
// SIGTERM, or its parent has gone, which orphaned is true for. SIGINT does not
// count: a terminal sends it to the host too, and the host decides when its
// plugins end. None of these signals ends the process afterwards either: it is
// about to end by itself.
func UntilTold() (reason string, orphaned bool) {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	dropped := make(chan os.Signal, 1)
	// Nobody reads these: they are taken and dropped. A host that has gone reads
	// no log; writing one must not end the process before its group is killed.
	signal.Notify(dropped, os.Interrupt, syscall.SIGPIPE)

	parent := os.Getppid()
	look := time.NewTicker(parentInterval)
	defer look.Stop()
	for {
		select {
		case <-terminate:
			return "told to end", false
		case <-look.C:
			if os.Getppid() != parent {
				return "the process that started the plugin has gone", true
			}
		}
	}
}
