package indexer

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// A rig is a real bus and a real store, with an indexer between them.
type rig struct {
	t     testing.TB
	bus   *bus.Bus
	path  string
	store *sqlite.Store
	x     *Indexer
	stop  func()
	sent  int // events
	c     [partitions]uint64
	kv    map[string]uint64 // bucket revisions
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "store.db"), kv: map[string]uint64{}}
	r.bus = openBus(t)
	r.openStore()
	return r
}

func openBus(t testing.TB) *bus.Bus {
	t.Helper()
	b, err := bus.Open(context.Background(), bus.Options{
		Dir: t.TempDir(), Durability: bus.DurabilityProcess, Partitions: partitions, DiskReserve: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (r *rig) openStore() {
	r.t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: r.path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = s
	r.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

// run starts an indexer; a test that needs it stopped earlier calls stop.
func (r *rig) run(retention time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x, err := New(ctx, Options{Bus: r.bus, Store: r.store, Retention: retention, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	var once sync.Once
	r.x, r.stop = x, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(r.stop)
}

// send publishes n events as the processor does, ten of them a commit.
func (r *rig) send(n int) {
	r.t.Helper()
	var events []bus.EventMessage
	for range n {
		p := r.sent % partitions
		if r.sent/partitions%10 == 0 {
			r.c[p]++
		}
		events = append(events, bus.EventMessage{
			Partition: p, C: r.c[p], N: r.sent / partitions % 10, Type: "order-completed", Data: processed(r.sent, nil),
		})
		r.sent++
	}
	if err := r.bus.PublishEvents(context.Background(), events); err != nil {
		r.t.Fatal(err)
	}
}

// flow sends events until what it returns is called: a thousand at its own pace,
// then never far ahead of the store.
func (r *rig) flow() (quiet func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for free := 25; ; free-- {
			select {
			case <-stop:
				return
			case <-tick.C:
				if n := r.count(store.Events); free > 0 || n+500 > uint64(r.sent) {
					r.send(40)
				}
			}
		}
	}()
	return func() { close(stop); <-done }
}

func (r *rig) document(id string, data []byte) {
	r.t.Helper()
	results, err := r.bus.PutDocuments(context.Background(), []bus.DocumentPut{{Profile: id, Data: data, Expect: r.kv[id]}})
	if err != nil || results[0].Conflict {
		r.t.Fatal(err, results)
	}
	r.kv[id] = results[0].Revision
}

func (r *rig) count(kind store.Kind) uint64 {
	n, err := r.store.Count(context.Background(), kind, nil)
	if err != nil {
		return 1 << 62 // not now
	}
	return n
}

// settled waits until all that was sent is in the store, once.
func (r *rig) settled() {
	r.t.Helper()
	eventually(r.t, "all events are indexed", func() bool { return r.count(store.Events) >= uint64(r.sent) })
	if n := r.count(store.Events); n != uint64(r.sent) {
		r.t.Fatalf("%d events in the store, %d sent", n, r.sent)
	}
	eventually(r.t, "the lag is gone", func() bool { events, since := r.x.Lag(); return events == 0 && since == 0 })
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
