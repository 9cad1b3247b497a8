package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer builds the real server from the module, once.
var natsServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nats-server-")
	if err != nil {
		return "", err
	}
	natsServerDir = dir
	path := filepath.Join(dir, "nats-server")
	build := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w: %s", err, out)
	}
	return path, nil
})

// natsServerDir is where it was built, empty where no test needed it.
var natsServerDir string

// An external is a NATS server in a process of its own.
type external struct {
	t       testing.TB
	dir     string
	address string
	more    string // of its configuration
	cmd     *exec.Cmd
}

func startExternal(t testing.TB) *external { return startExternalWith(t, "") }

func startExternalWith(t testing.TB, more string) *external {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	e := &external{t: t, dir: t.TempDir(), address: listener.Addr().String(), more: more}
	listener.Close()
	t.Cleanup(e.kill)
	e.start()
	return e
}

func (e *external) url() string { return "nats://" + e.address }

func (e *external) start() {
	e.t.Helper()
	config := filepath.Join(e.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 8MB\njetstream { store_dir: %q, max_file_store: 20GB }\n", e.address, e.dir) + e.more
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	path, err := natsServer()
	if err != nil {
		e.t.Fatal(err)
	}
	e.cmd = exec.Command(path, "-c", config)
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := must(e.cmd.StderrPipe())
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Server is ready") {
			return
		}
	}
	e.t.Fatal("the NATS server ended before it was ready")
}

// kill ends the server as a power cut would, but for what the system holds.
func (e *external) kill() {
	if e.cmd != nil {
		e.signal(syscall.SIGKILL)
		e.cmd.Wait()
		e.cmd = nil
	}
}

func (e *external) signal(s syscall.Signal) { e.cmd.Process.Signal(s) }

// hang stops the server and waits until it stands still.
func (e *external) hang() {
	e.t.Helper()
	e.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(e.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		e.t.Fatalf("the server does not stand still: %v, %v", status, err)
	}
}

// onBoth runs a test against the embedded server and an external one.
func onBoth(t *testing.T, f func(t *testing.T, b *Bus)) {
	t.Run("embedded", func(t *testing.T) { f(t, open(t, Options{Partitions: 4})) })
	t.Run("external", func(t *testing.T) {
		f(t, open(t, Options{Partitions: 4, URLs: []string{startExternal(t).url()}}))
	})
}

func TestExternalNodesAreOneInstallation(t *testing.T) {
	e := startExternal(t)
	a := open(t, Options{Partitions: 5, URLs: []string{e.url()}})
	b := open(t, Options{URLs: []string{e.url()}})
	if a.Partitions() != 5 || b.Partitions() != 5 {
		t.Errorf("%d and %d partitions", a.Partitions(), b.Partitions())
	}
	if string(a.InstallationKey()) != string(b.InstallationKey()) || len(a.InstallationKey()) != keyBytes {
		t.Error("the nodes have different keys")
	}
	if a.NodeID() == b.NodeID() || a.NodeID() == "" {
		t.Errorf("nodes %q and %q", a.NodeID(), b.NodeID())
	}
	if a.DerivedProfile("user", "1", 0) != b.DerivedProfile("user", "1", 0) {
		t.Error("the nodes derive different profiles")
	}
	if a.URL() != e.url() || a.Credentials() != "" {
		t.Errorf("URL %s, credentials %q", a.URL(), a.Credentials())
	}
	// The first owner is fenced by the second.
	seq := must(a.Commit(t.Context(), 1, []byte("a"), 0))
	must(b.Commit(t.Context(), 1, []byte("b"), seq))
	if _, err := a.Commit(t.Context(), 1, []byte("a2"), seq); !errors.Is(err, ErrNotOwner) {
		t.Errorf("got %v", err)
	}
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{Dir: t.TempDir(), URLs: []string{e.url()}, Partitions: 6}); err == nil || !strings.Contains(err.Error(), "5") {
		t.Errorf("6 partitions on a bus of 5: %v", err)
	}
}

// A server that hangs, as against one that is gone, answers nothing at all.
func TestExternalThatHangs(t *testing.T) {
	e := startExternal(t)
	b := open(t, Options{Partitions: 2, URLs: []string{e.url()}})
	if err := b.Append(t.Context(), []Entry{{0, line1("before")}}); err != nil {
		t.Fatal(err)
	}
	impatient(b)
	e.hang()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			start := time.Now()
			err := b.Append(t.Context(), []Entry{{0, line1("hanging")}})
			if took := time.Since(start); took > time.Second || !errors.Is(err, ErrNoAck) {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	group.Wait()
	if err := b.Accepting(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("accepting: %v", err)
	}
	committed := make(chan error, 1)
	go func() {
		_, err := b.Commit(t.Context(), 1, []byte("c"), 0)
		committed <- err
	}()
	e.signal(syscall.SIGCONT)
	if err := <-committed; err != nil {
		t.Errorf("a commit over the pause: %v", err)
	}
	eventually(t, 10*time.Second, "accepting again", func() bool { return b.Accepting() == nil })
	if err := b.Append(t.Context(), []Entry{{0, line1("after")}}); err != nil {
		t.Fatal(err)
	}
}

func TestExternalThatIsKilled(t *testing.T) {
	e := startExternal(t)
	b := open(t, Options{Partitions: 1, URLs: []string{e.url()}})
	impatient(b)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r := must(b.ReadIngest(ctx, 0, 0))
	defer r.Close()
	var acked []string
	for i := range 200 {
		text := line1("%d", i)
		for b.Append(ctx, []Entry{{0, text}}) != nil {
			if ctx.Err() != nil {
				t.Fatal("no append succeeds any more")
			}
		}
		acked = append(acked, strings.TrimSpace(string(text)))
		if i%70 == 69 {
			e.kill()
			e.start()
		}
	}
	var got []string
	for len(got) == 0 || got[len(got)-1] != "199" {
		for _, line := range linesFrom(ctx, t, r, 1) {
			if len(got) == 0 || got[len(got)-1] != line { // stored twice by a retry
				got = append(got, line)
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(acked) {
		t.Errorf("read %v, want %v", got, acked)
	}
}

func TestExternalThatIsNotThere(t *testing.T) {
	start := time.Now()
	_, err := Open(t.Context(), Options{Dir: t.TempDir(), URLs: []string{"nats://127.0.0.1:1"}})
	if err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// TestOpenTriesAgainWhereAStreamHasNoDirectory has a first attempt to make a
// stream fail as one does beside a server that removes an account's directory.
func TestOpenTriesAgainWhereAStreamHasNoDirectory(t *testing.T) {
	e := startExternal(t)
	conn := must(nats.Connect(e.url()))
	defer conn.Close()
	// With a stream of somebody else the server leaves the directory alone.
	if _, err := must(jetstream.New(conn)).CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	way := filepath.Join(e.dir, "jetstream", "$G", "streams", streamSeen)
	if err := os.WriteFile(way, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, Options{URLs: []string{e.url()}}) // a failed attempt clears it away
}
