package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"
)

// A secured is an external NATS with an operator, an account and a signing key
// of it, as operators run one.
type secured struct {
	*external
	creds      string // file of the core's user
	signingKey string // seed
}

func startSecured(t testing.TB) *secured {
	t.Helper()
	operator, system, account, signing := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount())
	public := func(pair nkeys.KeyPair) string { return must(pair.PublicKey()) }
	o := jwt.NewOperatorClaims(public(operator))
	o.SystemAccount = public(system)
	a := jwt.NewAccountClaims(public(account))
	a.SigningKeys.Add(public(signing))
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	more := fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n", must(o.Encode(operator)),
		public(account), must(a.Encode(operator)), public(system), must(jwt.NewAccountClaims(public(system)).Encode(operator)))

	core := must(nkeys.CreateUser())
	u := jwt.NewUserClaims(public(core))
	text := must(jwt.FormatUserConfig(must(u.Encode(account)), must(core.Seed())))
	s := &secured{external: startExternalWith(t, more), creds: filepath.Join(t.TempDir(), "core.creds"), signingKey: string(must(signing.Seed()))}
	if err := os.WriteFile(s.creds, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// onBothSecured runs a test against the embedded server and an external one
// that checks users.
func onBothSecured(t *testing.T, f func(t *testing.T, b *Bus)) {
	t.Run("embedded", func(t *testing.T) { f(t, open(t, Options{Partitions: 4})) })
	t.Run("external", func(t *testing.T) {
		s := startSecured(t)
		f(t, open(t, Options{Partitions: 4, URLs: []string{s.url()}, Creds: s.creds, SigningKey: s.signingKey}))
	})
}

// A process stands for that of a plugin: a connection of its user, and what the
// server refused it.
type process struct {
	t    testing.TB
	conn *nats.Conn

	mu      sync.Mutex
	refused []string
}

func greeter() PluginGrant {
	return PluginGrant{Plugin: "hello", Actions: []string{"greet", "wave"}, ReplyWithin: 10 * time.Second}
}

func connectAs(t testing.TB, u *PluginUser, options ...nats.Option) *process {
	t.Helper()
	p := &process{t: t}
	options = append([]nats.Option{
		nats.CustomInboxPrefix(u.Inbox),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.refused = append(p.refused, err.Error())
		}),
		login(u),
	}, options...)
	p.conn = must(nats.Connect(strings.Join(u.URLs, ","), options...))
	t.Cleanup(p.conn.Close)
	return p
}

func login(u *PluginUser) nats.Option {
	if u.JWT != "" {
		return nats.UserJWTAndSeed(u.JWT, u.Seed)
	}
	pair := must(nkeys.FromSeed([]byte(u.Seed)))
	return nats.Nkey(must(pair.PublicKey()), pair.Sign)
}

// refusals returns what the server refused since the last call.
func (p *process) refusals() []string {
	p.t.Helper()
	if err := p.conn.Flush(); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the client tells of them by another goroutine
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.refused
	p.refused = nil
	return list
}

func (p *process) answer(e PluginEndpoint, f nats.MsgHandler) {
	p.t.Helper()
	must(p.conn.QueueSubscribe(e.Subject, e.Queue, f))
	if err := p.conn.Flush(); err != nil {
		p.t.Fatal(err)
	}
}

// told collects what OnViolation is told.
func told(b *Bus) func() []string {
	var mu sync.Mutex
	var list []string
	b.OnViolation(func(plugin, text string) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, plugin+": "+text)
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := list
		list = nil
		return got
	}
}

func TestPluginUserMayDoItsWork(t *testing.T) {
	onBothSecured(t, func(t *testing.T, b *Bus) {
		u := must(b.Grant(t.Context(), greeter()))
		defer u.Revoke()
		if u.Requests != "cmd.hello" || !strings.HasPrefix(u.Inbox, "_INBOX.plugin.hello.") || (u.JWT == "") != (b.server != nil) || u.Expires.IsZero() != (b.server != nil) {
			t.Errorf("the user is %+v", u)
		}
		p := connectAs(t, u)
		service := must(micro.AddService(p.conn, micro.Config{Name: "hello", Version: "1.0.0"}))
		for _, e := range u.Endpoints {
			if err := service.AddEndpoint(e.Action, micro.HandlerFunc(func(r micro.Request) {
				if string(r.Data()) == "bad" {
					r.Error("400", "not a call", nil)
					return
				}
				r.Respond(append([]byte(e.Action+" "), r.Data()...))
			}), micro.WithEndpointSubject(e.Subject), micro.WithEndpointQueueGroup(e.Queue)); err != nil {
				t.Fatal(err)
			}
		}
		defer service.Stop()
		if err := p.conn.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"greet", "wave"} {
			if got, err := b.Call(t.Context(), "hello", action, []byte("Ada")); string(got) != action+" Ada" || err != nil {
				t.Errorf("call of %s: %q, %v", action, got, err)
			}
		}
		var refused *ServiceError
		if _, err := b.Call(t.Context(), "hello", "greet", []byte("bad")); !errors.As(err, &refused) || refused.Code != "400" || refused.Description != "not a call" {
			t.Errorf("a call that the process refuses: %v", err)
		}
		// It tells about itself as micro services do.
		m := must(b.reading.Request("$SRV.INFO.hello", nil, 5*time.Second))
		if !strings.Contains(string(m.Data), "action.hello.greet") {
			t.Errorf("the service says of itself %s", m.Data)
		}
		// It requests, and has its answer.
		sub := must(b.reading.Subscribe("cmd.hello", func(m *nats.Msg) { m.Respond([]byte("done")) }))
		defer sub.Unsubscribe()
		if err := b.reading.Flush(); err != nil {
			t.Fatal(err)
		}
		if m, err := p.conn.Request(u.Requests, []byte("x"), 5*time.Second); err != nil || string(m.Data) != "done" || !strings.HasPrefix(m.Subject, u.Inbox+".") {
			t.Errorf("a request: %v, %v", m, err)
		}
		if list := p.refusals(); len(list) > 0 {
			t.Errorf("refused: %q", list)
		}
	})
}

func TestPluginUserMayDoNothingElse(t *testing.T) {
	onBothSecured(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		u, other := must(b.Grant(ctx, greeter())), must(b.Grant(ctx, PluginGrant{Plugin: "spy", Actions: []string{"look"}, ReplyWithin: time.Second}))
		defer u.Revoke()
		defer other.Revoke()
		p, told := connectAs(t, u), told(b)
		if _, err := b.store(ctx, b.effects, streamEvents, subjectEvent(0, "a"), nil, []byte("secret")); err != nil {
			t.Fatal(err)
		}
		theirs := must(b.js.CreateOrUpdateConsumer(ctx, streamEvents, jetstream.ConsumerConfig{Durable: "theirs", AckPolicy: jetstream.AckExplicitPolicy}))
		message := must(theirs.Next(jetstream.FetchMaxWait(5 * time.Second)))
		for name, try := range map[string]func() error{
			"publish ingest.0":             func() error { return p.conn.Publish("ingest.0", nil) },
			"publish event.0.a":            func() error { return p.conn.Publish("event.0.a", nil) },
			"another's requests":           func() error { return p.conn.Publish("cmd.spy", nil) },
			"call an action":               func() error { return p.conn.Publish("action.spy.look", nil) },
			"publish to an inbox":          func() error { return p.conn.Publish("_INBOX.abc", nil) },
			"end a process":                func() error { return p.conn.Publish(subjectEnded("spy"), nil) },
			"tell a run's step":            func() error { return p.conn.Publish(subjectStep("f"), nil) },
			"have steps told":              func() error { return p.conn.Publish(subjectListened("f"), nil) },
			"hear of steps":                func() error { return subscribe(p, subjectStep("f"), "") },
			"what is listened to":          func() error { return subscribe(p, prefixListened+"*", "") },
			"write a bucket":               func() error { return p.conn.Publish("$KV.profiles.0.x", nil) },
			"delete a stream":              func() error { return p.conn.Publish("$JS.API.STREAM.DELETE.INGEST", nil) },
			"ask the JetStream API":        func() error { return p.conn.Publish("$JS.API.INFO", nil) },
			"read a bucket":                func() error { return p.conn.Publish("$JS.API.DIRECT.GET.KV_profiles.$KV.profiles.0.x", nil) },
			"take another's messages":      func() error { return p.conn.Publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS.theirs", nil) },
			"acknowledge another's":        func() error { return p.conn.Publish(message.Reply(), []byte("+ACK")) },
			"take requests of its own":     func() error { return subscribe(p, "cmd.hello", "") },
			"another's inbox":              func() error { return subscribe(p, other.Inbox+".>", "") },
			"every inbox":                  func() error { return subscribe(p, "_INBOX.>", "") },
			"the inboxes of all plugins":   func() error { return subscribe(p, "_INBOX.plugin.>", "") },
			"another's action":             func() error { return subscribe(p, "action.spy.look", "spy") },
			"an action that is not its":    func() error { return subscribe(p, "action.hello.steal", "hello") },
			"all actions":                  func() error { return subscribe(p, "action.>", "hello") },
			"its action beside the others": func() error { return subscribe(p, "action.hello.greet", "") },
			"its action in another group":  func() error { return subscribe(p, "action.hello.greet", "mine") },
			"events as they are stored":    func() error { return subscribe(p, "event.>", "") },
			"another service":              func() error { return subscribe(p, "$SRV.PING.spy", "") },
			"everything":                   func() error { return subscribe(p, ">", "") },
			"what the server knows":        func() error { return p.conn.Publish("$SYS.REQ.SERVER.PING", nil) },
		} {
			if err := try(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			refused := p.refusals()
			if len(refused) != 1 || !strings.Contains(strings.ToLower(refused[0]), "permissions violation") {
				t.Errorf("%s: the server says %q", name, refused)
			}
			if b.server == nil {
				continue
			}
			if list := told(); len(list) != 1 || !strings.HasPrefix(list[0], "hello: ") || !strings.Contains(list[0], " Violation - ") {
				t.Errorf("%s: told %q", name, list)
			}
		}
		if info := must(theirs.Info(ctx)); info.NumAckPending != 1 {
			t.Errorf("a plugin acknowledged what another has: %+v", info)
		}
		if _, err := b.state(ctx, streamIngest); err != nil {
			t.Error(err)
		}
	})
}

func subscribe(p *process, subject, queue string) error {
	if queue == "" {
		_, err := p.conn.Subscribe(subject, func(*nats.Msg) {})
		return err
	}
	_, err := p.conn.QueueSubscribe(subject, queue, func(*nats.Msg) {})
	return err
}

// A message that a plugin gets lets it answer once, and not after the time.
func TestPluginAnswersOnce(t *testing.T) {
	onBothSecured(t, func(t *testing.T, b *Bus) {
		g := greeter()
		g.ReplyWithin = 300 * time.Millisecond
		u := must(b.Grant(t.Context(), g))
		defer u.Revoke()
		p := connectAs(t, u)
		p.answer(u.Endpoints[0], func(m *nats.Msg) {
			m.Respond([]byte("first"))
			m.Respond([]byte("second"))
		})
		p.answer(u.Endpoints[1], func(m *nats.Msg) {
			time.Sleep(2 * g.ReplyWithin)
			m.Respond([]byte("late"))
		})
		if got, err := b.Call(t.Context(), "hello", "greet", nil); string(got) != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if list := p.refusals(); len(list) != 1 {
			t.Errorf("of two answers the server refuses %q", list)
		}
		m, err := b.reading.Request(u.Endpoints[1].Subject, nil, 4*g.ReplyWithin)
		if !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("a late answer: %v, %v", m, err)
		}
		if list := p.refusals(); len(list) != 1 {
			t.Errorf("of a late answer the server refuses %q", list)
		}
	})
}

// What a grant may name beside actions: messages of the plugin's own durables.
func TestPluginReadsItsDurable(t *testing.T) {
	onBothSecured(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		mine := must(b.js.CreateOrUpdateConsumer(ctx, streamEvents, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}))
		must(b.js.CreateOrUpdateConsumer(ctx, streamEvents, jetstream.ConsumerConfig{Durable: "theirs", AckPolicy: jetstream.AckExplicitPolicy}))
		if _, err := b.store(ctx, b.effects, streamEvents, subjectEvent(0, "a"), nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
		g := greeter()
		g.Durables = []Durable{{Stream: streamEvents, Name: "mine"}}
		u := must(b.Grant(ctx, g))
		defer u.Revoke()
		p := connectAs(t, u)
		request := must(json.Marshal(map[string]any{"batch": 1, "expires": int64(5 * time.Second)}))
		m, err := p.conn.Request("$JS.API.CONSUMER.MSG.NEXT.EVENTS.mine", request, 5*time.Second)
		if err != nil || string(m.Data) != "x" {
			t.Fatalf("got %v, %v", m, err)
		}
		if err := m.AckSync(); err != nil {
			t.Errorf("acknowledge: %v", err)
		}
		if info := must(mine.Info(ctx)); info.NumAckPending != 0 || info.AckFloor.Stream != 1 {
			t.Errorf("the consumer is at %+v", info)
		}
		// The acknowledgement of the newer form, and those of another consumer.
		for subject, allowed := range map[string]bool{
			"$JS.ACK._.hash.EVENTS.mine.1.1.1.1.0.x":   true,
			"$JS.ACK.EVENTS.mine.1.1.1.1.0":            true,
			"$JS.ACK._.hash.EVENTS.theirs.1.1.1.1.0.x": false,
			"$JS.ACK.EVENTS.theirs.1.1.1.1.0":          false,
			"$JS.API.CONSUMER.MSG.NEXT.EVENTS.theirs":  false,
			"$JS.API.CONSUMER.INFO.EVENTS.mine":        false,
		} {
			if err := p.conn.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
			if list := p.refusals(); (len(list) == 0) != allowed {
				t.Errorf("%s: refused %q", subject, list)
			}
		}
	})
}

func TestGrantRefusesWhatIsNoToken(t *testing.T) {
	b := open(t, Options{})
	for _, test := range []struct {
		change func(*PluginGrant)
		want   string
	}{
		{func(g *PluginGrant) { g.Plugin = "" }, "no name of a plugin"},
		{func(g *PluginGrant) { g.Plugin = ">" }, "no name of a plugin"},
		{func(g *PluginGrant) { g.Plugin = "a.b" }, "no name of a plugin"},
		{func(g *PluginGrant) { g.Plugin = strings.Repeat("a", 33) }, "no name of a plugin"},
		{func(g *PluginGrant) { g.Actions = []string{"*"} }, "no name of an action"},
		{func(g *PluginGrant) { g.Actions = []string{"greet q"} }, "no name of an action"},
		{func(g *PluginGrant) { g.Actions = []string{"a", "a"} }, "named twice"},
		{func(g *PluginGrant) { g.ReplyWithin = 0 }, "time-out"},
		{func(g *PluginGrant) { g.Durables = []Durable{{Stream: "EVENTS", Name: ">"}} }, "durable"},
		{func(g *PluginGrant) { g.Durables = []Durable{{Stream: "*", Name: "a"}} }, "durable"},
	} {
		g := greeter()
		test.change(&g)
		if u, err := b.Grant(t.Context(), g); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, %v", g, u, err)
		}
	}
	if _, err := b.Call(t.Context(), "hello.greet", ">", nil); err == nil || errors.Is(err, ErrNoPlugin) {
		t.Errorf("a call of everything: %v", err)
	}
	if err := b.PluginEnded("*"); err == nil {
		t.Error("all processes have ended")
	}
}

// A user that was revoked is cut off and cannot come back; another of the same
// plugin stays.
func TestRevokedUserIsCut(t *testing.T) {
	b := open(t, Options{})
	first, second := must(b.Grant(t.Context(), greeter())), must(b.Grant(t.Context(), greeter()))
	closed := make(chan struct{})
	connectAs(t, first, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	connectAs(t, first, nats.NoReconnect()).conn.Close()
	stays := connectAs(t, second, nats.NoReconnect())
	first.Revoke()
	first.Revoke() // a second time does nothing
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the user is still connected")
	}
	if conn, err := nats.Connect(b.URL(), login(first)); err == nil {
		conn.Close()
		t.Error("a revoked user comes back")
	}
	if err := stays.conn.Flush(); err != nil {
		t.Errorf("the other user: %v", err)
	}
	second.Revoke()
	if n := len(b.server.gate.users) + len(b.server.gate.clients); n != 0 {
		t.Errorf("%d users and connections are remembered", n)
	}
}

// Connections that are gone are forgotten while their user stays.
func TestGateForgetsConnections(t *testing.T) {
	b := open(t, Options{})
	u := must(b.Grant(t.Context(), greeter()))
	for range 20 {
		p := connectAs(t, u)
		p.conn.Close()
		eventually(t, 5*time.Second, "the server to see it", func() bool {
			b.server.gate.mu.Lock()
			defer b.server.gate.mu.Unlock()
			for id := range b.server.gate.clients {
				if b.server.server.GetClient(id) != nil {
					return false
				}
			}
			return true
		})
	}
	if n := len(b.server.gate.clients); n != 1 {
		t.Errorf("%d connections are remembered", n)
	}
}

func TestEmbeddedRestartKeepsUsers(t *testing.T) {
	b := open(t, Options{})
	u := must(b.Grant(t.Context(), greeter()))
	p, told := connectAs(t, u, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond)), told(b)
	p.answer(u.Endpoints[0], func(m *nats.Msg) { m.Respond([]byte("hi")) })
	if err := b.server.restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "an answer after the restart", func() bool {
		got, err := b.Call(t.Context(), "hello", "greet", nil)
		return string(got) == "hi" && err == nil
	})
	p.refusals()
	told()
	if err := p.conn.Publish("ingest.0", nil); err != nil {
		t.Fatal(err)
	}
	if list := p.refusals(); len(list) != 1 {
		t.Errorf("after the restart the server refuses %q", list)
	}
	if list := told(); !slices.Equal(list, []string{`hello: Publish Violation - Subject "ingest.0"`}) {
		t.Errorf("after the restart told %q", list)
	}
	u.Revoke()
	eventually(t, 5*time.Second, "the end of the connection", func() bool { return !p.conn.IsConnected() })
}

func TestWhoMayConnect(t *testing.T) {
	b := open(t, Options{})
	u := must(b.Grant(t.Context(), greeter()))
	own := must(nkeys.FromSeed(must(os.ReadFile(b.Credentials()))))
	plugin, stranger := must(nkeys.FromSeed([]byte(u.Seed))), must(nkeys.CreateUser())
	for _, test := range []struct {
		name  string
		login nats.Option
		want  bool
	}{
		{"the file for the nats CLI", must(nats.NkeyOptionFromSeed(b.Credentials())), true},
		{"a plugin's seed", nats.Nkey(must(plugin.PublicKey()), plugin.Sign), true},
		{"a stranger's seed", nats.Nkey(must(stranger.PublicKey()), stranger.Sign), false},
		{"the core's name with another's signature", nats.Nkey(must(own.PublicKey()), plugin.Sign), false},
		{"a plugin's name with another's signature", nats.Nkey(must(plugin.PublicKey()), stranger.Sign), false},
		{"a signature of something else", nats.Nkey(must(own.PublicKey()), func([]byte) ([]byte, error) { return own.Sign([]byte("x")) }), false},
		{"the core's name without a signature", nats.Nkey(must(own.PublicKey()), func([]byte) ([]byte, error) { return nil, nil }), false},
		{"a name and a password", nats.UserInfo("core", "x"), false},
		{"nobody", func(*nats.Options) error { return nil }, false},
	} {
		conn, err := nats.Connect(b.URL(), test.login)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// A user of its own is all that a plugin's process gets: not the password that the
// core may have in its URLs.
func TestAPluginDoesNotGetTheCoresPassword(t *testing.T) {
	s := startSecured(t)
	b := open(t, Options{URLs: []string{strings.Replace(s.url(), "://", "://core:secret@", 1)}, Creds: s.creds, SigningKey: s.signingKey})
	u := must(b.Grant(t.Context(), greeter()))
	if len(u.URLs) != 1 || u.URLs[0] != s.url() {
		t.Errorf("the process is told %v", u.URLs)
	}
	connectAs(t, u)
}

func TestExternalWithoutSigningKey(t *testing.T) {
	s := startSecured(t)
	options := Options{URLs: []string{s.url()}, Creds: s.creds}
	log := &logText{}
	b := open(t, options)
	if _, err := b.Grant(t.Context(), greeter()); !errors.Is(err, ErrNoSigningKey) {
		t.Errorf("got %v", err)
	}
	trusted := greeter()
	trusted.Trusted = true
	u := must(b.Grant(t.Context(), trusted))
	connectAs(t, u)
	shared := options
	shared.ShareCredentials, shared.Log = true, slogTo(log)
	b = open(t, shared)
	u = must(b.Grant(t.Context(), greeter()))
	p := connectAs(t, u)
	p.answer(u.Endpoints[0], func(m *nats.Msg) { m.Respond([]byte("hi")) })
	if got, err := b.Call(t.Context(), "hello", "greet", nil); string(got) != "hi" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if lines := log.with("plugins.share_credentials"); len(lines) != 1 || !strings.Contains(lines[0], "WARN") {
		t.Errorf("the log says %q", lines)
	}
	for want, o := range map[string]Options{
		"want the seed of an account": {SigningKey: "x", Creds: s.creds},
		"another kind of key":         {SigningKey: string(must(must(nkeys.CreateUser()).Seed())), Creds: s.creds},
		"needs bus.creds":             {SigningKey: s.signingKey},
		"no such file":                {SigningKey: s.signingKey, Creds: filepath.Join(t.TempDir(), "x")},
		"Authorization Violation":     {},
		"no nkey seed found":          {SigningKey: s.signingKey, Creds: file(t, "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n")},
	} {
		o.Dir, o.URLs = t.TempDir(), options.URLs
		if b, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
			if err == nil {
				closeBus(t, b)
			}
		}
	}
}

func file(t testing.TB, text string) string {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A user of another account's making is not taken.
func TestExternalRefusesAnotherSigningKey(t *testing.T) {
	s := startSecured(t)
	b := open(t, Options{URLs: []string{s.url()}, Creds: s.creds, SigningKey: string(must(must(nkeys.CreateAccount()).Seed()))})
	u := must(b.Grant(t.Context(), greeter()))
	if conn, err := nats.Connect(s.url(), login(u)); err == nil {
		conn.Close()
		t.Error("it is taken")
	}
	if left := time.Until(u.Expires); left > userLasts || left < userLasts-time.Minute {
		t.Errorf("the user lasts %v", left)
	}
	if got := must(jwt.DecodeUserClaims(u.JWT)); got.Expires != u.Expires.Unix() || got.Subject == "" {
		t.Errorf("the user is %+v", got)
	}
}
