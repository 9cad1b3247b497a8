package sqlite

import (
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
)

// A person's events lie in several parts, and are found in all of them, in order
// and page by page; one that is stored again in a later part stays one.
func TestEventsOfSeveralParts(t *testing.T) {
	const (
		events = 2700 // more than two parts
		every  = 20   // of them one is of the person
	)
	s := openStore(t)
	w := <-s.file.writes
	w.partSize = 1000
	s.file.writes <- w
	event := func(i int) store.Document {
		return storetest.Event(t, i, func(e *sdk.Event) {
			e.Profile = fmt.Sprint("someone-", i%7)
			if i%every == 0 {
				e.Profile = "anna"
			}
		})
	}
	apply := func(docs []store.Document) {
		t.Helper()
		if _, err := s.Apply(t.Context(), store.Batch{Put: docs, Position: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	var docs []store.Document
	for i := range events {
		if docs = append(docs, event(i)); len(docs) == every {
			apply(docs)
			docs = docs[:0]
		}
	}
	apply([]store.Document{event(0), event(every)})

	var parts int
	if err := s.file.readers.QueryRowContext(t.Context(), "SELECT count(DISTINCT part) FROM events").Scan(&parts); err != nil || parts != 3 {
		t.Fatalf("%d parts, %v, want 3", parts, err)
	}
	filter := storetest.Filter(t, store.Events, `event.profile == "anna"`)
	if n, err := s.Count(t.Context(), store.Events, filter); err != nil || n != events/every {
		t.Errorf("%d events of the person, %v, want %d", n, err, events/every)
	}
	var found []string
	for q := (store.Query{Kind: store.Events, Filter: filter, Sort: "-time", Limit: 10}); ; {
		page, err := s.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Documents {
			found = append(found, page.Documents[i].ID)
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
	}
	for i, id := range found {
		if want := event(events - every*(i+1)).ID; id != want {
			t.Fatalf("event %d is %s, want %s", i, id, want)
		}
	}
	if len(found) != events/every {
		t.Errorf("%d events in pages, want %d", len(found), events/every)
	}
}
