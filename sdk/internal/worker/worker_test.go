package worker

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not listen")
	}
	return s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func options(s *server.Server, handle Handler) Options {
	return Options{
		Name: "test", Version: "1.0.0", Instance: "1", Connection: Connection{URLs: []string{s.ClientURL()}}, Log: slog.New(slog.DiscardHandler),
		Endpoints: []Endpoint{{Action: "do", Subject: "action.test.do", Queue: "test", Handle: handle}},
	}
}

func done(_ context.Context, _ *wire.Call, reply *wire.Reply) { reply.Port = "done" }

func dial(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestItComesBackAfterTheServerDoes(t *testing.T) {
	s := serve(t, server.Options{})
	finish := make(chan struct{})
	w, err := Start(t.Context(), options(s, func(ctx context.Context, c *wire.Call, reply *wire.Reply) {
		if c.ID == "slow" {
			<-finish
		}
		done(ctx, c, reply)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := dial(t, s).PublishRequest("action.test.do", "answer", []byte(`{"id":"slow"}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call to be worked on", func() bool { return w.Health().InFlight == 1 })
	port := s.Addr().(*net.TCPAddr).Port
	stop(s)
	eventually(t, "the loss to be told", func() bool { h := w.Health(); return !h.Connected && strings.Contains(h.Problem, "was lost") })
	close(finish) // an answer without a connection is dropped, and harms nobody
	eventually(t, "the call to end", func() bool { return w.Health().InFlight == 0 })

	s = serve(t, server.Options{Port: port})
	eventually(t, "the connection to be back", func() bool { h := w.Health(); return h.Connected && h.Problem == "" })
	nc := dial(t, s)
	eventually(t, "a call to be answered", func() bool {
		m, err := nc.Request("action.test.do", []byte(`{"id":"1"}`), time.Second)
		return err == nil && string(m.Data) == `{"id":"1","port":"done"}`
	})
}

// user is one that may do what the permissions say, and its seed.
func user(t *testing.T, p *server.Permissions) (*server.NkeyUser, string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return &server.NkeyUser{Nkey: public, Permissions: p}, string(seed)
}

func TestARefusedSubscriptionFailsTheStart(t *testing.T) {
	u, seed := user(t, &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"$SRV.>", "action.other.>"}}})
	s := serve(t, server.Options{Nkeys: []*server.NkeyUser{u}})
	o := options(s, done)
	o.Connection.Seed = seed
	w, err := Start(t.Context(), o)
	if err == nil {
		w.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "subscribe to action.test.do: ") || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Fatal(err)
	}
}

func TestWhatTheServerRefusesIsTold(t *testing.T) {
	u, seed := user(t, &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"$SRV.>", "action.test.>"}}, Publish: &server.SubjectPermission{Deny: []string{">"}},
	})
	caller, callerSeed := user(t, nil)
	s := serve(t, server.Options{Nkeys: []*server.NkeyUser{u, caller}})
	o := options(s, done)
	o.Connection.Seed = seed
	w, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	o.Connection.Seed = callerSeed
	nc, err := connect(o, &problems{log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.PublishRequest("action.test.do", "answer", []byte(`{"id":"1"}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refused answer to be told", func() bool {
		return strings.Contains(w.Health().Problem, `Publish to "answer"`)
	})
}

// TestInlineCalls has calls worked on where they arrive: each answered, also
// after a panic. One that ends the goroutine ends the worker, not
// silently and not without its answer.
func TestInlineCalls(t *testing.T) {
	s := serve(t, server.Options{})
	o := options(s, func(ctx context.Context, c *wire.Call, reply *wire.Reply) {
		switch c.ID {
		case "panic":
			panic("no")
		case "end":
			runtime.Goexit()
		}
		done(ctx, c, reply)
	})
	ended := make(chan struct{})
	o.Endpoints[0].Inline, o.Fatal = true, func() { close(ended) }
	w, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	nc := dial(t, s)
	answers := make(chan string, 1)
	if _, err := nc.Subscribe("answer", func(m *nats.Msg) { answers <- string(m.Data) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ id, want string }{
		{"1", `"port":"done"`}, {"panic", "panicked: no"}, {"2", `"port":"done"`}, {"3", `"port":"done"`}, {"end", "ended its goroutine"},
	} {
		if err := nc.PublishRequest("action.test.do", "answer", []byte(`{"id":"`+c.id+`"}`)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answers:
			if !strings.Contains(got, `"id":"`+c.id+`"`) || !strings.Contains(got, c.want) {
				t.Errorf("%s: %s", c.id, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no answer", c.id)
		}
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the endpoint is gone and the worker goes on")
	}
}
