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

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// A broker is a NATS server of its own, as operators run one.
type broker struct {
	t      *testing.T
	dir    string
	port   int
	access string // of its configuration: who may do what; empty: everybody everything
	cmd    *exec.Cmd
	log    *bytes.Buffer
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
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nmax_payload: 8MB\njetstream: {store_dir: %q}\n%s", b.port, filepath.Join(b.dir, "js"), b.access)
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

// everyBus lists the ways to reach NATS, by name: the arguments of a product that
// has its own, or one of its own to reach.
var everyBus = map[string]func(*testing.T) []string{
	"embedded": func(*testing.T) []string { return nil },
	"external": launchSecuredBroker,
}

// launchSecuredBroker starts a NATS server with an operator and an account, and
// returns the arguments of a product that works in it and, with the account's
// signing key, makes users for plugins.
func launchSecuredBroker(t *testing.T) []string {
	t.Helper()
	key := func(pair nkeys.KeyPair, err error) (nkeys.KeyPair, string, string) {
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		return pair, public, string(seed)
	}
	encode := func(claims jwt.Claims, pair nkeys.KeyPair) string {
		text, err := claims.Encode(pair)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operator, operatorID, _ := key(nkeys.CreateOperator())
	_, systemID, _ := key(nkeys.CreateAccount())
	_, accountID, _ := key(nkeys.CreateAccount())
	signing, signingID, signingSeed := key(nkeys.CreateAccount())
	_, userID, userSeed := key(nkeys.CreateUser())
	account := jwt.NewAccountClaims(accountID)
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	account.SigningKeys.Add(signingID)
	user := jwt.NewUserClaims(userID)
	user.IssuerAccount = accountID
	claims := jwt.NewOperatorClaims(operatorID)
	claims.SystemAccount = systemID
	b := &broker{t: t, dir: t.TempDir(), port: freePort(t)}
	b.access = fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: {%s: %s, %s: %s}\n", encode(claims, operator),
		accountID, encode(account, operator), systemID, encode(jwt.NewAccountClaims(systemID), operator))
	b.start()
	creds, err := jwt.FormatUserConfig(encode(user, signing), []byte(userSeed))
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	for name, text := range map[string]string{"core.creds": string(creds), "signing.nk": signingSeed + "\n"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"--set", "bus.urls=" + b.url(), "--set", "bus.creds=" + filepath.Join(secrets, "core.creds"),
		"--set", "bus.signing_key=file:" + filepath.Join(secrets, "signing.nk"),
	}
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
