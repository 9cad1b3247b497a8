// Package storetest holds what every query store has to do, as tests that each
// of them runs.
package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Now is what the clock of the stores says: half an hour before the hour at which
// most of Europe goes over to summer time, and after midnight in UTC.
var Now = time.Date(2026, 3, 29, 0, 30, 15, 250_000_000, time.UTC)

// Run runs the suite. open makes an empty store, whose clock says [Now], and
// closes it at the test's end.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"Versions", versions},
		{"Fields", fields},
		{"Replay", replay},
		{"Configurations", configurations},
		{"Positions", positions},
		{"Refused", refused},
		{"Keys", keys},
		{"Deletions", deletions},
		{"DeleteByFilter", deleteByFilter},
		{"Expire", expire},
		{"Reset", reset},
		{"Filters", filters},
		{"Conditions", Conditions},
		{"ConditionPairs", ConditionPairs},
		{"Unsearchable", unsearchable},
		{"InvalidQueries", invalidQueries},
		{"Order", order},
		{"OrderOfColumns", orderOfColumns},
		{"Paging", paging},
		{"PagingWhileWritten", pagingWhileWritten},
		{"Scan", scan},
		{"Whole", whole},
		{"Histogram", histogram},
		{"Terms", terms},
		{"BigIntegers", bigIntegers},
		{"Consents", consents},
		{"Changes", changes},
		{"ExpireChanges", expireChanges},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Start is when the suite's first event happened.
var Start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// Event makes the document of the i-th event, changed by edit.
func Event(t testing.TB, i int, edit func(*sdk.Event)) store.Document {
	t.Helper()
	e := sdk.Event{
		ID: fmt.Sprintf("e-%06d", i), Type: "order-completed", Source: "shop", Profile: fmt.Sprintf("p-%d", i%10),
		Time: Start.Add(time.Duration(i) * time.Second), Received: Start.Add(time.Duration(i)*time.Second + 5*time.Millisecond),
		Properties: sdk.NewObject(map[string]any{"total": int64(i)}), Valid: true,
	}
	if edit != nil {
		edit(&e)
	}
	return document(t, store.Events, e.AppendJSON(nil))
}

// Profile makes the document of a profile at a revision, changed by edit.
func Profile(t testing.TB, id string, revision uint64, edit func(*sdk.Profile)) store.Document {
	t.Helper()
	p := sdk.NewProfile(id, Start)
	p.Revision, p.Updated = revision, Start.Add(time.Duration(revision)*time.Second)
	if edit != nil {
		edit(p)
	}
	return document(t, store.Profiles, p.AppendJSON(nil))
}

// Session makes the document of a session at a revision.
func Session(t testing.TB, profile, id string, revision uint64) store.Document {
	t.Helper()
	s := sdk.Session{
		ID: id, Profile: profile, Started: Start, Updated: Start.Add(time.Duration(revision) * time.Second),
		Status: sdk.SessionActive, Events: int64(revision), Revision: revision,
	}
	return document(t, store.Sessions, s.AppendJSON(nil))
}

func document(t testing.TB, kind store.Kind, body []byte) store.Document {
	t.Helper()
	d, err := store.NewDocument(kind, body)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Filter compiles a condition over a kind.
func Filter(t testing.TB, kind store.Kind, source string) store.Filter {
	t.Helper()
	program, err := condition.CompileCondition(source, scopes[kind])
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func put(t testing.TB, s store.Store, docs ...store.Document) {
	t.Helper()
	for len(docs) > 0 {
		n := min(len(docs), 1000)
		refused, err := s.Apply(t.Context(), store.Batch{Put: docs[:n]})
		if err != nil {
			t.Fatal(err)
		}
		if len(refused) > 0 {
			t.Fatalf("refused %s: %s", refused[0].Document.ID, refused[0].Reason)
		}
		docs = docs[n:]
	}
	refresh(t, s)
}

// refresh has queries see what was written.
func refresh(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, s store.Store, kind store.Kind, filter store.Filter) uint64 {
	t.Helper()
	n, err := s.Count(t.Context(), kind, filter)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCount(t testing.TB, s store.Store, kind store.Kind, want uint64) {
	t.Helper()
	if n := count(t, s, kind, nil); n != want {
		t.Errorf("%d %s, want %d", n, kind, want)
	}
}

// all pages through a query and returns the ids, in order.
func all(t testing.TB, s store.Store, q store.Query) (ids []string) {
	t.Helper()
	for {
		page, err := s.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Documents {
			ids = append(ids, d.ID)
		}
		if page.Cursor == "" {
			return ids
		}
		if len(page.Documents) == 0 {
			t.Fatal("an empty page has a cursor")
		}
		q.Cursor = page.Cursor
	}
}
