package indexer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

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
	for _, want := range []string{`tributary_indexer_documents_total{kind="events"} 3000`, "tributary_indexer_deleted_total 2", "tributary_indexer_lag_events 0"} {
		eventually(t, "the metrics have "+want, func() bool { // what was written is counted next
			var text bytes.Buffer
			r.x.Metrics(&text)
			return strings.Contains(text.String(), want)
		})
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
