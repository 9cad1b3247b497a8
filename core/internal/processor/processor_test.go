package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// begun is when the clock of these tests showed noon.
var begun = time.Now()

// clock is that of the processors of these tests, unless they have one of their own.
func clock() time.Time { return noon.Add(time.Since(begun)) }

// fixed is a configuration that never changes.
type fixed struct{ set *config.Set }

func (f fixed) At(context.Context, uint64) (*config.Set, error) { return f.set, nil }

// A node is a processor on a bus of its own, as a test runs it.
type node struct {
	t    testing.TB
	dir  string
	bus  *bus.Bus
	p    *Processor
	stop func()

	mu       sync.Mutex
	outcomes map[string]record.Outcome
	prefix   string
}

const countingType = `
kind: event-type
id: add
spec:
  copy:
    - {to: counters.sum, from: event.properties.n, op: increment}
    - {to: data.order, from: event.properties.n, op: append}
    - {to: traits.last, from: event.properties.n, op: set}
---
kind: consent-type
id: newsletter
spec: {name: Newsletter}
`

func busOptions(dir string, durability bus.Durability) bus.Options {
	return bus.Options{Dir: dir, Partitions: 4, Durability: durability, DiskReserve: 1, IngestMaxBytes: 64 << 20}
}

func openBus(t testing.TB, dir string, durability bus.Durability) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), busOptions(dir, durability))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prepare opens a bus and a processor on it that is not running yet.
func prepare(t testing.TB, dir string) (n *node, stopReplies func()) {
	t.Helper()
	n, stopReplies = attach(t, openBus(t, dir, bus.DurabilityProcess), dir)
	n.p = process(t, n.bus, dir)
	return n, stopReplies
}

// attach makes a node without a processor yet on a bus.
func attach(t testing.TB, b *bus.Bus, dir string) (n *node, stopReplies func()) {
	t.Helper()
	n = &node{t: t, dir: dir, bus: b, outcomes: map[string]record.Outcome{}}
	prefix, stopReplies, err := n.bus.Replies(func(token string, data []byte) {
		o, err := record.ParseOutcome(data)
		if err != nil {
			t.Error(err)
		}
		n.mu.Lock()
		n.outcomes[token] = o
		n.mu.Unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	n.prefix = prefix
	return n, stopReplies
}

// start opens a bus and runs a processor on it.
func start(t testing.TB, dir string) *node {
	t.Helper()
	n, stopReplies := prepare(t, dir)
	n.run(stopReplies)
	return n
}

// run runs the node's processor until the test ends.
func (n *node) run(stopReplies func()) {
	t := n.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.p.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := n.p.Close(); err != nil {
			t.Error(err)
		}
		stopReplies()
		if err := n.bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
}

func process(t testing.TB, b *bus.Bus, dir string) *Processor {
	t.Helper()
	p, err := newProcessor(t.Context(), b, dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newProcessor returns a processor that works by the types of these tests and
// is ready to run.
func newProcessor(ctx context.Context, b *bus.Bus, dir string) (*Processor, error) {
	resources, err := config.Parse("test.yaml", []byte(countingType))
	if err != nil {
		return nil, err
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		return nil, err
	}
	p, err := New(ctx, Options{
		Bus: b, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler), Now: clock,
	})
	if err != nil {
		return nil, err
	}
	return p, p.Settle(ctx)
}

// compiled are the rules of resources in YAML.
func compiled(t testing.TB, yaml string) *fold.Rules {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return fold.NewRules(set)
}

// adds is an event that adds n, of a user, waited for by the token.
func (n *node) adds(id, user string, value int, token string) *record.Command {
	c := &record.Command{
		Kind: record.KindEvent, ID: record.EventID("test", id), Received: noon,
		Event: &record.Event{
			ID: id, Type: "add", Source: "test", Time: noon, Properties: fmt.Appendf(nil, `{"n":%d}`, value),
			IDs: []record.Identifier{{Kind: record.KindUser, Value: user}},
		},
	}
	c.Profile = n.bus.DerivedProfile(record.KindUser, user, 0)
	if token != "" {
		c.Reply = n.prefix + token
	}
	return c
}

// send appends commands, each configuration first.
func (n *node) send(commands ...*record.Command) {
	n.t.Helper()
	entries := make([]bus.Entry, len(commands))
	for i, c := range commands {
		p := n.bus.Partition(c.Profile)
		entries[i] = bus.Entry{Partition: p, Commands: record.AppendCommand(nil, c)}
	}
	if err := n.bus.Append(n.t.Context(), entries); err != nil {
		n.t.Fatal(err)
	}
}

// configure puts the configuration's command into each partition's log.
func (n *node) configure() {
	n.t.Helper()
	for p := range n.bus.Partitions() {
		c := record.Command{Kind: record.KindConfig, Revision: 1, Received: noon}
		if err := n.bus.Append(n.t.Context(), []bus.Entry{{Partition: p, Commands: record.AppendCommand(nil, &c)}}); err != nil {
			n.t.Fatal(err)
		}
	}
}

// outcome waits for the answer to a token.
func (n *node) outcome(token string) record.Outcome {
	n.t.Helper()
	var o record.Outcome
	eventually(n.t, "the outcome of "+token, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		var ok bool
		o, ok = n.outcomes[token]
		return ok
	})
	return o
}

func (n *node) document(profile string) *record.Document {
	n.t.Helper()
	data, _, err := n.bus.GetDocument(n.t.Context(), profile)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		n.t.Fatal(err)
	}
	doc, err := record.ParseDocument(data)
	if err != nil {
		n.t.Fatal(err)
	}
	return doc
}

// beginnings are the types of the events that tell what an event has begun.
var beginnings = []string{record.TypeProfileCreated, record.TypeSessionOpened, record.TypeVisitStarted}

// events reads all events that EVENTS holds, but for what tells of beginnings.
func (n *node) events() []bus.StoredEvent {
	n.t.Helper()
	return slices.DeleteFunc(n.allEvents(), func(e bus.StoredEvent) bool {
		return slices.Contains(beginnings, e.Type) && bytes.Contains(e.Data, []byte(`"source":"system"`))
	})
}

func (n *node) allEvents() []bus.StoredEvent {
	n.t.Helper()
	return slices.DeleteFunc(n.eventsAndChanges(), func(e bus.StoredEvent) bool { return e.Type == record.TypeChange })
}

// eventsAndChanges reads all that EVENTS holds, changes without an event too.
func (n *node) eventsAndChanges() []bus.StoredEvent {
	n.t.Helper()
	last, err := n.bus.EventsLast(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	r, err := n.bus.ReadEventsAndChanges(n.t.Context(), 0, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Close()
	var all []bus.StoredEvent
	for last > 0 && (len(all) == 0 || all[len(all)-1].Seq < last) {
		list, err := r.Next(n.t.Context(), 1000, time.Second)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(list) == 0 && r.Waiting() == 0 {
			break // the last ones are repetitions
		}
		all = append(all, list...)
	}
	return all
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestEventsFoldInOrderAndOnce(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	const users, each = 5, 40
	for i := range each {
		var batch []*record.Command
		for u := range users {
			token := ""
			if i == each-1 {
				token = fmt.Sprint("u", u)
			}
			batch = append(batch, n.adds(fmt.Sprint(u, "-", i), fmt.Sprint("u", u), i, token))
		}
		n.send(batch...)
		retry := *batch[0]
		retry.Reply = ""
		n.send(&retry)
	}
	for u := range users {
		o := n.outcome(fmt.Sprint("u", u))
		if o.Status != record.StatusAccepted || !o.Valid || o.Revision != each {
			t.Errorf("outcome = %+v", o)
		}
		doc := n.document(o.Profile)
		if got := doc.Profile.Counters["sum"]; got != int64(each*(each-1)/2) {
			t.Errorf("user %d: sum = %v, want %d", u, got, each*(each-1)/2)
		}
		order, _ := doc.Profile.Data["order"].([]any)
		for i, v := range order {
			if v != int64(i) {
				t.Fatalf("user %d: order = %v", u, order)
			}
		}
		if len(order) != each {
			t.Errorf("user %d: order = %v", u, order)
		}
	}
	if got := len(n.events()); got != users*each {
		t.Errorf("%d events sent on, want %d", got, users*each)
	}
}

func TestARetryIsADuplicateAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.configure()
	n.send(n.adds("1", "u", 5, "first"), n.adds("1", "u", 5, "second"))
	if o := n.outcome("first"); o.Status != record.StatusAccepted {
		t.Errorf("first: %+v", o)
	}
	if o := n.outcome("second"); o.Status != record.StatusDuplicate || o.Profile == "" {
		t.Errorf("second: %+v", o)
	}
	n.stop()
	n = start(t, dir)
	n.send(n.adds("1", "u", 5, "third"))
	o := n.outcome("third")
	if o.Status != record.StatusDuplicate {
		t.Errorf("third: %+v", o)
	}
	if got := n.document(o.Profile).Profile.Counters["sum"]; got != int64(5) {
		t.Errorf("sum = %v", got)
	}
}

func TestAnEventGoesToWhoHoldsItsIdentifier(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	anon := record.Identifier{Kind: record.KindAnonymous, Value: "a1"}
	visitor := n.adds("1", "x", 1, "visitor")
	visitor.Event.IDs = []record.Identifier{anon}
	visitor.Profile = n.bus.DerivedProfile(anon.Kind, anon.Value, 0)
	n.send(visitor)
	id := n.outcome("visitor").Profile

	// The visitor signs up: the anonymous id leads to the profile.
	login := n.adds("2", "u1", 1, "login")
	login.Event.IDs = append(login.Event.IDs, anon)
	n.send(login) // routed by the user id, which nobody holds yet
	if got := n.outcome("login").Profile; got != id {
		t.Errorf("the sign-up went to %s, want %s", got, id)
	}
	// The user id alone now leads there as well.
	n.send(n.adds("3", "u1", 1, "user"))
	if got := n.outcome("user").Profile; got != id {
		t.Errorf("the user went to %s, want %s", got, id)
	}
	// Another user on the same device is another person, whom the anonymous id follows.
	other := n.adds("4", "u2", 1, "other")
	other.Event.IDs = append(other.Event.IDs, anon)
	other.Profile = id // as a gateway with an old cache would route it
	n.send(other)
	if got := n.outcome("other").Profile; got == id || got == "" {
		t.Errorf("another user went to %s", got)
	}
	held, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(anon.Kind, anon.Value))
	if err != nil || held.Profile != n.outcome("other").Profile {
		t.Errorf("the anonymous id is held by %+v, %v", held, err)
	}
	if got := n.document(id).Profile.Counters["sum"]; got != int64(3) {
		t.Errorf("sum = %v, want 3", got)
	}
}

func TestAPoisonCommandIsSetAsideAndTheRestGoesOn(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	poison := record.Command{Kind: record.KindSegment, ID: record.EventID("x", "y"), Profile: n.adds("1", "u", 1, "").Profile, Received: noon, Body: []byte(`{}`)}
	n.send(n.adds("1", "u", 1, ""), &poison, n.adds("2", "u", 2, "last"))
	p := n.bus.Partition(poison.Profile)
	if err := n.bus.Append(t.Context(), []bus.Entry{{Partition: p, Commands: []byte("garbage")}}); err != nil {
		t.Fatal(err)
	}
	n.send(n.adds("3", "u", 3, "after"))
	doc := n.document(n.outcome("after").Profile)
	if got := doc.Profile.Counters["sum"]; got != int64(6) {
		t.Errorf("sum = %v, want 6", got)
	}
	letters, err := n.bus.DeadLetters(t.Context(), origin, 0, 10)
	if err != nil || len(letters) != 2 {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
}

func TestAProfileStopsGrowingAtItsLimit(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	text := make([]byte, 30<<10)
	for i := range text {
		text[i] = 'x'
	}
	const events = 50
	for i := range events {
		c := n.adds(fmt.Sprint(i), "u", i, fmt.Sprint("t", i))
		c.Event.Type = "identify"
		c.Event.Traits = fmt.Appendf(nil, `{"t%d":"%s"}`, i, text)
		n.send(c)
	}
	refused := 0
	for i := range events {
		if o := n.outcome(fmt.Sprint("t", i)); !o.Valid {
			refused++
			if len(o.Errors) != 1 || o.Errors[0].Path != "profile" {
				t.Errorf("errors = %v", o.Errors)
			}
		}
	}
	doc := n.document(n.bus.DerivedProfile(record.KindUser, "u", 0))
	if size := len(doc.AppendJSON(nil)); size > fold.MaxDocument || size < fold.MaxDocument-40<<10 {
		t.Errorf("the document takes %d bytes", size)
	}
	if kept := len(doc.Profile.Traits); refused != events-kept || refused == 0 {
		t.Errorf("%d of %d events refused, %d traits kept", refused, events, kept)
	}
}

// A second owner fences the first: of two processors on one bus each event is
// applied once, whoever commits.
func TestTwoOwnersApplyEachEventOnce(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.configure()
	second := process(t, n.bus, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	const events = 300
	for i := range events {
		n.send(n.adds(fmt.Sprint(i), fmt.Sprint("u", i%7), 1, fmt.Sprint("t", i)))
	}
	for i := range events {
		n.outcome(fmt.Sprint("t", i))
	}
	cancel()
	if err := errors.Join(<-ended, second.Close()); err != nil {
		t.Error(err)
	}
	sum := int64(0)
	for u := range 7 {
		v, _ := n.document(n.bus.DerivedProfile(record.KindUser, fmt.Sprint("u", u), 0)).Profile.Counters["sum"].(int64)
		sum += v
	}
	if sum != events {
		t.Errorf("sum = %d, want %d", sum, events)
	}
	seenEvents := map[string]int{}
	last := map[int]bus.Mark{}
	for _, e := range n.events() {
		seenEvents[string(e.Data)]++
		if m := (bus.Mark{C: e.C, N: e.N}); m.C < last[e.Partition].C || m == last[e.Partition] {
			t.Errorf("event %+v after %+v", m, last[e.Partition])
		} else {
			last[e.Partition] = m
		}
	}
	if len(seenEvents) != events {
		t.Errorf("%d different events sent on, want %d", len(seenEvents), events)
	}
}

// What came is soon cut from the log and the commits, also while one partition
// alone is busy.
func TestTheLogsStayBounded(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	for i := range 2000 {
		n.send(n.adds(fmt.Sprint(i), "u", 1, ""))
	}
	n.send(n.adds("last", "u", 1, "last"))
	n.outcome("last")
	eventually(t, "an empty log", func() bool {
		messages, _ := n.bus.IngestBacklog()
		return messages <= 1
	})
	eventually(t, "few commits", func() bool {
		commits := 0
		for p := range n.bus.Partitions() {
			if err := n.bus.Commits(t.Context(), p, func([]byte, uint64) error { commits++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		return commits <= 2*n.bus.Partitions()
	})
}
