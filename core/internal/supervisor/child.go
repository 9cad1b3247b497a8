package supervisor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

const (
	// drainPipes is how long what an ended process has written is still read.
	// Somebody whom it started may hold its pipes open for ever.
	drainPipes = 500 * time.Millisecond
	// lastWords is how long a process that go-plugin has no use for may take to
	// end by itself, which says more of it than that we killed it.
	lastWords = 500 * time.Millisecond
	// maxHandshake bounds the line by which a plugin says where it listens.
	// go-plugin reads twice as much.
	maxHandshake = 32 << 10
	// lastLines is how many lines of the standard error explain an end.
	lastLines = 5
)

// A child is the process of a plugin, as go-plugin runs one. It leads a group
// of its own, and whatever is left of the group when it has ended is killed.
type child struct {
	path    string
	args    []string
	env     []string // what go-plugin adds comes on top
	dir     string
	forker  *forker
	journal *journal

	handshake       *io.PipeReader
	announce        *io.PipeWriter
	exited          chan struct{} // closed when the process is gone
	ended           chan struct{} // closed when its output has been read, too
	stdout, stderr  *os.File
	pumps           sync.WaitGroup
	mu              sync.Mutex
	cmd             *exec.Cmd
	killed, started bool
	reaped, alone   bool     // alone: it ended before anybody killed it
	said            []byte   // the first line of its standard output; nil: none yet
	reason          string   // why we killed it
	panicked        bool     // last begins with why it died
	last            []string // of the standard error
}

var _ runner.Runner = (*child)(nil)

func newChild(path string, args []string, env []string, dir string, f *forker, j *journal) *child {
	c := &child{path: path, args: args, env: env, dir: dir, forker: f, journal: j, exited: make(chan struct{}), ended: make(chan struct{})}
	c.handshake, c.announce = io.Pipe()
	return c
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("make a pipe: %w", err), outRead.Close(), outWrite.Close())
	}
	defer outWrite.Close()
	defer errWrite.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stdout, c.stderr = outRead, errRead
	c.cmd = &exec.Cmd{
		Path: c.path, Args: c.args, Env: c.env, Dir: c.dir, Stdout: outWrite, Stderr: errWrite, SysProcAttr: apart(),
	}
	if c.killed {
		err = errors.New(c.reason)
	} else {
		err = c.forker.start(c.cmd)
	}
	if err != nil {
		c.announce.Close()
		return errors.Join(fmt.Errorf("start %s: %w", c.path, err), outRead.Close(), errRead.Close())
	}
	c.started = true
	c.pumps.Go(c.pumpOut)
	c.pumps.Go(c.pumpErr)
	go c.wait() // until ended is closed
	return nil
}

// Wait implements runner.Runner.
func (c *child) Wait(context.Context) error {
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started {
		<-c.ended
	}
	return nil
}

// Kill implements runner.Runner.
func (c *child) Kill(context.Context) error {
	if c.pid() != 0 {
		select {
		case <-c.exited:
		case <-time.After(lastWords):
		}
	}
	c.kill("")
	return nil
}

// kill ends the process and all that it has started. The first reason is kept.
func (c *child) kill(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == "" && !c.reaped {
		c.reason = reason
	}
	c.killed = true
	if c.started && !c.reaped {
		c.killGroup()
	}
}

// explain says why the process has ended, and what it wrote last. The reason is
// empty while it runs, and where go-plugin has ended it.
func (c *child) explain() (reason string, output []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason = c.reason
	if reason == "" && c.alone {
		reason = "ended by itself: " + c.cmd.ProcessState.String()
	}
	return reason, slices.Clone(c.last)
}

// spoke tells whether the process has announced itself, or written something else,
// before anybody had a reason to kill it.
func (c *child) spoke() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said != nil && c.reason == ""
}

// failed tells whether the process has ended by itself, and says that it could not
// go on: it has an exit status other than 0, or died of a signal. What it wrote
// first is among its last lines then: it was no announcement.
func (c *child) failed() bool {
	c.mu.Lock()
	failed, said := c.alone && !c.cmd.ProcessState.Success(), c.said
	c.mu.Unlock()
	if failed {
		c.pump(bytes.NewReader(said), func(text []byte) { c.remember(c.journal.write(text)) })
	}
	return failed
}

// pid is the number of the process, which is that of its group; 0: none was
// started.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return 0
	}
	return c.cmd.Process.Pid
}

// ID implements runner.Runner. It is never empty: go-plugin would then not
// clean up.
func (c *child) ID() string { return strconv.Itoa(c.pid()) }

// Name implements runner.Runner.
func (c *child) Name() string { return filepath.Base(c.path) }

// Stdout implements runner.Runner. It has one line: go-plugin need not wait
// for the pipes of a process to learn that it has ended.
func (c *child) Stdout() io.ReadCloser { return c.handshake }

// Stderr implements runner.Runner. It has nothing: the journal reads it.
func (c *child) Stderr() io.ReadCloser { return nothing{} }

// Diagnose implements runner.Runner.
func (c *child) Diagnose(context.Context) string {
	return "it does not speak the plugin protocol; plugins are built with package sdk"
}

// PluginToHost implements runner.Runner. The control service of a plugin is on a
// socket of this machine; to connect anywhere else may take minutes.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if host, _, err := net.SplitHostPort(address); network == "unix" || err == nil && net.ParseIP(host).IsLoopback() {
		return network, address, nil
	}
	return "", "", fmt.Errorf("it wants to be reached at %s %.100s; a plugin listens on a Unix socket or a loopback address", network, address)
}

// HostToPlugin implements runner.Runner.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }

// killGroup needs the lock, and that the process was not waited for.
func (c *child) killGroup() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }

func (c *child) wait() {
	defer close(c.ended)
	// What Wait returns is what ProcessState tells.
	held := awaitEnd(c.cmd.Process.Pid)
	if !held {
		_ = c.cmd.Wait()
	}
	c.mu.Lock()
	c.alone = !c.killed
	// What it has started goes with it, while its number is still its own.
	c.killGroup()
	if held {
		_ = c.cmd.Wait()
	}
	c.reaped = true
	c.mu.Unlock()
	close(c.exited)
	read := make(chan struct{})
	go func() { // ends with the pumps, which we wait for
		defer close(read)
		c.pumps.Wait()
	}()
	select {
	case <-read:
	case <-time.After(drainPipes):
	}
	c.stdout.Close()
	c.stderr.Close()
	<-read
}

// pumpOut gives go-plugin the first line, and the journal the others.
func (c *child) pumpOut() {
	r := bufio.NewReaderSize(c.stdout, maxHandshake)
	first, err := r.ReadSlice('\n')
	first = slices.Clone(first)
	if len(first) > 0 {
		c.mu.Lock()
		c.said = first
		c.mu.Unlock()
	} else {
		// It is said to have ended by itself rather than to be no plugin.
		select {
		case <-c.exited:
		case <-time.After(drainPipes):
		}
	}
	go func() { // ends when the line is read, or the reader closed
		if len(first) > 0 {
			_, _ = c.announce.Write(first)
		}
		c.announce.Close()
	}()
	if err == nil || errors.Is(err, bufio.ErrBufferFull) {
		c.pump(r, func(text []byte) { c.journal.write(text) })
	}
}

func (c *child) pumpErr() {
	c.pump(c.stderr, func(text []byte) {
		c.remember(c.journal.write(text))
	})
}

func (c *child) pump(from io.Reader, emit func([]byte)) {
	w := &lineWriter{emit: emit}
	// The error is that of a pipe whose other end is gone, or that we closed.
	_, _ = io.Copy(w, from)
	w.flush()
}

// remember keeps the last lines, or the first of a panic: what follows there
// are the stacks of every goroutine.
func (c *child) remember(text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.panicked && len(c.last) == lastLines:
		return
	case panics(text) && !c.panicked:
		c.panicked, c.last = true, nil
	case len(c.last) == lastLines:
		c.last = c.last[1:]
	}
	c.last = append(c.last, string(text[:min(len(text), 512)]))
}
