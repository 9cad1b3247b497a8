package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// filters shows that each kind is searched by its own document; conditions holds
// what conditions mean to the language.
func filters(t *testing.T, s store.Store) {
	for i := range 100 {
		put(t, s, Event(t, i, nil), Session(t, fmt.Sprintf("p-%d", i%10), fmt.Sprintf("s-%d", i), uint64(i+1)),
			Profile(t, fmt.Sprintf("p-%02d", i), uint64(i+1), func(p *sdk.Profile) {
				p.Counters["orders"] = int64(i)
				p.Stats.Events["order-completed"] = sdk.TypeStats{Count: int64(i), First: Start, Last: Start.Add(time.Duration(i) * time.Hour)}
			}))
	}
	for _, c := range []struct {
		kind   store.Kind
		source string
		want   uint64
	}{
		{store.Events, `true`, 100},
		{store.Events, `event.type == "order-completed"`, 100},
		{store.Events, `event.profile == "p-7"`, 10},
		{store.Events, `event.properties.total > 89.5`, 10},
		{store.Events, `event.properties.missing > 1`, 0},
		{store.Events, `event.time >= "2026-01-31T12:01:00Z"`, 40},
		{store.Events, `event.type != "order-completed" || event.session == null`, 100},
		{store.Profiles, `profile.counters.orders >= 10`, 90},
		{store.Profiles, `count("order-completed") >= 95`, 5},
		{store.Profiles, `last("order-completed") >= timestamp("2026-02-04T12:00:00Z")`, 4},
		{store.Sessions, `session.profile == "p-1"`, 10},
		{store.Sessions, `session.events <= 5 && session.status == "active"`, 5},
	} {
		filter := Filter(t, c.kind, c.source)
		if n := count(t, s, c.kind, filter); n != c.want {
			t.Errorf("%s: %d, want %d", c.source, n, c.want)
		}
		if ids := all(t, s, store.Query{Kind: c.kind, Filter: filter, Limit: 7}); uint64(len(ids)) != c.want {
			t.Errorf("%s: pages give %d, want %d", c.source, len(ids), c.want)
		}
	}
}

func unsearchable(t *testing.T, s store.Store) {
	filter := Filter(t, store.Profiles, `count("order-completed", "7d") > 3`)
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnsearchable) || len(err.Error()) < len(store.ErrUnsearchable.Error())+10 {
			t.Errorf("%s: %v, want ErrUnsearchable with the reason", what, err)
		}
	}
	_, err := s.Query(t.Context(), store.Query{Kind: store.Profiles, Filter: filter})
	check("query", err)
	_, err = s.Count(t.Context(), store.Profiles, filter)
	check("count", err)
	_, err = s.Histogram(t.Context(), store.HistogramQuery{Kind: store.Profiles, Filter: filter, Field: sdk.Path{"updated"}, Interval: time.Hour})
	check("histogram", err)
	_, err = s.Terms(t.Context(), store.TermsQuery{Kind: store.Profiles, Filter: filter, Field: sdk.Path{"id"}})
	check("terms", err)
	check("scan", s.Scan(t.Context(), store.Profiles, filter, func(store.Document) error { return nil }))
	put(t, s, Profile(t, "p", 1, nil))
	_, err = s.Delete(t.Context(), store.Profiles, filter)
	check("delete", err)
	wantCount(t, s, store.Profiles, 1)
}

func invalidQueries(t *testing.T, s store.Store) {
	put(t, s, Event(t, 1, nil), Event(t, 2, nil), Profile(t, "p", 1, nil))
	page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Limit: 1})
	if err != nil || page.Cursor == "" {
		t.Fatalf("first page: cursor %q, %v", page.Cursor, err)
	}
	for what, q := range map[string]store.Query{
		"unknown kind":            {Kind: "people"},
		"negative limit":          {Kind: store.Events, Limit: -1},
		"too high a limit":        {Kind: store.Events, Limit: store.MaxLimit + 1},
		"bad sort":                {Kind: store.Events, Sort: "a..b"},
		"sort by nothing":         {Kind: store.Events, Sort: "-"},
		"text as cursor":          {Kind: store.Events, Cursor: "abc"},
		"JSON as cursor":          {Kind: store.Events, Cursor: "e30"},
		"cursor of another sort":  {Kind: store.Events, Sort: "time", Cursor: page.Cursor},
		"cursor of another kind":  {Kind: store.Profiles, Cursor: page.Cursor},
		"cursor with a tail":      {Kind: store.Events, Cursor: page.Cursor + "AAAA"},
		"cursor of half a cursor": {Kind: store.Events, Cursor: page.Cursor[:len(page.Cursor)/2]},
	} {
		if _, err := s.Query(t.Context(), q); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	for what, q := range map[string]store.HistogramQuery{
		"unknown kind": {Kind: "people", Field: sdk.Path{"time"}, Interval: time.Hour},
		"no field":     {Kind: store.Events, Interval: time.Hour},
		"no interval":  {Kind: store.Events, Field: sdk.Path{"time"}},
		"half seconds": {Kind: store.Events, Field: sdk.Path{"time"}, Interval: 1500 * time.Millisecond},
	} {
		if _, err := s.Histogram(t.Context(), q); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("histogram with %s: %v, want ErrInvalid", what, err)
		}
	}
	for what, q := range map[string]store.TermsQuery{
		"unknown kind": {Kind: "people", Field: sdk.Path{"type"}},
		"no field":     {Kind: store.Events},
		"size":         {Kind: store.Events, Field: sdk.Path{"type"}, Size: -1},
	} {
		if _, err := s.Terms(t.Context(), q); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("terms with %s: %v, want ErrInvalid", what, err)
		}
	}
}

func order(t *testing.T, s store.Store) {
	// Ascending: numbers, then texts, then the rest by id.
	values := []any{
		"e-10", "e-2", int64(-5), 2.5, int64(3), nil, true, map[string]any{"a": int64(1)}, []any{int64(1)}, "", "Z", "a", "é",
		json.Number("1e300"), int64(1) << 60, 0.1, "10",
	}
	for i, v := range values {
		put(t, s, Profile(t, fmt.Sprintf("p-%02d", i), 1, func(p *sdk.Profile) { p.Traits["v"] = v }))
	}
	put(t, s, Profile(t, "p-99", 1, nil), Profile(t, "p-98", 1, func(p *sdk.Profile) { p.Traits["v"] = int64(3) }))
	for sort, want := range map[string]string{
		"traits.v": "[p-02 p-15 p-03 p-04 p-98 p-14 p-13 p-09 p-16 p-10 p-11 p-00 p-01 p-12 p-05 p-06 p-07 p-08 p-99]",
		// The rest is still last, in descending order of ids.
		"-traits.v": "[p-13 p-14 p-98 p-04 p-03 p-15 p-02 p-12 p-01 p-00 p-11 p-10 p-16 p-09 p-99 p-08 p-07 p-06 p-05]",
	} {
		for _, limit := range []int{1, 2, 3, 100} {
			if ids := all(t, s, store.Query{Kind: store.Profiles, Sort: sort, Limit: limit}); fmt.Sprint(ids) != want {
				t.Errorf("by %s, %d a page:\n%v, want\n%s", sort, limit, ids, want)
			}
		}
	}
}

func orderOfColumns(t *testing.T, s store.Store) {
	for i := range 60 {
		put(t, s, Event(t, i, func(e *sdk.Event) {
			e.Time = Start.Add(time.Duration(i/7) * time.Second) // seven at a time
			e.Source = []string{"shop", "app"}[i%2]
			if i%3 == 0 {
				e.Session = fmt.Sprintf("s-%d", i%9)
			}
		}))
	}
	for _, sort := range []string{"", "time", "-time", "received", "-received", "id", "-id", "source", "-source", "session", "-session", "type"} {
		whole := all(t, s, store.Query{Kind: store.Events, Sort: sort, Limit: 1000})
		if len(whole) != 60 {
			t.Errorf("by %q: %d events, want 60", sort, len(whole))
		}
		paged := all(t, s, store.Query{Kind: store.Events, Sort: sort, Limit: 4})
		if !slices.Equal(whole, paged) {
			t.Errorf("by %q: pages give\n%v, the whole is\n%v", sort, paged, whole)
		}
	}
	ids := all(t, s, store.Query{Kind: store.Events, Sort: "-time"})
	if ids[0] != "app/e-000059" || ids[59] != "shop/e-000000" {
		t.Errorf("by -time the first is %s and the last %s", ids[0], ids[59])
	}
	if newest := all(t, s, store.Query{Kind: store.Events}); !slices.Equal(ids, newest) {
		t.Errorf("without a sort the newest does not come first: %v", newest)
	}
}

func paging(t *testing.T, s store.Store) {
	const n = 12_345
	docs := make([]store.Document, n)
	for i := range docs {
		docs[i] = Event(t, i, func(e *sdk.Event) { e.Properties = sdk.NewObject(map[string]any{"total": int64(i * 7919 % n)}) })
	}
	put(t, s, docs...)
	wantCount(t, s, store.Events, n)
	for _, sort := range []string{"-time", "properties.total"} {
		ids := all(t, s, store.Query{Kind: store.Events, Sort: sort, Limit: 1000})
		if len(ids) != n {
			t.Fatalf("by %s: %d events, want %d", sort, len(ids), n)
		}
		for i, id := range ids {
			want := n - 1 - i
			if sort != "-time" {
				// total = i·7919 mod n, and the i-th page entry has total i.
				var at int
				if _, err := fmt.Sscanf(id, "shop/e-%d", &at); err != nil || at*7919%n != i {
					t.Fatalf("by %s: event %d is %s", sort, i, id)
				}
				continue
			}
			if id != fmt.Sprintf("shop/e-%06d", want) {
				t.Fatalf("by %s: event %d is %s, want %d", sort, i, id, want)
			}
		}
	}
	page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Limit: store.MaxLimit})
	if err != nil || len(page.Documents) != store.MaxLimit || page.Cursor == "" {
		t.Errorf("the largest page has %d documents, cursor %q, %v", len(page.Documents), page.Cursor, err)
	}
	if page, err = s.Query(t.Context(), store.Query{Kind: store.Events}); err != nil || len(page.Documents) != store.DefaultLimit {
		t.Errorf("a page has %d documents, %v, want %d", len(page.Documents), err, store.DefaultLimit)
	}
	// As many as the limit are one page, not two.
	page, err = s.Query(t.Context(), store.Query{Kind: store.Events, Filter: Filter(t, store.Events, `event.properties.total < 50`), Limit: 50})
	if err != nil || len(page.Documents) != 50 || page.Cursor != "" {
		t.Errorf("50 of 50: %d documents, cursor %q, %v", len(page.Documents), page.Cursor, err)
	}
}

// pagingWhileWritten pages while others write: what does not change comes once.
func pagingWhileWritten(t *testing.T, s store.Store) {
	const n = 1000
	docs := make([]store.Document, n)
	for i := range docs {
		docs[i] = Event(t, 2*i, nil) // even seconds
	}
	put(t, s, docs...)
	stop := make(chan struct{})
	var writers errgroup.Group
	writers.Go(func() error {
		// Bounded: what is put behind the last page faster than it is read would
		// never end.
		for i := range n {
			select {
			case <-stop:
				return nil
			default:
			}
			// New ones before, between and behind, and repetitions.
			batch := store.Batch{Put: []store.Document{Event(t, 2*(i*37%n)+1, nil), Event(t, -i-1, nil), Event(t, 10*n+i, nil), Event(t, 2*(i*53%n), nil)}}
			if _, err := s.Apply(t.Context(), batch); err != nil {
				return err
			}
		}
		return nil
	})
	for _, sort := range []string{"time", "-properties.total"} {
		got := map[string]int{}
		for _, id := range all(t, s, store.Query{Kind: store.Events, Sort: sort, Limit: 50}) {
			if got[id]++; got[id] > 1 {
				t.Errorf("by %s: %s comes again", sort, id)
			}
		}
		for i := range n {
			if id := fmt.Sprintf("shop/e-%06d", 2*i); got[id] != 1 {
				t.Fatalf("by %s: %s comes %d times", sort, id, got[id])
			}
		}
	}
	close(stop)
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
}

func scan(t *testing.T, s store.Store) {
	const n = 3500
	docs := make([]store.Document, n)
	for i := range docs {
		docs[i] = Event(t, i, nil)
	}
	put(t, s, docs...)
	for _, c := range []struct {
		filter store.Filter
		want   int
	}{{nil, n}, {Filter(t, store.Events, `event.profile == "p-1"`), n / 10}, {Filter(t, store.Events, `event.properties.total == 3499`), 1}} {
		got := map[string]bool{}
		err := s.Scan(t.Context(), store.Events, c.filter, func(d store.Document) error {
			if got[d.ID] {
				t.Errorf("%s comes again", d.ID)
			}
			got[d.ID] = true
			// It holds back no writer.
			if len(got)%1000 == 1 {
				put(t, s, Profile(t, "p", uint64(len(got)), nil))
			}
			return nil
		})
		if err != nil || len(got) != c.want {
			t.Errorf("scanned %d, %v, want %d", len(got), err, c.want)
		}
	}
	enough := errors.New("enough")
	calls := 0
	if err := s.Scan(t.Context(), store.Events, nil, func(store.Document) error { calls++; return enough }); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("a scan that is stopped: %v after %d calls", err, calls)
	}
}

func histogram(t *testing.T, s store.Store) {
	for i, at := range []string{
		"2026-01-31T23:59:59.999Z", "2026-02-01T00:00:00Z", "2026-02-01T12:00:00Z", "2026-02-03T00:00:00Z", "1969-12-31T23:59:59.5Z", "0001-01-01",
	} {
		when, err := sdk.ParseTime(at)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, Event(t, i, func(e *sdk.Event) {
			e.Time = when
			e.Properties = sdk.NewObject(map[string]any{"at": at, "other": []any{nil, "now", "12:00", int64(5), "2026-02-01T01:30:00+02:00", true}[i]})
		}))
	}
	for _, c := range []struct {
		field    string
		interval time.Duration
		filter   string
		want     string
	}{
		{"time", 24 * time.Hour, `event.time >= "2000-01-01"`, "2026-01-31T00:00:00Z=1 2026-02-01T00:00:00Z=2 2026-02-03T00:00:00Z=1 "},
		{"time", time.Hour, `event.time < "2000-01-01"`, "0001-01-01T00:00:00Z=1 1969-12-31T23:00:00Z=1 "},
		{"properties.at", 24 * time.Hour, `event.time >= "2000-01-01"`, "2026-01-31T00:00:00Z=1 2026-02-01T00:00:00Z=2 2026-02-03T00:00:00Z=1 "},
		{"properties.at", time.Second, `event.time < "2000-01-01"`, "0001-01-01T00:00:00Z=1 1969-12-31T23:59:59Z=1 "},
		{"properties.other", time.Hour, `true`, "2026-01-31T23:00:00Z=1 "},
		{"properties.missing", time.Hour, `true`, ""},
	} {
		path, err := sdk.ParsePath(c.field)
		if err != nil {
			t.Fatal(err)
		}
		buckets, err := s.Histogram(t.Context(), store.HistogramQuery{
			Kind: store.Events, Filter: Filter(t, store.Events, c.filter), Field: path, Interval: c.interval,
		})
		if err != nil {
			t.Errorf("%s: %v", c.field, err)
		}
		got := ""
		for _, b := range buckets {
			got += fmt.Sprintf("%s=%d ", b.Start.Format(time.RFC3339), b.Count)
		}
		if got != c.want {
			t.Errorf("%s by %s where %s: %s, want %s", c.field, c.interval, c.filter, got, c.want)
		}
	}
	var docs []store.Document
	for i := range store.MaxBuckets {
		docs = append(docs, Event(t, 100+i, nil))
	}
	put(t, s, docs...)
	if _, err := s.Histogram(t.Context(), store.HistogramQuery{Kind: store.Events, Field: sdk.Path{"time"}, Interval: time.Second}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("more buckets than the bound: %v, want ErrInvalid", err)
	}
}

func terms(t *testing.T, s store.Store) {
	values := []any{"a", "a", "b", int64(5), 5.0, 2.5, true, false, true, nil, map[string]any{"a": "a"}, []any{"a", "a", "c", int64(5), nil, []any{"x"}}, "5", ""}
	for i, v := range values {
		put(t, s, Event(t, i, func(e *sdk.Event) {
			e.Type = []string{"view", "order", "view"}[i%3]
			e.Tags = []string{"all", fmt.Sprintf("t%d", i%2)}
			if i == 3 {
				e.Profile = ""
			}
			e.Properties = sdk.NewObject(map[string]any{"v": v, "a.b": "dot"})
		}))
	}
	for _, c := range []struct {
		field  string
		size   int
		filter string
		want   string
	}{
		{"type", 0, "true", `"view"=9 "order"=5 `},
		{"type", 1, "true", `"view"=9 `},
		{"profile", 2, "true", `"p-0"=2 "p-1"=2 `},
		{"tags", 0, "true", `"all"=14 "t0"=7 "t1"=7 `},
		{"properties.v", 0, "true", `5=3 "a"=3 true=2 2.5=1 ""=1 "5"=1 "b"=1 "c"=1 false=1 `},
		{"properties.v", 0, `event.type == "order"`, `5=1 ""=1 "a"=1 false=1 `},
		{`properties["a.b"]`, 0, "true", `"dot"=14 `},
		{"properties.missing", 0, "true", ""},
	} {
		path, err := sdk.ParsePath(c.field)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Terms(t.Context(), store.TermsQuery{Kind: store.Events, Filter: Filter(t, store.Events, c.filter), Field: path, Size: c.size})
		if err != nil {
			t.Errorf("%s: %v", c.field, err)
		}
		got := ""
		for _, term := range list {
			got += fmt.Sprintf("%s=%d ", sdk.AppendValue(nil, term.Value), term.Count)
		}
		if got != c.want {
			t.Errorf("terms of %s where %s: %s, want %s", c.field, c.filter, got, c.want)
		}
	}
}

func bigIntegers(t *testing.T, s store.Store) {
	numbers := []string{"9007199254740992", "9007199254740993", "9007199254740994", "-9007199254740993", "9223372036854775807"}
	for i, n := range numbers {
		put(t, s, Event(t, i, func(e *sdk.Event) { e.Properties = sdk.NewObject(map[string]any{"n": json.Number(n)}) }))
	}
	for i, n := range numbers {
		want := fmt.Sprintf("shop/e-%06d", i)
		if ids := all(t, s, store.Query{Kind: store.Events, Filter: Filter(t, store.Events, "event.properties.n == "+n)}); len(ids) != 1 || ids[0] != want {
			t.Errorf("n == %s finds %v, want %s", n, ids, want)
		}
	}
	want := "[shop/e-000003 shop/e-000000 shop/e-000001 shop/e-000002 shop/e-000004]"
	if ids := all(t, s, store.Query{Kind: store.Events, Sort: "properties.n", Limit: 1}); fmt.Sprint(ids) != want {
		t.Errorf("by n: %v, want %s", ids, want)
	}
	d, err := s.Get(t.Context(), store.Events, "shop/e-000001")
	if err != nil {
		t.Fatal(err)
	}
	v, err := sdk.ParseObject(d.Body)
	if err != nil || fmt.Sprint(v["properties"]) != "map[n:9007199254740993]" {
		t.Errorf("the store gives %v, %v: the number has changed", v["properties"], err)
	}
}
