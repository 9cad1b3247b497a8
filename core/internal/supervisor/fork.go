package supervisor

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
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
		r.started <- startUnlessBusy(r.cmd)
	}
}

// startUnlessBusy starts a command. A file that was written just now cannot be run for
// as long as a process that was forked meanwhile, elsewhere in this one, has not closed
// what it inherited; that is over in moments.
func startUnlessBusy(cmd *exec.Cmd) error {
	as := *cmd
	err := cmd.Start()
	for tries := 0; tries < busyTries && errors.Is(err, syscall.ETXTBSY); tries++ {
		time.Sleep(busyPause)
		*cmd = as
		err = cmd.Start()
	}
	return err
}

const (
	busyTries = 40
	busyPause = 5 * time.Millisecond
)
