// Package process is how a plugin's process lives: it ends when it is told to,
// or when whoever started it is gone, and collects its garbage seldom.
package process

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// parent is who started the process: asked for as the process begins, since one
// that had gone by then would look like another.
var parent = os.Getppid()

// parentInterval is how often the process looks for its parent.
const parentInterval = time.Second

// CollectSeldom lets the heap grow to five times what is in use before the garbage
// is collected, unless the environment says otherwise. What is in use of a plugin
// is some megabytes, so a collection costs much more than the memory that it frees.
func CollectSeldom() {
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
