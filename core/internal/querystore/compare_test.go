package querystore

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Each way in which two stores can differ is found and named, while events flow; what
// comes meanwhile is no difference.
func TestCompareNamesDifferences(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(400)
	r.settled()
	r.rebuild(second)
	kept := r.store.kept.store
	remove := func(on store.Store, kind store.Kind, field, id string, want uint64) {
		filter, err := condition.CompileCondition(fmt.Sprintf("%s == %q", field, id), scopes[kind].scope)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := on.Delete(t.Context(), kind, filter); err != nil || n != want {
			t.Fatalf("%d %s deleted, %v", n, kind, err)
		}
	}
	change := func(kind store.Kind, id string, edit func(*store.Document)) {
		d, err := kept.Get(t.Context(), kind, id)
		if err != nil {
			t.Fatal(err)
		}
		edit(&d)
		field, scope := kind.Key(id)
		if scope == "" {
			field = id
		}
		remove(kept, kind, scopes[kind].name+".id", field, 1)
		if _, err := kept.Apply(t.Context(), store.Batch{Put: []store.Document{d}}); err != nil {
			t.Fatal(err)
		}
	}
	remove(kept, store.Events, "event.id", "e-000017", 1)
	remove(r.store.answering.store, store.Sessions, "session.id", "s-3", people)
	change(store.Events, "shop/e-000050", func(d *store.Document) { d.Body = []byte(string(d.Body[:len(d.Body)-1]) + `,"more":1}`) })
	change(store.Events, "shop/e-000051", func(d *store.Document) { d.Config = 9 })
	change(store.Events, "shop/e-000052", func(d *store.Document) { d.Log = nil })
	newer := sdk.NewProfile("p-4", start)
	newer.Revision, newer.Updated = 1<<40, start
	doc, err := store.NewDocument(store.Profiles, newer.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Apply(t.Context(), store.Batch{Put: []store.Document{doc}}); err != nil {
		t.Fatal(err)
	}
	// The counts alone tell what is missing.
	counted, err := r.store.Compare(t.Context(), 0)
	if err != nil || len(counted.Differences) != 1+people || counted.Kinds[0].Sampled != 0 {
		t.Errorf("%d differences are counted, want %d: %v %+v", len(counted.Differences), 1+people, err, counted)
	}
	ctx, cancel := context.WithCancel(t.Context())
	flowing := make(chan struct{})
	go func() {
		defer close(flowing)
		for ctx.Err() == nil {
			r.send(5)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	compared, err := r.store.Compare(t.Context(), 100_000)
	cancel()
	<-flowing
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range compared.Differences {
		got[d.Kind+" "+d.ID] = d.What
	}
	want := map[string]string{
		"events shop/e-000017": "is missing in sqlite first.db",
		"events shop/e-000050": "has bodies that differ at byte ",
		"events shop/e-000051": "was processed by the configurations 1 and 9",
		"events shop/e-000052": "tells other changes",
		"profiles p-4":         "has the versions ",
	}
	for id, what := range want {
		if len(got[id]) < len(what) || got[id][:len(what)] != what {
			t.Errorf("%s %q, want %q", id, got[id], what)
		}
	}
	missing := 0
	for id, what := range got {
		if _, known := want[id]; !known {
			missing++
			if what != "is missing in sqlite second.db" || id[:9] != "sessions " {
				t.Errorf("%s %s", id, what)
			}
		}
	}
	if missing != people || compared.More != 0 {
		t.Errorf("%d sessions are missing, want 10; %d more", missing, compared.More)
	}
}

// What the bus lets go of while a store does not take it in comes from the other store,
// and sessions are copied again.
func TestCopyTakesWhatTheBusLetGoOfMeanwhile(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(100)
	r.settled()
	long := time.Now().Add(-3 * copyMargin)
	c := &copier{bus: r.bus, from: r.store.answering.store, into: r.store.answering.index, log: slog.New(slog.DiscardHandler), reached: func(string) {}}
	c.note = copyNote{Until: long, Through: map[store.Kind]time.Time{store.Events: long, store.Changes: long, store.Sessions: long}}
	more, err := c.missing(t.Context())
	if err != nil || !more || c.note.Until.Before(time.Now()) || !c.note.Through[store.Sessions].IsZero() || !c.note.Through[store.Events].Equal(long) {
		t.Errorf("%v %v %+v", more, err, c.note)
	}
	if more, err = c.missing(t.Context()); err != nil || more {
		t.Errorf("again: %v %v", more, err)
	}
}

// Who reads when another store comes to answer goes on with the one that he began with,
// also where that is emptied to be filled again.
func TestReadersAreNotCutShort(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.run()
	r.send(2500)
	r.settled()
	reading, finish := make(chan struct{}), make(chan struct{})
	done := make(chan int, 1)
	go func() {
		n := 0
		err := r.store.Scan(context.Background(), store.Events, nil, func(store.Document) error {
			if n++; n == 1 {
				close(reading)
				<-finish
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		done <- n
	}()
	<-reading
	r.rebuild(second)
	job, err := r.store.Rebuild(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	close(finish)
	if n := <-done; n != 2500 {
		t.Errorf("the reader saw %d events of 2500", n)
	}
	if err := job.Wait(t.Context(), func(_, _ uint64) {}); err != nil {
		t.Fatal(err)
	}
	if n := r.count(store.Events); n != 2500 {
		t.Errorf("%d events of 2500", n)
	}
}
