package querystore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedIn); dir != "" {
		fillUntilKilled(dir, os.Getenv(killedAfter))
	}
	goleak.VerifyTestMain(m)
}

const (
	partitions = 4
	people     = 10
)

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// at is when the i-th event happened and was received.
func at(i int) time.Time { return start.Add(time.Duration(i) * 2 * time.Minute) }

// A rig is a real bus, and SQLite files that are filled from it.
type rig struct {
	t      testing.TB
	dir    string
	bus    *bus.Bus
	store  *Store
	wished Target
	// wrap may change what is opened.
	wrap    func(Target, store.Store) store.Store
	reached func(step string)
	stop    func()

	mu   sync.Mutex
	sent int
	c    [partitions]uint64
	kv   map[string]uint64
}

// Places are files in the rig's directory.
var (
	first  = Target{Store: "sqlite", Place: "first.db"}
	second = Target{Store: "sqlite", Place: "second.db"}
)

func newRig(t testing.TB, dir string) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, wished: first, kv: map[string]uint64{}}
	r.openBus()
	return r
}

func (r *rig) openBus() {
	r.t.Helper()
	b, err := openBus(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.bus = b
	r.t.Cleanup(r.closeBus)
}

func openBus(dir string) (*bus.Bus, error) {
	return bus.Open(context.Background(), bus.Options{
		Dir: dir, Durability: bus.DurabilityProcess, Partitions: partitions, DiskReserve: 1, Log: slog.New(slog.DiscardHandler),
	})
}

func (r *rig) closeBus() {
	if r.bus == nil {
		return
	}
	if err := r.bus.Close(context.Background()); err != nil {
		r.t.Error(err)
	}
	r.bus = nil
}

func options(dir string, b *bus.Bus, wished Target) Options {
	log := slog.New(slog.DiscardHandler)
	return Options{
		Dir: dir, Bus: b, Wished: wished, Standard: first, Log: log,
		Open: func(ctx context.Context, target Target) (store.Store, error) {
			s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, target.Place), Log: log})
			if s == nil {
				return nil, err
			}
			return s, err
		},
		Exists: func(target Target) bool { _, err := os.Stat(filepath.Join(dir, target.Place)); return err == nil },
		Remove: func(target Target) error { return sqlite.Remove(filepath.Join(dir, target.Place)) },
	}
}

// run opens the stores and runs them; a test that needs them stopped earlier calls stop.
func (r *rig) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := options(r.dir, r.bus, r.wished)
	o.Reached = r.reached
	if open := o.Open; r.wrap != nil {
		o.Open = func(ctx context.Context, target Target) (store.Store, error) {
			s, err := open(ctx, target)
			return r.wrap(target, s), err
		}
	}
	s, err := Open(ctx, o)
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.store, r.stop = s, sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(r.stop)
}

// send publishes n events as the processor does, ten of them a commit, and of every
// tenth a change that no event tells.
func (r *rig) send(n int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []bus.EventMessage
	for range n {
		p := r.sent % partitions
		if r.sent/partitions%10 == 0 {
			r.c[p]++
		}
		events = append(events, bus.EventMessage{
			Partition: p, C: r.c[p], N: 2 * (r.sent / partitions % 10), Type: "order-completed", Data: processed(r.sent),
		})
		if r.sent%10 == 0 {
			person := sdk.NewProfile(fmt.Sprintf("p-%d", r.sent%people), at(r.sent))
			person.Revision = uint64(r.sent + 1)
			entry := record.Entry(person, at(r.sent), record.Author{Kind: record.ByFlow, ID: fmt.Sprintf("run-%d", r.sent), Name: "thanks"}, map[string]any{"traits.vip": int64(r.sent)})
			events = append(events, bus.EventMessage{
				Partition: p, C: r.c[p], N: 2*(r.sent/partitions%10) + 1, Type: record.TypeChange, Data: append(entry.AppendJSON([]byte(`{"change":`)), '}'),
			})
		}
		r.sent++
	}
	if err := r.bus.PublishEvents(context.Background(), events); err != nil {
		r.t.Fatal(err)
	}
	for i := range people {
		r.document(fmt.Sprintf("p-%d", i), uint64(r.sent))
	}
}

// processed is the i-th event.
func processed(i int) []byte {
	p := record.ProcessedEvent{
		Event: sdk.Event{
			ID: fmt.Sprintf("e-%06d", i), Type: "order-completed", Source: "shop", Profile: fmt.Sprintf("p-%d", i%people),
			Session: fmt.Sprintf("s-%d", i/people), Time: at(i), Received: at(i),
			Properties: sdk.NewObject(map[string]any{"total": int64(i)}), Valid: true,
		},
		Revision: uint64(i + 1), Config: 1, Changes: map[string]any{"counters.orders": int64(i)},
	}
	p.Session = &sdk.Session{
		ID: p.Event.Session, Profile: p.Event.Profile, Started: at(i), Updated: at(i), Status: sdk.SessionActive, Revision: uint64(i + 1),
	}
	return p.AppendJSON(nil)
}

func (r *rig) document(id string, revision uint64) {
	r.t.Helper()
	p := sdk.NewProfile(id, start)
	p.Revision, p.Updated = revision, start.Add(time.Duration(revision)*time.Second)
	d := record.Document{State: record.StateLive, C: revision, Profile: p}
	results, err := r.bus.PutDocuments(context.Background(), []bus.DocumentPut{{Profile: id, Data: d.AppendJSON(nil), Expect: r.kv[id]}})
	if err != nil || results[0].Conflict {
		r.t.Fatal(err, results)
	}
	r.kv[id] = results[0].Revision
}

// letGo has the bus let go of its first events, as its limits do.
func (r *rig) letGo(n uint64) {
	r.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(r.bus.Credentials())
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := nats.Connect(r.bus.URL(), seed)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	stream, err := js.Stream(r.t.Context(), "EVENTS")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Purge(r.t.Context(), jetstream.WithPurgeSequence(n+1)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) count(kind store.Kind) uint64 {
	r.t.Helper()
	n, err := r.store.Count(context.Background(), kind, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// settled waits until the store that answers has all that was sent.
func (r *rig) settled() {
	r.t.Helper()
	eventually(r.t, "all is indexed", func() bool {
		ends, err := r.store.ends(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		events, documents := r.store.Reached()
		return events >= ends[0] && documents >= ends[1]
	})
}

// rebuild fills another store and waits until that answers.
func (r *rig) rebuild(target Target) {
	r.t.Helper()
	job, err := r.store.Rebuild(context.Background(), target)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := job.Wait(context.Background(), func(_, _ uint64) {}); err != nil {
		r.t.Fatal(err)
	}
}

// content is all that a store holds.
func content(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range store.Kinds {
		err := s.Scan(context.Background(), kind, nil, func(d store.Document) error {
			text := fmt.Sprintf("v%d c%d %s", d.Version, d.Config, d.Body)
			if d.Log != nil {
				text += fmt.Sprintf(" r%d %s", d.Log.Revision, d.Log.Changes)
			}
			all[string(kind)+" "+d.ID] = text
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// same holds the content of two stores against each other.
func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	told := 0
	for id, text := range want {
		if got[id] != text && told < 5 {
			told++
			t.Errorf("%s is\n%s\nwant\n%s", id, got[id], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d documents, want %d", len(got), len(want))
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
