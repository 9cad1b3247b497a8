package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

func versions(t *testing.T, s store.Store) {
	named := func(name string) func(*sdk.Profile) {
		return func(p *sdk.Profile) { p.Traits["name"] = name }
	}
	for _, step := range []struct {
		revision uint64
		name     string
		want     string
	}{
		{2, "second", "second"},
		{1, "first", "second"},
		{2, "another second", "second"},
		{3, "third", "third"},
		{math.MaxInt64, "last", "last"},
		{4, "fourth", "last"},
	} {
		put(t, s, Profile(t, "p", step.revision, named(step.name)))
		d, err := s.Get(t.Context(), store.Profiles, "p")
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"traits":{"name":%q}`, step.want); !strings.Contains(string(d.Body), want) {
			t.Errorf("after revision %d the store has %s, want %s", step.revision, d.Body, want)
		}
	}
	wantCount(t, s, store.Profiles, 1)

	// In one batch too.
	put(t, s, Session(t, "p", "s", 7), Session(t, "p", "s", 9), Session(t, "p", "s", 8))
	d, err := s.Get(t.Context(), store.Sessions, "p/s")
	if err != nil || d.Version != 9 {
		t.Errorf("the session is at %d, %v, want 9", d.Version, err)
	}
}

// fields changes every field that a store may keep beside the body, at first the
// usual one, then one that hardly ever does.
func fields(t *testing.T, s store.Store) {
	at := func(days int) time.Time { return Start.AddDate(0, 0, days) }
	for i, step := range []struct {
		revision         uint64
		created, updated int // days
		stale            bool
	}{
		{1, 0, 0, false},
		{2, 0, 1, false},
		{3, -5, 1, false},
		{3, -9, 1, true},
		{2, -9, 2, true},
		{4, -7, 3, false},
		{5, -7, 4, false},
	} {
		put(t, s, Profile(t, "other", 1, nil), Profile(t, "p", step.revision, func(p *sdk.Profile) {
			p.Created, p.Updated = at(step.created), at(step.updated)
		}))
		created := fmt.Sprintf(`profile.created == timestamp(%q)`, sdk.FormatTime(at(step.created)))
		updated := fmt.Sprintf(`profile.updated == timestamp(%q)`, sdk.FormatTime(at(step.updated)))
		want := uint64(1)
		if step.stale {
			want = 0
		}
		got, err := s.Count(t.Context(), store.Profiles, Filter(t, store.Profiles, `profile.id == "p" && `+created+` && `+updated))
		if err != nil || got != want {
			t.Errorf("step %d: %d profiles with its times, %v, want %d", i, got, err, want)
		}
	}
	if ids := all(t, s, store.Query{Kind: store.Profiles, Sort: "created"}); len(ids) != 2 || ids[0] != "p" {
		t.Errorf("by creation: %v", ids)
	}
}

// configurations: a store keeps of an event by which configuration it was processed,
// first.
func configurations(t *testing.T, s store.Store) {
	for i := range uint64(3) {
		d := Event(t, int(i), nil)
		d.Config = i
		put(t, s, d)
		d.Config = 9
		put(t, s, d)
	}
	put(t, s, Profile(t, "p", 1, nil))
	want := func(where string, d store.Document) {
		t.Helper()
		if got := fmt.Sprintf("shop/e-%06d", d.Config); d.Kind == store.Events && got != d.ID || d.Kind != store.Events && d.Config != 0 {
			t.Errorf("%s: %s has the configuration %d", where, d.ID, d.Config)
		}
	}
	for _, kind := range []store.Kind{store.Events, store.Profiles} {
		for _, sort := range []string{"", "id", "properties.n"} {
			page, err := s.Query(t.Context(), store.Query{Kind: kind, Sort: sort})
			if err != nil || len(page.Documents) == 0 {
				t.Fatalf("query: %v, %v", page, err)
			}
			for _, d := range page.Documents {
				want("query by "+sort, d)
				if d, err := s.Get(t.Context(), kind, d.ID); err != nil {
					t.Error(err)
				} else {
					want("get", d)
				}
			}
		}
		if err := s.Scan(t.Context(), kind, nil, func(d store.Document) error { want("scan", d); return nil }); err != nil {
			t.Error(err)
		}
	}
}

func replay(t *testing.T, s store.Store) {
	var docs []store.Document
	for i := range 500 {
		docs = append(docs, Event(t, i, nil), Profile(t, fmt.Sprintf("p-%d", i%10), uint64(i+1), nil))
	}
	for range 3 {
		put(t, s, docs...)
		put(t, s, docs[100:300]...)
	}
	wantCount(t, s, store.Events, 500)
	wantCount(t, s, store.Profiles, 10)
	if ids := all(t, s, store.Query{Kind: store.Events, Sort: "time"}); len(ids) != 500 || ids[499] != "shop/e-000499" {
		t.Errorf("%d events, the last %s", len(ids), ids[len(ids)-1])
	}
	for i := range 10 {
		if d, err := s.Get(t.Context(), store.Profiles, fmt.Sprintf("p-%d", i)); err != nil || d.Version != uint64(491+i) {
			t.Errorf("profile %d is at %d, %v, want %d", i, d.Version, err, 491+i)
		}
	}
}

func positions(t *testing.T, s store.Store) {
	want := func(want string) {
		t.Helper()
		if p, err := s.Position(t.Context()); err != nil || string(p) != want || (p == nil) != (want == "") {
			t.Errorf("position is %q, %v, want %q", p, err, want)
		}
	}
	want("")
	put(t, s, Event(t, 1, nil))
	want("")
	for _, p := range []string{"one", "two\x00\xff'"} {
		if _, err := s.Apply(t.Context(), store.Batch{Put: []store.Document{Event(t, 2, nil)}, Position: []byte(p)}); err != nil {
			t.Fatal(err)
		}
		want(p)
	}
	put(t, s, Event(t, 3, nil))
	want("two\x00\xff'")
}

func refused(t *testing.T, s store.Store) {
	bad := Profile(t, "bad", 1, nil)
	bad.Version = 0
	batch := store.Batch{Put: []store.Document{Event(t, 1, nil), bad, {}, Event(t, 2, nil)}, Position: []byte("x")}
	list, err := s.Apply(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Document.ID != "bad" || list[0].Reason == "" || list[1].Reason == "" {
		t.Errorf("refused %+v, want the two bad ones with a reason", list)
	}
	refresh(t, s)
	wantCount(t, s, store.Events, 2)
	wantCount(t, s, store.Profiles, 0)
	if p, err := s.Position(t.Context()); err != nil || string(p) != "x" {
		t.Errorf("position is %q, %v: what is refused must not hold it back", p, err)
	}
}

// hostile are texts that a store might take for something else.
var hostile = []string{
	"plain", "with space", "a/b/c", `quote"s`, `apostrophe's`, "back\\slash", "nul\x00inside", "new\nline", "ünïcödé", "日本語",
	"emoji 🎏", "*", "%_", "$.x", "{\"match_all\":{}}", "'; DROP TABLE events; --", "a OR b", strings.Repeat("x", 512), "-", "é", "e\u0301",
}

func keys(t *testing.T, s store.Store) {
	for i, id := range hostile {
		put(t, s, Event(t, i, func(e *sdk.Event) {
			e.ID, e.Type, e.Session = id, "t "+id, id
			e.Properties = sdk.NewObject(map[string]any{"text": id})
		}), Profile(t, id, 1, func(p *sdk.Profile) { p.Traits["text"] = id }), Session(t, "p", id, 1))
	}
	for _, id := range hostile {
		for kind, full := range map[store.Kind]string{store.Events: "shop/" + id, store.Profiles: id, store.Sessions: "p/" + id} {
			d, err := s.Get(t.Context(), kind, full)
			if err != nil || d.ID != full || !bytes.Contains(d.Body, sdk.AppendString(nil, id)) {
				t.Errorf("get %s %q: %s, %v", kind, full, d.Body, err)
			}
		}
		quoted := string(sdk.AppendString(nil, id))
		for _, c := range []struct {
			kind   store.Kind
			source string
			want   string
		}{
			{store.Events, "event.id == " + quoted, "shop/" + id},
			{store.Events, "event.session == " + quoted, "shop/" + id},
			{store.Events, "event.properties.text == " + quoted, "shop/" + id},
			{store.Profiles, "profile.traits.text == " + quoted, id},
			{store.Sessions, "session.id == " + quoted, "p/" + id},
		} {
			if ids := all(t, s, store.Query{Kind: c.kind, Filter: Filter(t, c.kind, c.source)}); len(ids) != 1 || ids[0] != c.want {
				t.Errorf("%s finds %q, want that one", c.source, ids)
			}
		}
	}
	// Every order gives every one, whatever its text.
	for _, q := range []store.Query{
		{Kind: store.Events, Sort: "id"}, {Kind: store.Events, Sort: "-properties.text"}, {Kind: store.Profiles, Sort: "traits.text"},
		{Kind: store.Sessions, Sort: "-id"},
	} {
		q.Limit = 2
		ids := all(t, s, q)
		distinct := map[string]bool{}
		for _, id := range ids {
			distinct[id] = true
		}
		if len(ids) != len(hostile) || len(distinct) != len(hostile) {
			t.Errorf("%s by %s: %d of %d, %d distinct", q.Kind, q.Sort, len(ids), len(hostile), len(distinct))
		}
	}
	if _, err := s.Get(t.Context(), store.Profiles, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get what is not there: %v, want ErrNotFound", err)
	}
	if _, err := s.Get(t.Context(), store.Events, "other/plain"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get the event of another source: %v, want ErrNotFound", err)
	}
}

func deletions(t *testing.T, s store.Store) {
	put(t, s, Profile(t, "old", 3, nil), Profile(t, "new", 5, nil), Profile(t, "any", 9, nil), Profile(t, "stays", 1, nil), Event(t, 1, nil), Session(t, "p", "s", 1))
	_, err := s.Apply(t.Context(), store.Batch{
		Put: []store.Document{Profile(t, "any", 10, nil)},
		Delete: []store.Deletion{
			{Kind: store.Profiles, ID: "old", Version: 4}, {Kind: store.Profiles, ID: "new", Version: 4},
			{Kind: store.Profiles, ID: "any"}, {Kind: store.Profiles, ID: "nobody"},
			{Kind: store.Events, ID: "shop/e-000001"}, {Kind: store.Events, ID: "other/e-000001"}, {Kind: store.Sessions, ID: "p/s"},
		},
		Position: []byte("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, s)
	if ids := all(t, s, store.Query{Kind: store.Profiles, Sort: "id"}); fmt.Sprint(ids) != "[new stays]" {
		t.Errorf("profiles %v are left, want new and stays", ids)
	}
	wantCount(t, s, store.Events, 0)
	wantCount(t, s, store.Sessions, 0)
	if _, err := s.Apply(t.Context(), store.Batch{Delete: []store.Deletion{{Kind: "people", ID: "x"}}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("delete of an unknown kind: %v, want ErrInvalid", err)
	}
}

func deleteByFilter(t *testing.T, s store.Store) {
	var docs []store.Document
	for i := range 5000 {
		docs = append(docs, Event(t, i, nil))
	}
	put(t, s, docs...)
	for _, step := range []struct {
		filter        store.Filter
		deleted, left uint64
	}{
		{Filter(t, store.Events, `event.profile == "p-3"`), 500, 4500},
		{Filter(t, store.Events, `event.profile == "p-3"`), 0, 4500},
		{Filter(t, store.Events, `event.properties.total >= 1000`), 3600, 900},
		{nil, 900, 0},
	} {
		n, err := s.Delete(t.Context(), store.Events, step.filter)
		if err != nil || n != step.deleted {
			t.Errorf("deleted %d, %v, want %d", n, err, step.deleted)
		}
		wantCount(t, s, store.Events, step.left)
	}
}

// expire leaves what the whole days before do not hold. A store may drop whole months
// only, so what goes here is a month that has ended.
func expire(t *testing.T, s store.Store) {
	var docs []store.Document
	for day := range 15 {
		for i := range 30 {
			docs = append(docs, Event(t, day*30+i, func(e *sdk.Event) {
				e.Received = time.Date(2026, 2, 24+day, i%24, 59, 59, 999e6, time.UTC)
				e.Time = e.Received.AddDate(-10, 0, 0) // back-dated: not what counts
			}))
		}
	}
	put(t, s, docs...)
	n, err := s.Expire(t.Context(), time.Date(2026, 3, 1, 23, 0, 0, 0, time.FixedZone("", -3600)))
	if err != nil || n < 150 || n > 180 {
		t.Errorf("expired %d, %v, want the 150 of February, and at most the day after", n, err)
	}
	refresh(t, s)
	wantCount(t, s, store.Events, 450-n)
	left := Filter(t, store.Events, `event.received >= timestamp("2026-03-02T00:00:00Z")`)
	if got := count(t, s, store.Events, left); got != 270 {
		t.Errorf("%d events of the days after are left, want 270", got)
	}
}

func reset(t *testing.T, s store.Store) {
	for round := range 2 {
		if _, err := s.Apply(t.Context(), store.Batch{
			Put:      []store.Document{Event(t, 1, nil), Profile(t, "p", uint64(9-round), nil), Session(t, "p", "s", 1)},
			Position: []byte("x"),
		}); err != nil {
			t.Fatal(err)
		}
		d, err := s.Get(t.Context(), store.Profiles, "p")
		if err != nil || d.Version != uint64(9-round) {
			t.Errorf("the profile is at %d, %v, want %d: after a reset no older version is in the way", d.Version, err, 9-round)
		}
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, kind := range store.Kinds {
			wantCount(t, s, kind, 0)
		}
		if p, err := s.Position(t.Context()); err != nil || p != nil {
			t.Errorf("position is %q, %v after a reset", p, err)
		}
		if err := s.Health(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
