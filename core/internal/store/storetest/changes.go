package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// Change makes the entry of a run's change of a profile, received so many seconds
// after the first event.
func Change(t testing.TB, profile string, revision uint64, second int, changes map[string]any) store.Document {
	t.Helper()
	p := sdk.NewProfile(profile, Start)
	p.Revision = revision
	by := record.Author{Kind: record.ByFlow, ID: fmt.Sprintf("run-%d", revision), Name: "thanks"}
	entry := record.Entry(p, Start.Add(time.Duration(second)*time.Second), by, changes)
	d, err := store.NewChange(&entry)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// changing makes the i-th event, which changed its profile.
func changing(t testing.TB, i int, profile string, revision uint64, changes map[string]any) store.Document {
	t.Helper()
	d := Event(t, i, func(e *sdk.Event) {
		e.Profile, e.Received = profile, Start.Add(time.Duration(i)*time.Second)
	})
	d.Log = &store.Log{Revision: revision, Changes: record.AppendChanges(nil, changes)}
	return d
}

// changesOf pages through a change log and returns its entries, each in short.
func changesOf(t testing.TB, s store.Store, q store.ChangesQuery) string {
	t.Helper()
	var list []string
	for range 100 {
		page, err := s.ProfileChanges(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Documents {
			body, err := sdk.ParseObject(d.Body)
			if err != nil || d.Kind != store.Changes {
				t.Fatal(d.Kind, err)
			}
			list = append(list, fmt.Sprintf("%s/%d %s", body["profile"], body["revision"], sdk.AppendValue(nil, body["changes"])))
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return strings.Join(list, "\n")
		}
		if len(page.Documents) == 0 {
			t.Fatal("an empty page has a cursor")
		}
	}
	t.Fatal("the pages have no end")
	return ""
}

// changes are told of events and of what has no event, in one order, under every id
// of a person, once.
func changes(t *testing.T, s store.Store) {
	docs := []store.Document{
		changing(t, 1, "ann", 1, map[string]any{"traits.name": "Ann", "identities.user": []any{"ann"}}),
		Event(t, 2, func(e *sdk.Event) { e.Profile = "ann" }), // changed nothing
		Change(t, "ann", 3, 3, map[string]any{"traits.vip": true, "traits.name": nil}),
		changing(t, 3, "ann", 4, map[string]any{"traits.address.city": "Rome"}),
		changing(t, 4, "ann", 5, map[string]any{"traits.address": map[string]any{}}),
		Change(t, "old", 9, 4, map[string]any{`traits["a.b"]`: "x", `traits["a.b"].c`: "y", "traits.a": "z"}),
		changing(t, 5, "bob", 1, map[string]any{"traits.name": "Bob"}),
		Change(t, "bob", 2, 6, map[string]any{"traits.name": "Bobby"}),
	}
	put(t, s, docs...)
	put(t, s, docs...)
	ann := []string{"ann", "old"}
	path := func(text string) sdk.Path {
		p, err := sdk.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	all := `ann/5 {"traits.address":{}}
old/9 {"traits.a":"z","traits[\"a.b\"]":"x","traits[\"a.b\"].c":"y"}
ann/4 {"traits.address.city":"Rome"}
ann/3 {"traits.name":null,"traits.vip":true}
ann/1 {"identities.user":["ann"],"traits.name":"Ann"}`
	since, _, _ := strings.Cut(all, "\nann/4")
	_, before, _ := strings.Cut(all, "ann/1")
	before = "ann/1" + before
	for _, c := range []struct {
		name  string
		query store.ChangesQuery
		want  string
	}{
		{"all", store.ChangesQuery{Profiles: ann}, all},
		{"page by page", store.ChangesQuery{Profiles: ann, Limit: 1}, all},
		{"nobody", store.ChangesQuery{Profiles: []string{"eve"}}, ""},
		{"no ids", store.ChangesQuery{}, ""},
		{"a section", store.ChangesQuery{Profiles: ann, Path: path("identities")}, `ann/1 {"identities.user":["ann"]}`},
		{"a field", store.ChangesQuery{Profiles: ann, Path: path("traits.name"), Limit: 1}, "ann/3 {\"traits.name\":null}\nann/1 {\"traits.name\":\"Ann\"}"},
		{"a field within", store.ChangesQuery{Profiles: ann, Path: path("traits.address.city"), Limit: 2}, "ann/5 {\"traits.address\":{}}\nann/4 {\"traits.address.city\":\"Rome\"}"},
		{"a name with a dot", store.ChangesQuery{Profiles: ann, Path: path(`traits["a.b"]`)}, `old/9 {"traits[\"a.b\"]":"x","traits[\"a.b\"].c":"y"}`},
		{"the beginning of a name", store.ChangesQuery{Profiles: ann, Path: path("traits.nam")}, ""},
		{"since", store.ChangesQuery{Profiles: ann, From: Start.Add(4 * time.Second)}, since},
		{"before", store.ChangesQuery{Profiles: ann, Before: Start.Add(3 * time.Second)}, before},
	} {
		if got := changesOf(t, s, c.query); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	for _, q := range []store.ChangesQuery{{Profiles: ann, Limit: store.MaxLimit + 1}, {Profiles: ann, Limit: -1}, {Profiles: ann, Cursor: "x"}} {
		if _, err := s.ProfileChanges(t.Context(), q); err == nil {
			t.Errorf("%+v is taken", q)
		}
	}

	// What an erasure deletes, by the same filter.
	filter := Filter(t, store.Events, `event.profile in ["ann", "old"]`)
	for kind, want := range map[store.Kind]uint64{store.Events: 4, store.Changes: 2} {
		if n, err := s.Delete(t.Context(), kind, filter); err != nil || n != want {
			t.Errorf("%d %s are deleted, %v, want %d", n, kind, err, want)
		}
	}
	if got := changesOf(t, s, store.ChangesQuery{Profiles: ann}); got != "" {
		t.Errorf("after the erasure:\n%s", got)
	}
	if got := changesOf(t, s, store.ChangesQuery{Profiles: []string{"bob"}}); strings.Count(got, "\n") != 1 {
		t.Errorf("of somebody else:\n%s", got)
	}
}

// expireChanges goes by when a change was received, as for events.
func expireChanges(t *testing.T, s store.Store) {
	day := int(24 * time.Hour / time.Second)
	put(t, s,
		changing(t, 0, "ann", 1, map[string]any{"traits.n": int64(1)}), Change(t, "ann", 2, 1, map[string]any{"traits.n": int64(2)}),
		changing(t, day, "ann", 3, map[string]any{"traits.n": int64(3)}), Change(t, "ann", 4, day+1, map[string]any{"traits.n": int64(4)}))
	if n, err := s.Expire(t.Context(), Start.Add(24*time.Hour)); err != nil || n != 1 {
		t.Errorf("%d events are expired, %v, want 1", n, err)
	}
	if got := changesOf(t, s, store.ChangesQuery{Profiles: []string{"ann"}}); got != "ann/4 {\"traits.n\":4}\nann/3 {\"traits.n\":3}" {
		t.Errorf("left are\n%s", got)
	}
}

// whole documents are what is read one by one and by a scan: with them a store is
// filled from another one.
func whole(t *testing.T, s store.Store) {
	changed := changing(t, 1, "ann", 7, map[string]any{"traits.name": "Ann"})
	changed.Config = 3
	docs := []store.Document{
		changed, Event(t, 2, nil), Change(t, "ann", 8, 3, map[string]any{"traits.vip": true}),
		Profile(t, "ann", 8, nil), Session(t, "ann", "s", 2),
	}
	put(t, s, docs...)
	for i := range docs {
		want := &docs[i]
		got, err := s.Get(t.Context(), want.Kind, want.ID)
		if err != nil || !reflect.DeepEqual(&got, want) {
			t.Errorf("%s %s, %v:\n%+v\nwant\n%+v", want.Kind, want.ID, err, got, *want)
		}
		found := 0
		err = s.Scan(t.Context(), want.Kind, nil, func(d store.Document) error {
			if d.ID != want.ID {
				return nil
			}
			found++
			if !reflect.DeepEqual(&d, want) {
				t.Errorf("scanned %s %s:\n%+v\nwant\n%+v", want.Kind, want.ID, d, *want)
			}
			return nil
		})
		if err != nil || found != 1 {
			t.Errorf("a scan of %s gives %s %d times, %v", want.Kind, want.ID, found, err)
		}
	}
}
