package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// A flooredRig is a rig whose bus was opened again: its floor is below what the
// store has.
type flooredRig struct {
	*rig
	dir        string
	checkpoint string // the bus's directory as it was at the floor
	floor, end bus.Floor
	marks      bus.Marks // of what the store has
}

const (
	belowFloor = 40 // events, and a tenth of it documents
	aboveFloor = 80 // likewise, in the store too
)

func newFlooredRig(t *testing.T) *flooredRig {
	t.Helper()
	r := &flooredRig{
		rig: &rig{t: t, path: filepath.Join(t.TempDir(), "store.db"), kv: map[string]uint64{}},
		dir: t.TempDir(), checkpoint: t.TempDir(),
	}
	r.openStore()
	r.open()
	r.fill("below", belowFloor)
	if err := r.bus.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.floor = r.ends()
	r.close()
	if err := os.CopyFS(r.checkpoint, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.fill("above", aboveFloor)
	r.end = r.ends()
	r.run(0)
	r.settled()
	eventually(t, "the profiles are indexed", func() bool { return r.count(store.Profiles) == (belowFloor+aboveFloor)/10 })
	r.stop()
	r.marks = r.x.at().Marks
	r.close()
	return r
}

// reopen opens the bus again, as it was.
func (r *flooredRig) reopen() {
	r.t.Helper()
	r.open()
	if got := r.bus.Floor(); got != r.floor || r.ends() != r.end {
		r.t.Fatalf("the floor is %+v of %+v, want %+v of %+v", got, r.ends(), r.floor, r.end)
	}
}

func (r *flooredRig) open() {
	r.t.Helper()
	b, err := bus.Open(context.Background(), bus.Options{
		Dir: r.dir, Durability: bus.DurabilityFsync, Partitions: partitions, DiskReserve: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.bus = b
	r.t.Cleanup(func() { closeBus(r.t, b) })
}

func (r *flooredRig) close() { closeBus(r.t, r.bus) }

func closeBus(t testing.TB, b *bus.Bus) {
	t.Helper()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// fill sends events, and a tenth as many documents.
func (r *flooredRig) fill(name string, events int) {
	r.t.Helper()
	r.send(events)
	for i := range events / 10 {
		id := fmt.Sprint(name, "-", i)
		r.document(id, document(id, record.StateLive, 1))
	}
}

func (r *flooredRig) ends() (f bus.Floor) {
	r.t.Helper()
	var errs [2]error
	f.Events, errs[0] = r.bus.EventsLast(r.t.Context())
	f.Documents, errs[1] = r.bus.DocumentsLast(r.t.Context())
	if err := errors.Join(errs[:]...); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// stands checks where an indexer reads on from.
func (r *flooredRig) stands(x *Indexer, what string, events, documents uint64) {
	r.t.Helper()
	at := x.at()
	if at.Events != events || at.Documents != documents {
		r.t.Errorf("%s: it reads on from event %d and document %d, want %d and %d", what, at.Events, at.Documents, events, documents)
	}
	if !reflect.DeepEqual(at.Marks, r.marks) {
		r.t.Errorf("%s: the marks are %v, want %v", what, at.Marks, r.marks)
	}
}

// The floor counts until a batch of the stream is applied, and then not again,
// however often the position is taken from the store.
func TestTheFloorCountsUntilABatchIsApplied(t *testing.T) {
	r := newFlooredRig(t)
	r.reopen()
	x, err := New(t.Context(), Options{Bus: r.bus, Store: r.store, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(feed int) error {
		return x.apply(t.Context(), feed, store.Batch{}, func(p *position) {
			if feed == feedEvents {
				p.Events = r.end.Events
			} else {
				p.Documents = r.end.Documents
			}
		})
	}
	again := func() {
		t.Helper()
		if err := x.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.stands(x, "at first", r.floor.Events, r.floor.Documents)
	again()
	r.stands(x, "with nothing applied", r.floor.Events, r.floor.Documents)

	// What the store did not take was not applied.
	if err := errors.Join(os.Rename(r.path, r.path+".moved"), os.Mkdir(r.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(apply(feedEvents), apply(feedDocuments)); err == nil {
		t.Error("a store that is gone took a batch")
	}
	if err := errors.Join(os.Remove(r.path), os.Rename(r.path+".moved", r.path)); err != nil {
		t.Fatal(err)
	}
	again()
	r.stands(x, "after a batch that failed", r.floor.Events, r.floor.Documents)

	if err := apply(feedEvents); err != nil {
		t.Fatal(err)
	}
	again()
	r.stands(x, "after a batch of events", r.end.Events, r.floor.Documents)
	if err := apply(feedDocuments); err != nil {
		t.Fatal(err)
	}
	again()
	again()
	r.stands(x, "after one of documents", r.end.Events, r.end.Documents)
}

// A store that breaks later on does not have everything since the floor read
// again.
func TestABreakDoesNotGoBackToTheFloor(t *testing.T) {
	r := newFlooredRig(t)
	r.reopen()
	r.run(0)
	puts := func() int { return int(r.x.metrics.documents[store.Profiles].Get()) }
	eventually(t, "what is above the floor is read again", func() bool { return puts() == aboveFloor/10 })
	r.fill("new", 40)
	const profiles = (belowFloor + aboveFloor + 40) / 10
	r.settled()
	eventually(t, "the profiles are indexed", func() bool { return r.count(store.Profiles) == profiles })

	before := r.x.metrics.failures.Get()
	if err := errors.Join(os.Rename(r.path, r.path+".moved"), os.Mkdir(r.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	r.send(10)
	eventually(t, "it fails", func() bool { return r.x.metrics.failures.Get() > before })
	if err := errors.Join(os.Remove(r.path), os.Rename(r.path+".moved", r.path)); err != nil {
		t.Fatal(err)
	}
	r.settled()
	// Documents are read in order: with this one in the store, all that is read
	// again has been.
	r.document("last", document("last", record.StateLive, 1))
	eventually(t, "the last profile is indexed", func() bool { return r.count(store.Profiles) == profiles+1 })
	if got, want := puts(), (aboveFloor+40)/10+1; got != want {
		t.Errorf("%d profiles were put, want %d: those above the floor once more, and the new ones", got, want)
	}
	// Of events the marks tell which the store has.
	if got := r.x.metrics.documents[store.Events].Get(); got != 50 {
		t.Errorf("%d events were put, want the 50 new ones", got)
	}
}

// The power took what lay above the floor, and by the time that the indexer
// reads, other events have their sequences.
func TestSequencesUsedAgainAreReadAgain(t *testing.T) {
	r := newFlooredRig(t)
	r.dir = r.checkpoint
	r.open()
	if got := r.ends(); got != r.floor {
		t.Fatalf("the streams end at %+v, want %+v", got, r.floor)
	}
	r.fill("instead", aboveFloor+20)
	r.run(0)
	r.settled()
	const profiles = (belowFloor + aboveFloor + aboveFloor + 20) / 10
	eventually(t, "the profiles are indexed", func() bool { return r.count(store.Profiles) == profiles })
}
