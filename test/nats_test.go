package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A broker is a NATS server of its own, as operators run one.
type broker struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// buildBroker builds the server once, from the module that the product embeds.
var buildBroker = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "nats-server")
	build := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return path, nil
})

func launchBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), port: freePort(t)}
	b.start()
	return b
}

func (b *broker) start() {
	b.t.Helper()
	path, err := buildBroker()
	if err != nil {
		b.t.Fatal(err)
	}
	b.log = &bytes.Buffer{}
	config := filepath.Join(b.dir, "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nmax_payload: 8MB\njetstream: {store_dir: %q}\n", b.port, filepath.Join(b.dir, "js"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.cmd = exec.Command(path, "-c", config)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	cmd := b.cmd
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(b.t, 10*time.Second, "the NATS server to listen", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// kill ends the server as a crash would.
func (b *broker) kill() {
	b.t.Helper()
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *broker) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", b.port) }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
