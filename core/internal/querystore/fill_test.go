package querystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// What the bus no longer keeps comes from the store that answers, the rest from the bus,
// while events flow; then the new one answers, also after a restart, and holds all of it.
func TestFillGivesAllToTheOtherStore(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(1500)
	r.settled()
	r.letGo(1000)
	job, err := r.store.Rebuild(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Rebuild(t.Context(), second); !errors.Is(err, ErrUnderWay) || !strings.Contains(err.Error(), "second.db is being filled, ") {
		t.Errorf("a second rebuild: %v", err)
	}
	if _, err := r.store.Compare(t.Context(), 10); !errors.Is(err, ErrUnderWay) {
		t.Errorf("a comparison meanwhile: %v", err)
	}
	r.send(200)
	var last, total uint64
	err = job.Wait(t.Context(), func(now, of uint64) {
		if now < last || now > of {
			t.Errorf("progress goes from %d to %d of %d", last, now, of)
		}
		last, total = now, of
	})
	if err != nil || last != total || total < 1500 {
		t.Errorf("%v after %d of %d", err, last, total)
	}
	r.send(100)
	r.settled()
	if n := r.count(store.Events); n != 1800 {
		t.Errorf("%d events of 1800", n)
	}
	if n := r.count(store.Changes); n != 180 {
		t.Errorf("%d changes of 180", n)
	}
	if n := r.count(store.Sessions); n != 1800 {
		t.Errorf("%d sessions of 1800", n)
	}
	if status := r.store.Status(t.Context()); status.Answers.Place != second.Place || status.Kept == nil || status.Kept.Place != first.Place || status.Filling != nil {
		t.Errorf("the status is %+v", status)
	}
	compared, err := r.store.Compare(t.Context(), 300)
	if err != nil || !compared.Equal() {
		t.Errorf("they differ: %v %+v", err, compared)
	}
	if len(compared.Kinds) != 4 || compared.Kinds[0].Documents[1] != 1800 || compared.Kinds[0].Sampled < 300 || compared.Kinds[0].Days != 3 {
		t.Errorf("compared was %+v", compared.Kinds)
	}
	same(t, content(t, r.store.answering.store), content(t, r.store.kept.store))
	if page, err := r.store.ProfileChanges(t.Context(), store.ChangesQuery{Profiles: []string{"p-0"}, Limit: 1000}); err != nil || len(page.Documents) != 180+180 {
		t.Errorf("%d entries in a change log, want those of 180 events and 180 others, %v", len(page.Documents), err)
	}
	r.stop()
	r.run()
	r.settled()
	if n := r.count(store.Events); n != 1800 || r.store.answering.target.Place != second.Place {
		t.Errorf("after a restart %d events of %s", n, r.store.answering.target)
	}
	// And back, emptied before.
	r.rebuild(first)
	if n := r.count(store.Events); n != 1800 || r.store.answering.target.Place != first.Place {
		t.Errorf("%d events of %s", n, r.store.answering.target)
	}
	dropped, err := r.store.Drop(t.Context(), false)
	if err != nil || dropped.Place != second.Place || options(r.dir, nil, r.wished).Exists(second) {
		t.Errorf("dropped is %s, %v", dropped, err)
	}
	if _, err := r.store.Drop(t.Context(), false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("dropped again: %v", err)
	}
	if _, err := r.store.Compare(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("compared with nothing: %v", err)
	}
}

// Whoever reads over the switch misses nothing: what was indexed is found, what was
// counted stays counted, and a page of the store before leads on to none of another one.
func TestNoAnswerMissesADocumentOverTheSwitch(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(600)
	r.settled()
	r.letGo(300)
	page, err := r.store.Query(t.Context(), store.Query{Kind: store.Events, Limit: 10})
	if err != nil || len(page.Documents) != 10 {
		t.Fatal(err)
	}
	if next, err := r.store.Query(t.Context(), store.Query{Kind: store.Events, Limit: 10, Cursor: page.Cursor}); err != nil || len(next.Documents) != 10 {
		t.Errorf("the next page: %v", err)
	}
	targets := []Target{second, first, second}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { // counts
		var counted uint64
		for ctx.Err() == nil {
			n := r.count(store.Events)
			if n < counted {
				t.Errorf("%d events after %d", n, counted)
				return
			}
			counted = n
		}
	})
	group.Go(func() { // sends, waits, looks
		for ctx.Err() == nil {
			r.mu.Lock()
			i := r.sent
			r.mu.Unlock()
			r.send(1)
			o := record.Outcome{Partition: i % partitions, C: r.c[i%partitions], N: 2 * (i / partitions % 10), Profile: "p-0", Revision: uint64(i + 1)}
			waiting, stop := context.WithTimeout(context.Background(), 30*time.Second)
			if err := r.store.WaitIndexed(waiting, o); err != nil {
				t.Error(err)
			}
			stop()
			if _, err := r.store.Get(context.Background(), store.Events, fmt.Sprintf("shop/e-%06d", i)); err != nil {
				t.Errorf("event %d was indexed and is not found: %v", i, err)
			}
			if d, err := r.store.Get(context.Background(), store.Profiles, "p-0"); err != nil || d.Version < o.Revision {
				t.Errorf("the profile is at %d, want %d: %v", d.Version, o.Revision, err)
			}
		}
	})
	for _, target := range targets {
		r.rebuild(target)
	}
	cancel()
	group.Wait()
	if _, err := r.store.Query(t.Context(), store.Query{Kind: store.Events, Limit: 10, Cursor: page.Cursor}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "store that answered before") {
		t.Errorf("a cursor of the store before: %v", err)
	}
	if _, err := r.store.Query(t.Context(), store.Query{Kind: store.Events, Cursor: "nonsense"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a cursor of nobody: %v", err)
	}
	r.settled()
	if n := r.count(store.Events); n != uint64(r.sent) {
		t.Errorf("%d events of %d", n, r.sent)
	}
}

// A meddled store has something happen between the reading of a document and its use.
type meddled struct {
	store.Store
	meddle func(store.Document)
}

func (m *meddled) Scan(ctx context.Context, kind store.Kind, filter store.Filter, each func(store.Document) error) error {
	return m.Store.Scan(ctx, kind, filter, func(d store.Document) error {
		m.meddle(d)
		return each(d)
	})
}

// A person who is erased while the store is copied does not come back with what was read
// before, in neither store, nor with the next start.
func TestErasedDuringTheCopyStaysAway(t *testing.T) {
	for _, kind := range copies {
		t.Run(string(kind), func(t *testing.T) {
			r := newRig(t, t.TempDir())
			r.send(400)
			r.run()
			r.settled()
			r.stop()
			r.letGo(440)
			var once sync.Once
			r.wrap = func(target Target, s store.Store) store.Store {
				if target.Place != first.Place {
					return s
				}
				return &meddled{s, func(d store.Document) {
					if d.Kind == kind && strings.Contains(string(d.Body), `"profile":"p-0"`) {
						once.Do(func() { r.erase("p-0") })
					}
				}}
			}
			r.run()
			r.rebuild(second)
			check := func() {
				t.Helper()
				for id := range content(t, r.store.answering.store) {
					if strings.Contains(id, "p-0") {
						t.Errorf("%s is back", id)
					}
				}
				if n := r.count(store.Events); n != 360 {
					t.Errorf("%d events are left of 360", n)
				}
			}
			check()
			r.stop()
			r.run()
			r.settled()
			check()
		})
	}
}

// erase does what an erasure does with the query store; the bus does not hold the
// person's profile any more.
func (r *rig) erase(id string) {
	d := record.Document{State: record.StateErased, C: 1 << 40}
	results, err := r.bus.PutDocuments(context.Background(), []bus.DocumentPut{{Profile: id, Data: d.AppendJSON(nil), Expect: r.kv[id]}})
	if err != nil || results[0].Conflict {
		r.t.Fatal(err, results)
	}
	r.store.Exclude([]string{id})
	for kind, field := range map[store.Kind]string{store.Events: "event.profile", store.Changes: "event.profile", store.Sessions: "session.profile", store.Profiles: "profile.id"} {
		filter, err := condition.CompileCondition(fmt.Sprintf("%s == %q", field, id), scopes[kind].scope)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.store.Everywhere().Delete(context.Background(), kind, filter); err != nil {
			r.t.Error(err)
		}
		if n, err := r.store.Everywhere().Count(context.Background(), kind, filter); err != nil || n > 0 {
			r.t.Errorf("%d %s are left, %v", n, kind, err)
		}
	}
}

// Who was erased before a fill does not come with it, though the bus holds his events
// still.
func TestErasedBeforeTheFillStaysAway(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(400)
	r.settled()
	r.erase("p-0")
	r.rebuild(second)
	if n := r.count(store.Events); n != 360 {
		t.Errorf("%d events of 360", n)
	}
}

// A fill is given up, also one that does not go on; so is a store that cannot be emptied
// any more.
func TestDropGivesUpAFill(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.wrap = func(target Target, s store.Store) store.Store {
		if target.Is(second) {
			return lost{s}
		}
		return s
	}
	r.run()
	r.send(100)
	r.settled()
	job, err := r.store.Rebuild(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fill fails", func() bool { return r.store.Failing() != nil })
	if _, err := r.store.Rebuild(t.Context(), second); !errors.Is(err, ErrUnderWay) {
		t.Errorf("another one: %v", err)
	}
	if _, err := r.store.Drop(t.Context(), false); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("dropped is what is lost: %v", err)
	}
	if err := job.Wait(t.Context(), func(_, _ uint64) {}); err == nil || !strings.Contains(err.Error(), "it was given up") {
		t.Errorf("the fill ends with %v", err)
	}
	if _, err := r.store.Rebuild(t.Context(), second); !errors.Is(err, ErrUnderWay) || !strings.Contains(err.Error(), "filled in part") {
		t.Errorf("another one beside what is left: %v", err)
	}
	if dropped, err := r.store.Drop(t.Context(), true); err != nil || !dropped.Is(second) || r.store.Failing() != nil {
		t.Errorf("dropped is %s, %v", dropped, err)
	}
	if status := r.store.Status(t.Context()); status.Filling != nil || status.Answers.Place != first.Place {
		t.Errorf("the status is %+v", status)
	}
	r.wrap = nil
	r.stop()
	r.run()
	r.rebuild(second)
	if n := r.count(store.Events); n != 100 {
		t.Errorf("%d events of 100", n)
	}
}

// A lost store is one that cannot be emptied.
type lost struct{ store.Store }

func (lost) Reset(context.Context) error { return store.ErrUnavailable }
