package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk"
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
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestIndexesWhatTheBusHolds(t *testing.T) {
	r := newRig(t)
	r.send(2500)
	for i := range 20 {
		r.document(fmt.Sprintf("p-%d", i), document(fmt.Sprintf("p-%d", i), record.StateLive, 1))
	}
	r.run(0)
	r.send(500)
	r.settled()
	if n := r.count(store.Sessions); n != 10 {
		t.Errorf("%d sessions, want 10", n)
	}
	if d, err := r.store.Get(t.Context(), store.Sessions, "p-9/s-9"); err != nil || d.Version != 3000 {
		t.Errorf("the session is at %d, %v, want 3000", d.Version, err)
	}
	if d, err := r.store.Get(t.Context(), store.Events, "shop/e-000007"); err != nil || !bytes.Contains(processed(7, nil), d.Body) {
		t.Errorf("event 7 is %s, %v", d.Body, err)
	}
	// Profiles change, are merged, and are erased.
	for revision := uint64(2); revision < 50; revision++ {
		r.document("p-1", document("p-1", record.StateLive, revision))
	}
	r.document("p-2", document("p-2", record.StateRedirect, 2))
	r.document("p-3", []byte(`{"state":"erased","c":9,"profile":{"id":"p-3"}}`))
	eventually(t, "the profiles are as they stand", func() bool {
		d, err := r.store.Get(t.Context(), store.Profiles, "p-1")
		return err == nil && d.Version == 49 && r.count(store.Profiles) == 18
	})
	var text bytes.Buffer
	r.x.Metrics(&text)
	for _, want := range []string{`tributary_indexer_documents_total{kind="events"} 3000`, "tributary_indexer_deleted_total 2", "tributary_indexer_lag_events 0"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("metrics lack %s:\n%s", want, text.String())
		}
	}
}

// TestResumes stops and starts indexers while events flow.
func TestResumes(t *testing.T) {
	r := newRig(t)
	quiet := r.flow()
	for range 8 {
		r.run(0)
		at := r.count(store.Events)
		eventually(t, "it goes on", func() bool { return r.count(store.Events) > at+100 })
		r.stop()
	}
	quiet()
	r.run(0)
	r.settled()
	// Once each: a repetition would have been put again.
	puts := r.x.metrics.documents[store.Events].Get()
	if puts > uint64(r.sent) {
		t.Errorf("%d events put, %d sent", puts, r.sent)
	}
}

func TestRepetitionsAndWhatIsOlder(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(400)
	r.settled()
	// A stalled owner repeats old events: the lag does not stay.
	data := processed(1_000_000, nil)
	if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{Partition: 1, C: 1, N: 0, Type: "t", Data: data}}); err != nil {
		t.Fatal(err)
	}
	if events, _ := r.x.Lag(); events != 1 {
		t.Errorf("%d events behind, want the one that was repeated", events)
	}
	eventually(t, "the repetition is read", func() bool { events, _ := r.x.Lag(); return events == 0 })
	if n := r.count(store.Events); n != 400 {
		t.Errorf("%d events, want 400", n)
	}
}

func TestWaitIndexed(t *testing.T) {
	r := newRig(t)
	wait := func(ctx context.Context, c uint64, n int, profile string, revision uint64) error {
		return r.x.WaitIndexed(ctx, record.Outcome{Partition: 2, C: c, N: n, Profile: profile, Revision: revision})
	}
	r.run(0)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 1, 1, "", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before there is anything: %v", err)
	}
	if err := r.x.WaitIndexed(t.Context(), record.Outcome{Partition: partitions}); err == nil {
		t.Error("there is no such partition")
	}
	send := func(i int, c uint64, n int) {
		t.Helper()
		if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{Partition: 2, C: c, N: n, Type: "t", Data: processed(i, nil)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name           string
		c              uint64
		n              int
		profile        string
		revision       uint64
		bring          func()
		notYet, enough bool
	}{
		{name: "nobody's event", c: 1, n: 0, bring: func() { send(1, 1, 0) }},
		{name: "once more", c: 1, n: 0, bring: func() {}},
		{name: "second of a commit", c: 1, n: 1, bring: func() { send(2, 1, 1) }},
		{name: "of a later commit", c: 2, n: 5, bring: func() { send(3, 3, 0) }},
		{name: "event first", c: 4, n: 0, profile: "a", revision: 2, bring: func() {
			send(4, 4, 0)
			r.document("a", document("a", record.StateLive, 2))
		}},
		{name: "profile first", c: 5, n: 0, profile: "a", revision: 3, bring: func() {
			r.document("a", document("a", record.StateLive, 4))
			send(5, 5, 0)
		}},
		{name: "profile merged away", c: 5, n: 0, profile: "a", revision: 5, bring: func() {
			r.document("a", document("a", record.StateRedirect, 5))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() { done <- wait(t.Context(), c.c, c.n, c.profile, c.revision) }()
			c.bring()
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still waiting")
			}
			if c.profile == "" || c.name == "profile merged away" {
				return
			}
			if d, err := r.store.Get(t.Context(), store.Profiles, c.profile); err != nil || d.Version < c.revision {
				t.Errorf("profile is at %d, %v, want %d", d.Version, err, c.revision)
			}
		})
	}
	// Neither half alone is enough.
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 5, 0, "b", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the profile: %v", err)
	}
	r.document("b", document("b", record.StateLive, 1))
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wait(short, 6, 0, "b", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the event: %v", err)
	}
	if len(r.x.waiters.set) != 0 {
		t.Errorf("%d waiters are left", len(r.x.waiters.set))
	}
}

// TestBrokenStore breaks the store while events flow.
func TestBrokenStore(t *testing.T) {
	for name, repair := range map[string]func(path string) error{
		"comes back":            func(path string) error { return os.Rename(path+".moved", path) },
		"is lost, and refilled": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.run(0)
			r.send(300)
			r.settled()
			if err := errors.Join(os.Rename(r.path, r.path+".moved"), os.Mkdir(r.path, 0o700)); err != nil {
				t.Fatal(err)
			}
			r.send(300)
			eventually(t, "the lag shows", func() bool { events, since := r.x.Lag(); return events == 300 && since > 0 })
			eventually(t, "it fails", func() bool { return r.x.metrics.failures.Get() > 1 })
			if err := errors.Join(os.Remove(r.path), repair(r.path)); err != nil {
				t.Fatal(err)
			}
			r.send(10)
			r.settled()
		})
	}
}

func TestRebuild(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(3000)
	for i := range 300 {
		r.document(fmt.Sprintf("p-%d", i), document(fmt.Sprintf("p-%d", i), record.StateLive, 5))
	}
	r.settled()
	eventually(t, "profiles are indexed", func() bool { return r.count(store.Profiles) == 300 })
	// What does not belong there goes.
	stray, err := store.NewDocument(store.Events, processedEvent(t, 999_999))
	if err != nil {
		t.Fatal(err)
	}
	newer, err := store.NewDocument(store.Profiles, profile("p-1", 77).AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Apply(t.Context(), store.Batch{Put: []store.Document{stray, newer}}); err != nil {
		t.Fatal(err)
	}
	quiet := r.flow()
	var calls int
	var lastDone, lastTotal uint64
	err = r.x.Rebuild(t.Context(), func(done, total uint64) {
		if done < lastDone || done > total {
			t.Errorf("progress goes from %d to %d of %d", lastDone, done, total)
		}
		calls, lastDone, lastTotal = calls+1, done, total
	})
	if err != nil || calls < 2 || lastDone != lastTotal || lastTotal < 3300 {
		t.Errorf("%v after %d calls, %d of %d", err, calls, lastDone, lastTotal)
	}
	if n := r.count(store.Events); n < 3000 {
		t.Errorf("%d events when it was done", n)
	}
	quiet()
	r.settled()
	if d, err := r.store.Get(t.Context(), store.Profiles, "p-1"); err != nil || d.Version != 5 || r.count(store.Profiles) != 300 {
		t.Errorf("the profile is at %d, %v, among %d", d.Version, err, r.count(store.Profiles))
	}

	// One that is cut short goes on by itself, with the next indexer too.
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.x.Rebuild(ctx, func(uint64, uint64) { cancel() }); err == nil {
		// It may have been done at once; then there is nothing to go on with.
		t.Log("the rebuild was faster than its caller")
	}
	r.stop()
	r.run(0)
	r.settled()
	eventually(t, "profiles are indexed", func() bool { return r.count(store.Profiles) == 300 })
}

func processedEvent(t *testing.T, i int) []byte {
	t.Helper()
	docs, err := newSplitter().event(processed(i, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return docs[0].Body
}

// TestRebuildRepairs rebuilds a store that cannot be opened any more.
func TestRebuildRepairs(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(200)
	r.settled()
	if err := errors.Join(os.Remove(r.path), os.WriteFile(r.path, []byte("no store"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r.send(1)
	eventually(t, "it fails", func() bool { return r.x.metrics.failures.Get() > 0 })
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	r.settled()
}

func TestPoisonBecomesADeadLetter(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(8)
	if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{Partition: 3, C: 50, N: 0, Type: "bad", Data: []byte(`{"event":{"id":1}}`)}}); err != nil {
		t.Fatal(err)
	}
	r.c[3] = 50
	r.document("bad", []byte(`{"state":"live","profile":{"id":"bad"}}`))
	r.document("good", document("good", record.StateLive, 1))
	r.send(8)
	r.settled()
	eventually(t, "the profile behind it is indexed", func() bool { return r.count(store.Profiles) == 1 })
	letters, err := r.bus.DeadLetters(t.Context(), Origin, 0, 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d dead letters, %v, want 2", len(letters), err)
	}
	for _, l := range letters {
		if l.Reason == "" || l.Details["sequence"] == nil || l.Details["stream"] == "events" && string(l.Payload) != `{"event":{"id":1}}` {
			t.Errorf("dead letter %+v", l)
		}
	}
}

// refusing is a store that refuses one document for itself alone.
type refusing struct{ *sqlite.Store }

func (s refusing) Apply(ctx context.Context, b store.Batch) (refused []store.Refused, err error) {
	kept := b
	kept.Put = nil
	for _, d := range b.Put {
		if d.ID == "shop/e-000002" {
			refused = append(refused, store.Refused{Document: d, Reason: "not this one"})
			continue
		}
		kept.Put = append(kept.Put, d)
	}
	_, err = s.Store.Apply(ctx, kept)
	return refused, err
}

func TestRefusedBecomesADeadLetter(t *testing.T) {
	r := newRig(t)
	x, err := New(t.Context(), Options{Bus: r.bus, Store: refusing{r.store}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	r.send(10)
	eventually(t, "the others are indexed", func() bool { return r.count(store.Events) == 9 })
	var letters []bus.DeadLetter
	eventually(t, "there is a dead letter", func() bool {
		letters, err = r.bus.DeadLetters(ctx, Origin, 0, 10)
		return err == nil && len(letters) == 1
	})
	if l := letters[0]; l.Reason != "not this one" || l.Details["id"] != "shop/e-000002" || !bytes.Contains(l.Payload, []byte("e-000002")) {
		t.Errorf("dead letter %+v", l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStoreOfAnotherBusIsRefused(t *testing.T) {
	other := newRig(t)
	other.run(0)
	other.send(3)
	other.settled()
	other.stop()
	r := newRig(t)
	r.store = other.store
	r.run(0)
	r.send(1)
	if err := r.x.Refused(); !errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "store rebuild") {
		t.Errorf("%v, want ErrBroken and `store rebuild`", err)
	}
	if n := r.count(store.Events); n != 3 {
		t.Errorf("%d events in a store that is refused, want its 3", n)
	}
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if n := r.count(store.Events); n != 1 || r.x.Refused() != nil {
		t.Errorf("%d events after the rebuild, want 1; %v", n, r.x.Refused())
	}
}

// TestStreamThatEndsBelowThePosition has a position beyond what the bus holds:
// the streams were cut, and use their sequences again.
func TestStreamThatEndsBelowThePosition(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(4)
	r.document("p", document("p", record.StateLive, 1))
	r.settled()
	eventually(t, "the profile is indexed", func() bool { return r.count(store.Profiles) == 1 })
	r.stop()
	ahead := r.x.at()
	ahead.Events, ahead.Documents = ahead.Events+3, ahead.Documents+3
	for i := range ahead.Marks {
		ahead.Marks[i].C += 100
	}
	text, err := ahead.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Apply(t.Context(), store.Batch{Position: text}); err != nil {
		t.Fatal(err)
	}
	r.run(0)
	r.send(2)
	r.document("q", document("q", record.StateLive, 1))
	r.settled()
	eventually(t, "the profile is indexed", func() bool { return r.count(store.Profiles) == 2 })
}

func TestRetention(t *testing.T) {
	r := newRig(t)
	old := processed(0, func(p *record.ProcessedEvent) { p.Event.Received = time.Now().AddDate(0, 0, -5).UTC() })
	young := processed(1, func(p *record.ProcessedEvent) { p.Event.Received = time.Now().UTC() })
	if err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{{C: 1, N: 0, Type: "t", Data: old}, {C: 1, N: 1, Type: "t", Data: young}}); err != nil {
		t.Fatal(err)
	}
	r.run(0)
	eventually(t, "both are indexed", func() bool { return r.count(store.Events) == 2 })
	r.stop()
	r.run(3 * 24 * time.Hour)
	eventually(t, "the old one is gone", func() bool { return r.count(store.Events) == 1 })
	if _, err := r.store.Get(t.Context(), store.Events, "shop/e-000001"); err != nil {
		t.Error(err)
	}
}

// BenchmarkIndex measures events from the bus into the store, with a profile
// change an event.
func BenchmarkIndex(b *testing.B) {
	r := newRig(b)
	for left := b.N; left > 0; left -= 1000 {
		r.send(min(left, 1000))
	}
	var puts []bus.DocumentPut
	for i := range b.N {
		id := fmt.Sprintf("p-%d", i)
		p := profile(id, 1)
		p.Traits["email"] = id + "@example.com"
		p.Stats.Events["order-completed"] = sdk.TypeStats{Count: 1, First: start, Last: start}
		d := record.Document{State: record.StateLive, C: 1, Profile: p}
		puts = append(puts, bus.DocumentPut{Profile: id, Data: d.AppendJSON(nil)})
	}
	if _, err := r.bus.PutDocuments(b.Context(), puts); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	r.run(0)
	eventually(b, "all is indexed", func() bool {
		return r.count(store.Events) == uint64(b.N) && r.count(store.Profiles) == uint64(b.N)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
