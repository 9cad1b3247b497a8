package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/processor"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a bus with a processor and an engine, and plugins that the test
// answers for.
type rig struct {
	t         testing.TB
	dir       string
	window    int
	bus       *bus.Bus
	processor *processor.Processor
	resources *resources.Registry
	engine    *Engine
	stopRest  func()
	// stopEngine ends the engine as a stop of the product does.
	stopEngine func()

	mu      sync.Mutex
	sent    int
	answers map[string]string // what callers were answered, by token
	prefix  string
}

// newRig starts all but the engine.
func newRig(t testing.TB, window int, yaml string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), window: window, answers: map[string]string{}}
	r.open()
	list, err := config.Parse("flows.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.resources.Apply(t.Context(), config.Puts(list), resources.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stopRest() })
	return r
}

func (r *rig) open() {
	t := r.t
	t.Helper()
	var err error
	r.bus, err = bus.Open(t.Context(), bus.Options{Dir: r.dir, Partitions: 4, DiskReserve: 1, IngestMaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if r.resources, err = resources.Open(t.Context(), r.bus, config.Defaults(true), log); err != nil {
		t.Fatal(err)
	}
	r.processor, err = processor.New(t.Context(), processor.Options{
		Bus: r.bus, Resources: r.resources, Dir: r.dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.processor.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	prefix, stopReplies, err := r.bus.Replies(func(token string, data []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers[token] += string(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.prefix = prefix
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.processor.Run(ctx) }()
	r.stopRest = sync.OnceFunc(func() {
		if r.stopEngine != nil {
			r.stopEngine()
		}
		cancel()
		if err := errors.Join(<-ended, r.processor.Close()); err != nil {
			t.Error(err)
		}
		stopReplies()
		if err := r.bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// start runs an engine.
func (r *rig) start() {
	r.engine = New(Options{Bus: r.bus, Resources: r.resources, Owner: r.processor, Done: r.processor.Seen, Window: r.window})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.engine.Run(ctx) }()
	r.stopEngine = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

// plugin answers the calls of a plugin's actions, each in a goroutine of its own.
func (r *rig) plugin(name string, actions map[string]func(*wire.Call) wire.Reply) (stop func()) {
	t := r.t
	t.Helper()
	names := make([]string, 0, len(actions))
	for action := range actions {
		names = append(names, action)
	}
	user, err := r.bus.Grant(t.Context(), bus.PluginGrant{Plugin: name, Actions: names, ReplyWithin: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(strings.Join(user.URLs, ","), nats.CustomInboxPrefix(user.Inbox), login(t, user.Seed))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for _, e := range user.Endpoints {
		if _, err := conn.QueueSubscribe(e.Subject, e.Queue, func(m *nats.Msg) {
			work.Go(func() {
				call, err := wire.ParseCall(m.Data)
				if err != nil {
					t.Error(err)
					return
				}
				reply := actions[e.Action](call)
				if reply.ID == "" {
					reply.ID = call.ID
				}
				if reply.Port == "" && reply.Error == nil {
					reply.Port = config.PortDone
				}
				_ = m.Respond(reply.AppendJSON(nil)) // the connection may be closed by then
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		conn.Close()
		work.Wait()
		user.Revoke()
	})
	rest := r.stopRest
	r.stopRest = func() { stop(); rest() }
	return stop
}

// send appends events of a type about users; token, where it is not empty, is
// that of a caller who waits for their flows.
func (r *rig) send(eventType, token string, users ...string) {
	r.t.Helper()
	var commands []record.Routed
	for _, user := range users {
		r.sent++
		c := &record.Command{
			Kind: record.KindEvent, ID: record.EventID("dev", fmt.Sprint(r.sent)), Received: time.Now().UTC().Truncate(time.Millisecond),
			Event: &record.Event{
				ID: fmt.Sprint(r.sent), Type: eventType, Source: "dev", Time: time.Now(), Properties: fmt.Appendf(nil, `{"n":%d}`, r.sent),
				IDs: []record.Identifier{{Kind: record.KindUser, Value: user}},
			},
		}
		c.Profile = r.profileID(user)
		if token != "" {
			c.Reply, c.Flows = r.prefix+token, true
		}
		commands = append(commands, record.Routed{Partition: r.bus.Partition(c.Profile), Command: record.AppendCommand(nil, c)})
	}
	if err := r.bus.PublishCommands(r.t.Context(), commands); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) profileID(user string) string { return r.bus.DerivedProfile(record.KindUser, user, 0) }

// document is a user's; nil where there is none.
func (r *rig) document(user string) *record.Document {
	r.t.Helper()
	data, _, err := r.bus.GetDocument(r.t.Context(), r.profileID(user))
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	doc, err := record.ParseDocument(data)
	if err != nil {
		r.t.Fatal(err)
	}
	return doc
}

// trait is one of a user's traits; nil where there is none.
func (r *rig) trait(user, name string) any {
	r.t.Helper()
	if doc := r.document(user); doc != nil {
		return doc.Profile.Traits[name]
	}
	return nil
}

// settled waits until the engine has nothing left to do for what was sent.
func (r *rig) settled() {
	r.t.Helper()
	eventually(r.t, "the flows to have run", func() bool {
		done, end, err := r.processor.Processed(r.t.Context())
		if err != nil || done < end {
			return false
		}
		last, err := r.bus.EventsLast(r.t.Context())
		return err == nil && r.engine.Reached() >= last
	})
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func users(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("user-", i)
	}
	return list
}
