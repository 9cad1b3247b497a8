package supervisor

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/sdk/client"
)

// wreck is the binary of testdata/wreck.
var wreck string

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostDir); dir != "" {
		hostUntilKilled(dir)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wreck")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		wreck = filepath.Join(dir, "wreck")
		build := exec.Command("go", "build", "-o", wreck, "./testdata/wreck")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build the wreck: %v\n%s", err, out))
		}
		return m.Run()
	}())
}

// hurry is a pace for tests; what a process may do without being killed is
// still generous, on a machine with others.
var hurry = pace{
	handshake: 10 * time.Second, answer: 5 * time.Second,
	health: 100 * time.Millisecond, silence: 2 * time.Second, look: 50 * time.Millisecond,
	stop: 500 * time.Millisecond, drain: 5 * time.Second,
	least: 20 * time.Millisecond, most: 100 * time.Millisecond, steady: time.Minute,
	ends: 4, span: time.Minute,
}

// A natsBroker is a real server that lets in whom it has granted.
type natsBroker struct {
	server *server.Server
	core   string        // seed of a user who may do all
	lasts  time.Duration // of a user; 0: for ever

	mu    sync.Mutex
	users map[string]bool // public keys
}

func newNATS() (*natsBroker, error) {
	b := &natsBroker{users: map[string]bool{}}
	var err error
	if b.core, _, err = b.add(); err != nil {
		return nil, err
	}
	b.server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, AlwaysEnableNonce: true, CustomClientAuthentication: b,
	})
	if err != nil {
		return nil, err
	}
	b.server.Start()
	if !b.server.ReadyForConnections(10 * time.Second) {
		return nil, fmt.Errorf("NATS does not start")
	}
	return b, nil
}

// Check lets in who can sign with the key of a user.
func (b *natsBroker) Check(c server.ClientAuthentication) bool {
	key, err := nkeys.FromPublicKey(c.GetOpts().Nkey)
	if err != nil {
		return false
	}
	sig, err := base64.RawURLEncoding.DecodeString(c.GetOpts().Sig)
	if err != nil || key.Verify(c.GetNonce(), sig) != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.users[c.GetOpts().Nkey]
}

func (b *natsBroker) add() (seed, public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", err
	}
	if public, err = pair.PublicKey(); err != nil {
		return "", "", err
	}
	text, err := pair.Seed()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users[public] = true
	return string(text), public, err
}

func (b *natsBroker) Grant(_ context.Context, plugin string, _ bool, actions []string) (Credentials, error) {
	seed, public, err := b.add()
	if err != nil {
		return Credentials{}, err
	}
	c := Credentials{
		URLs: []string{b.server.ClientURL()}, Seed: seed, Inbox: "_I." + plugin, Requests: "cmd." + plugin,
		Revoke: func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.users, public)
		},
	}
	for _, a := range actions {
		c.Endpoints = append(c.Endpoints, Endpoint{Action: a, Subject: "action." + plugin + "." + a, Queue: "q"})
	}
	if b.lasts > 0 {
		c.Expires = time.Now().Add(b.lasts)
	}
	return c, nil
}

// left is how many users there are beside ours.
func (b *natsBroker) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.users) - 1
}

// A rig is a supervisor over a directory of wrecks.
type rig struct {
	t      *testing.T
	dir    string
	broker *natsBroker
	conn   *nats.Conn
	s      *Supervisor
	log    *buffer
	stop   func()

	mu    sync.Mutex
	ended []string
}

// start runs a supervisor with wrecks by these file names.
func start(t *testing.T, change func(*Options), files ...string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: &buffer{}}
	// What the test's own server leaves running is not ours.
	var err error
	if r.broker, err = newNATS(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.broker.server.Shutdown)
	pair, err := nkeys.FromSeed([]byte(r.broker.core))
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if r.conn, err = nats.Connect(r.broker.server.ClientURL(), nats.Nkey(public, pair.Sign)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.conn.Close)
	for _, file := range files {
		r.link(file)
	}
	quick := hurry
	o := Options{
		Dir: filepath.Join(r.dir, "plugins"), Work: filepath.Join(r.dir, "work"), Memory: 512 << 20,
		DrainWithin: 2 * time.Second, Broker: r.broker, pace: &quick, binary: wreck,
		Ended: func(name string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ended = append(r.ended, name)
		},
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	// The connection starts what it needs for requests with the first one.
	_, _ = r.conn.Request("nobody", nil, time.Second)
	before := goleak.IgnoreCurrent()
	r.s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("the supervisor does not stop")
		}
		goleak.VerifyNone(t, before)
		for _, p := range r.s.List() {
			if p.PID != 0 {
				t.Errorf("%s has a process after the end", p.Name)
			}
		}
		if n := r.broker.left(); n != 0 {
			t.Errorf("%d users of NATS are left", n)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

// link puts a wreck into the directory of plugins.
func (r *rig) link(file string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, "plugins"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Symlink(wreck, filepath.Join(r.dir, "plugins", file)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) registered() {
	r.t.Helper()
	select {
	case <-r.s.Registered():
	case <-time.After(20 * time.Second):
		r.t.Fatal("not registered")
	}
}

func (r *rig) info(name string) client.Plugin {
	r.t.Helper()
	p, err := r.s.Info(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// until waits for a plugin to stand as it should.
func (r *rig) until(name, what string, ok func(client.Plugin) bool) client.Plugin {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		p, err := r.s.Info(name)
		if err == nil && ok(p) {
			return p
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: never %s: %+v %v", name, what, p, err)
		}
	}
}

func is(want state) func(client.Plugin) bool {
	return func(p client.Plugin) bool { return p.State == string(want) }
}

// told is what a wreck tells of its process.
type told struct {
	PID int      `json:"pid"`
	Env []string `json:"env"`
	Dir string   `json:"dir"`
}

func (r *rig) ask(name string) (told, error) {
	var out told
	m, err := r.conn.Request("action."+name+".ask", nil, 2*time.Second)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(m.Data, &out)
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(text, []byte(") "))
	return !bytes.HasPrefix(after, []byte("Z")) && syscall.Kill(pid, 0) == nil
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never %s", what)
		}
	}
}

// A buffer is written by many and read by one.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
