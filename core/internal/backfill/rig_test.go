package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/processor"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting has every profile count by itself what conditions will read of its orders:
// their worth, and those that lie in the last 30 days.
const counting = `
kind: event-type
id: order
spec:
  schema: {properties: {n: {type: number}}}
  copy:
    - {to: counters.worth, from: event.properties.n, op: increment}
    - {to: counters.recent, from: event.properties.recent, op: increment}
`

// reading reads windows and sums.
const reading = `
kind: event-type
id: check
spec:
  copy:
    - {to: traits.worth, from: 'sum("order", "n")', op: set}
    - {to: traits.recent, from: 'count("order", "30d")', op: set}
    - {to: traits.recent_worth, from: 'sum("order", "n", "5200w")', op: set}
    - {to: traits.looks, from: 'count("look", "5200w")', op: set}
`

// A rig is all of the core that windows depend on, on a bus of its own.
type rig struct {
	t        testing.TB
	bus      *bus.Bus
	registry *resources.Registry
	store    *sqlite.Store
	indexer  *indexer.Indexer
	random   *rand.Rand
	now      time.Time

	mu   sync.Mutex
	sent int
}

func newRig(t testing.TB, seed uint64) *rig {
	t.Helper()
	r := newRigWithoutIndex(t, seed)
	r.run(r.indexer.Run)
	return r
}

// newRigWithoutIndex makes a rig in which nothing comes to the store yet.
func newRigWithoutIndex(t testing.TB, seed uint64) *rig {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	r := &rig{t: t, random: rand.New(rand.NewPCG(seed, 2)), now: time.Now().UTC().Truncate(time.Millisecond)}
	background := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.bus, err = bus.Open(background, bus.Options{Dir: dir, Partitions: 4, Durability: bus.DurabilityProcess, DiskReserve: 1, Log: log})
	must(err)
	t.Cleanup(func() {
		if err := r.bus.Close(background); err != nil {
			t.Error(err)
		}
	})
	r.registry, err = resources.Open(background, r.bus, config.Defaults(true), log)
	must(err)
	r.store, err = sqlite.Open(background, sqlite.Options{Path: filepath.Join(dir, "store.db"), Log: log})
	must(err)
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := processor.New(background, processor.Options{
		Bus: r.bus, Resources: r.registry, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: log,
	})
	must(err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	must(p.Settle(background))
	r.indexer, err = indexer.New(background, indexer.Options{Bus: r.bus, Store: r.store, Log: log})
	must(err)
	r.run(func(ctx context.Context) error { r.registry.Run(ctx); return nil })
	r.run(p.Run)
	r.apply(counting)
	return r
}

// run runs a part until the test ends, or until what it returns is called.
func (r *rig) run(part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// fill returns a backfill with small chunks over a bus.
func (r *rig) fill(b Bus) *Backfill {
	f := New(Options{Bus: b, Store: r.store, Index: r.indexer, Set: r.registry.Current, Log: slog.New(slog.DiscardHandler)})
	f.chunk, f.page = 40, 15
	return f
}

func (r *rig) apply(yaml string) {
	r.t.Helper()
	list, err := config.Parse("test.yaml", []byte(yaml))
	if err == nil {
		_, err = r.registry.Apply(r.t.Context(), config.Puts(list), resources.ApplyOptions{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) remove(kind, id string) {
	r.t.Helper()
	gone := config.Change{Resource: config.Resource{Kind: kind, ID: id}, Delete: true}
	if _, err := r.registry.Apply(r.t.Context(), []config.Change{gone}, resources.ApplyOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// people is how many users there are, each with a browser.
const people = 12

func user(i int) record.Identifier {
	return record.Identifier{Kind: record.KindUser, Value: fmt.Sprintf("u%d", i)}
}

func browser(i int) record.Identifier {
	return record.Identifier{Kind: record.KindAnonymous, Value: fmt.Sprintf("b%d", i)}
}

// send sends n events of anybody: orders, of which some are back-dated, some not
// valid, and some leave their profile as it is, and looks.
func (r *rig) send(n int) {
	r.t.Helper()
	for range n {
		who := user(r.random.IntN(people))
		if r.random.IntN(3) == 0 {
			who = browser(r.random.IntN(people))
		}
		r.sendOf(who)
	}
}

func (r *rig) sendOf(ids ...record.Identifier) {
	r.t.Helper()
	recent, ago := 1, time.Duration(r.random.Int64N(int64(29*24*time.Hour)))
	if r.random.IntN(2) == 0 {
		recent, ago = 0, 31*24*time.Hour+time.Duration(r.random.Int64N(int64(9*365*24*time.Hour)))
	}
	if r.random.IntN(8) == 0 {
		ago = ago.Truncate(24 * time.Hour) // several at one time
	}
	r.mu.Lock()
	r.sent++
	id := fmt.Sprintf("%d", r.sent)
	r.mu.Unlock()
	e := &record.Event{ID: id, Type: "order", Source: "test", Time: r.now.Add(-ago), IDs: ids}
	e.Properties = fmt.Appendf(nil, `{"n":%d.%d,"recent":%d}`, r.random.IntN(100), r.random.IntN(100), recent)
	switch r.random.IntN(12) {
	case 0:
		e.Properties = []byte(`{"n":"ten"}`)
	case 1:
		e.TransientProfile = true
	case 2, 3:
		e.Type = "look"
	}
	c := record.Command{Kind: record.KindEvent, ID: record.EventID("test", id), Received: r.now, Event: e,
		Profile: r.bus.DerivedProfile(ids[0].Kind, ids[0].Value, 0)}
	err := r.bus.Append(context.Background(), []bus.Entry{{Partition: r.bus.Partition(c.Profile), Commands: record.AppendCommand(nil, &c)}})
	if err != nil {
		r.t.Error(err)
	}
}

// merge makes some of the users and the browsers one.
func (r *rig) merge(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		r.sendOf(user(i), browser(i))
	}
}

// quiet waits until all that was sent has been processed and can be queried.
func (r *rig) quiet() {
	r.t.Helper()
	f := r.fill(r.bus)
	out, err := f.openOutbox()
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.close()
	// Merging goes to and fro between partitions.
	for range 5 {
		if err := f.settled(r.t.Context(), out, r.registry.Current().Revision()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// complete waits until a backfill has filled all that is new.
func (r *rig) complete(f *Backfill) {
	r.t.Helper()
	eventually(r.t, "all windows are filled", func() bool {
		p, err := f.Progress(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		all, _, _ := p.Of(r.registry.Current().Kept().List())
		return all
	})
}

// check holds each profile's windows to what it has counted by itself.
func (r *rig) check() {
	r.t.Helper()
	r.quiet()
	kept := r.registry.Current().Kept()
	seen, orders := map[string]bool{}, int64(0)
	for i := range people {
		for _, who := range []record.Identifier{user(i), browser(i)} {
			doc := r.document(r.bus.DerivedProfile(who.Kind, who.Value, 0))
			if doc == nil || seen[doc.Profile.ID] {
				continue
			}
			seen[doc.Profile.ID] = true
			p := doc.Profile
			h := profile.History{Doc: doc, Now: r.now.Add(time.Minute), Kept: kept}
			want := fmt.Sprint(p.Counters["worth"], zero(p.Counters["recent"]), p.Counters["worth"], p.Stats.Events["look"].Count)
			got := fmt.Sprint(h.Sum("order", "n", 0), h.Count("order", 30*24*time.Hour), h.Sum("order", "n", 5200*7*24*time.Hour), h.Count("look", 5200*7*24*time.Hour))
			if got != want {
				r.t.Errorf("profile %s of %v has %s in its windows, want %s; filled %v", p.ID, p.IDs, got, want, doc.Filled)
			}
			orders += p.Stats.Events["order"].Count
		}
	}
	if orders == 0 {
		r.t.Error("there are no orders")
	}
}

func zero(v any) any {
	if v == nil {
		return 0
	}
	return v
}

// document is that of the live profile that an id leads to, nil where nobody has it.
func (r *rig) document(id string) *record.Document {
	r.t.Helper()
	for {
		data, _, err := r.bus.GetDocument(r.t.Context(), id)
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
		if doc.State == record.StateLive {
			return doc
		}
		if id = doc.To; id == "" {
			return nil
		}
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
