package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// underTest makes the test binary be the product.
const underTest = "CLI_UNDER_TEST"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == hangingPlugin {
		serveHanging()
	}
	// A plugin's process is this binary again, with a clean environment.
	if os.Getenv(underTest) != "" || len(os.Args) > 2 && os.Args[1] == "plugin" && os.Args[2] == "serve" {
		if dir := os.Getenv(shadowDir); dir != "" {
			synced = keepShadow(dir)
		}
		if last := os.Getenv(killedAfter); last != "" {
			erasedPart = func(part string) {
				if part == last {
					// It does not return.
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
			}
		}
		if last := os.Getenv(killedAfterStep); last != "" {
			filledStep = func(step string) {
				if step == last {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
			}
		}
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// command is the product as a process of its own, on a data directory.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), underTest+"=1", "TRIBUTARY_DATA="+dir, "HOME="+dir)
	return c
}

// cli runs one command to its end.
func cli(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := command(ctx, dir, args...)
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatalf("tributary %s: %v", strings.Join(args, " "), err)
	}
	return c.ProcessState.ExitCode(), out.String(), problems.String()
}

// must runs a command that has to succeed and returns what it prints.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, stdout, stderr := cli(t, dir, args...)
	if code != exitDone {
		t.Fatalf("tributary %s ends with %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// fails runs a command that has to end with a code and a message.
func fails(t *testing.T, dir string, want int, message string, args ...string) {
	t.Helper()
	code, stdout, stderr := cli(t, dir, args...)
	if code != want || !strings.Contains(stderr, message) {
		t.Errorf("tributary %s ends with %d, want %d, and says\n%s%swant: %s", strings.Join(args, " "), code, want, stdout, stderr, message)
	}
}

// A process is a running server.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *tail
	url  string
	done chan struct{}
}

// tail keeps what a process writes.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// run starts a server on any free port and waits until it says that it is
// ready. It is stopped with the test.
func run(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &tail{}, done: make(chan struct{})}
	args = append([]string{"run", "--http", "127.0.0.1:0", "--set", "durability=process"}, args...)
	p.cmd = command(context.Background(), dir, args...)
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines, told := bufio.NewScanner(stdout), false
		for lines.Scan() {
			io.WriteString(p.log, lines.Text()+"\n")
			if strings.HasPrefix(lines.Text(), "Tributary ") && !told {
				told = true
				close(ready)
			}
		}
	}()
	go func() {
		<-read
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", p.log)
		}
	})
	select {
	case <-ready:
	case <-p.done:
		t.Fatalf("the server ended with %d:\n%s", p.cmd.ProcessState.ExitCode(), p.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("the server is not ready after 30 s:\n%s", p.log)
	}
	// The file is written before the server says that it is ready.
	r, err := readRunning(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.url = r.URL
	return p
}

// kill ends the server at once, as kill -9 does.
func (p *process) kill() {
	// It may have ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the server as an operator does, and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		p.t.Fatalf("the server is still there 15 s after SIGTERM:\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// get asks the server and returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// file writes a file for a test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contains holds a text against what it has to hold.
func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", what, want, text)
		}
	}
}
