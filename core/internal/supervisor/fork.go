package supervisor

import (
	"os/exec"
	"runtime"
)

// A forker starts processes from one thread of the operating system. The death
// signal that ends a plugin with the core is bound to the thread that forked
// it, not to the process: from a thread that the runtime retires, it would
// kill healthy plugins.
type forker struct {
	requests chan forkRequest
	done     chan struct{}
}

type forkRequest struct {
	cmd     *exec.Cmd
	started chan error
}

func newForker() *forker {
	f := &forker{requests: make(chan forkRequest), done: make(chan struct{})}
	ready := make(chan struct{})
	go f.run(ready)
	<-ready
	return f
}

// start starts a command. Its standard streams must be files, so that nobody
// but the caller waits for them.
func (f *forker) start(cmd *exec.Cmd) error {
	r := forkRequest{cmd: cmd, started: make(chan error, 1)}
	f.requests <- r
	return <-r.started
}

// close ends the thread, and with it every process that it forked and that
// still runs. Nobody may call start any more.
func (f *forker) close() {
	close(f.requests)
	<-f.done
}

func (f *forker) run(ready chan<- struct{}) {
	defer close(f.done)
	// Never unlocked: the thread ends with this goroutine and serves no other.
	runtime.LockOSThread()
	close(ready)
	for r := range f.requests {
		r.started <- r.cmd.Start()
	}
}
