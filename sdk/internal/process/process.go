// Package process is how a plugin's process lives: it ends when it is told to,
// or when whoever started it is gone, and keeps its memory small.
package process

import (
	"context"
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
		debug.SetGCPercent(50)
	}
}

// UntilTold waits until the process is to end, and says why: it was sent
// SIGTERM, or its parent has gone, which orphaned is true for. SIGINT does not
// count: a terminal sends it to the host too, and the host decides when its
// plugins end. Where ctx ends first there is no reason.
func UntilTold(ctx context.Context) (reason string, orphaned bool) {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt) // nobody reads it: it is taken and dropped
	defer signal.Stop(interrupt)

	parent := os.Getppid()
	look := time.NewTicker(parentInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", false
		case <-terminate:
			return "told to end", false
		case <-look.C:
			if os.Getppid() != parent {
				return "the process that started the plugin has gone", true
			}
		}
	}
}
