// Package servers starts servers of others for tests: the real ones, as
// processes of the test's own on this machine, which end with it.
//
// What a test reads of a server is where it listens; what a test does to it is
// what happens to servers in the world: they are killed, they come back with
// their data, they answer late, break off, or refuse.
package servers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A process is a server that runs, and what it wrote.
type process struct {
	cmd  *exec.Cmd
	log  string        // its file
	done chan struct{} // closed when it has ended
}

// launch starts a process whose output is appended to the file log.
func launch(log, name string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &process{cmd: exec.CommandContext(context.Background(), name, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.SysProcAttr = dyingWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	return p, nil
}

// await asks ready, several times a second, until it agrees. It fails with the
// end of the log when the process ends or the time has passed.
func (p *process) await(timeout time.Duration, ready func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(timeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it has ended, %v; its log ends with\n%s", p.cmd.ProcessState, tail(p.log))
		case <-late:
			return fmt.Errorf("it is not ready after %v: %w; its log ends with\n%s", timeout, err, tail(p.log))
		case <-tick.C:
		}
	}
}

// kill ends the process as a power cut would, but for what the system holds.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end, and kills it where it does not within the time.
func (p *process) stop(timeout time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(timeout):
		p.kill()
		return fmt.Errorf("it has not ended %v after SIGTERM; its log ends with\n%s", timeout, tail(p.log))
	}
}

// tail is the end of a file, 4 KB of it.
func tail(path string) string {
	const most = 4 << 10
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text))
}

// freePorts are n ports of the loopback address on which nobody listens. They
// lie below those that systems give to connections, so that a server which is
// away for a moment finds its own free again.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer listener.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports from 20000 to 32000", n)
}
