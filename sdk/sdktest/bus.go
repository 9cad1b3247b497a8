package sdktest

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A Bus is a NATS server for one plugin, which may do there what a supervisor
// grants. It ends with its test.
type Bus struct {
	// Conn is a connection that may do everything.
	Conn *nats.Conn

	t         testing.TB
	name, url string
	seed      string // of the plugin's user
	calls     atomic.Uint64
}

// NewBus starts the server. [Start] does so by itself; a test that runs a
// plugin's binary needs it.
func NewBus(t testing.TB, plugin string) *Bus {
	t.Helper()
	b := &Bus{t: t, name: plugin}
	var callerSeed string
	b.url, b.seed, callerSeed = serve(t, plugin)
	b.Conn = connect(t, b.url, callerSeed)
	return b
}

// Connection is how the plugin reaches the bus.
func (b *Bus) Connection() *control.Connection {
	return &control.Connection{Urls: []string{b.url}, Seed: b.seed, Inbox: inbox(b.name)}
}

// Subject is where an action of the plugin takes its calls.
func (b *Bus) Subject(action string) string { return "action." + b.name + "." + action }

func inbox(plugin string) string { return "_INBOX_" + plugin }

// A Call is what an action is called witb. What is not an id or a number may be
// anything that can be written as JSON; nil is nothing. Without an ID the call
// has one of its own, without a Timeout ten seconds.
type Call struct {
	ID      string
	Attempt int
	Timeout time.Duration
	Config  any
	Payload any
	Event   any
	Profile any
	Session any
}

// Call calls an action and waits for its reply, which may be an error. An action
// that does not answer in time fails the test.
func (b *Bus) Call(action string, c Call) *wire.Reply {
	b.t.Helper()
	if c.ID == "" {
		c.ID = "run-" + strconv.FormatUint(b.calls.Add(1), 10) + ":node"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	call := wire.Call{
		ID: c.ID, Attempt: max(1, c.Attempt), Timeout: c.Timeout, Flow: "flow", Node: "node", Run: "run",
		Config: text(c.Config), Payload: text(c.Payload), Event: text(c.Event), Profile: text(c.Profile), Session: text(c.Session),
	}
	// A little longer, for the plugin's own word that time is over.
	m, err := b.Conn.Request(b.Subject(action), call.AppendJSON(nil), c.Timeout+2*time.Second)
	if err != nil {
		b.t.Fatalf("call %s: %v", action, err)
	}
	reply, err := wire.ParseReply(m.Data)
	if err != nil {
		b.t.Fatalf("call %s: %v\n%s", action, err, m.Data)
	}
	if reply.ID != c.ID {
		b.t.Fatalf("call %s: %s answers %q", action, c.ID, reply.ID)
	}
	return reply
}

func text(v any) jsontext.Value {
	if v == nil {
		return nil
	}
	return jsontext.Value(sdk.ViewOf(v).Raw())
}

// serve starts a server with two users: the plugin's, which may do what a
// supervisor grants, and one that may do everything.
func serve(t testing.TB, name string) (url, pluginSeed, callerSeed string) {
	t.Helper()
	pluginUser, pluginSeed := user(t)
	callerUser, callerSeed := user(t)
	pluginUser.Permissions = &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"action." + name + ".>", "$SRV.>", inbox(name) + ".>"}},
		Publish:   &server.SubjectPermission{Allow: []string{"cmd." + name}},
		Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: time.Minute},
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: 8 << 20,
		Nkeys: []*server.NkeyUser{pluginUser, callerUser},
	})
	if err != nil {
		t.Fatalf("make a NATS server: %v", err)
	}
	go s.Start() // until Shutdown
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not listen")
	}
	return s.ClientURL(), pluginSeed, callerSeed
}

func user(t testing.TB) (*server.NkeyUser, string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatalf("make a user: %v", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatalf("make a user: %v", err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatalf("make a user: %v", err)
	}
	return &server.NkeyUser{Nkey: public}, string(seed)
}

func connect(t testing.TB, url, seed string) *nats.Conn {
	t.Helper()
	key, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		t.Fatalf("read a seed: %v", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatalf("read a seed: %v", err)
	}
	nc, err := nats.Connect(url, nats.Nkey(public, key.Sign))
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(nc.Close)
	return nc
}
