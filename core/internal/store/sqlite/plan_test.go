package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
)

func openStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: filepath.Join(t.TempDir(), "store.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestQueriesUseTheirIndex holds the query plans: on a fresh store, and on one
// whose tables were dropped and made again.
func TestQueriesUseTheirIndex(t *testing.T) {
	s := openStore(t)
	for _, when := range []string{"fresh", "after a reset"} {
		for _, c := range []struct {
			query store.Query
			index string
			sorts bool // needs to sort what it finds
		}{
			{store.Query{Kind: store.Events}, "events_time", false},
			{store.Query{Kind: store.Events, Sort: "received"}, "events_received", false},
			{store.Query{Kind: store.Events, Sort: "-time", Filter: storetest.Filter(t, store.Events, `event.profile == "p"`)}, "events_profile (ANY(part) AND profile=?", true},
			{store.Query{Kind: store.Events, Sort: "-time", Filter: storetest.Filter(t, store.Events, `event.profile in ["p", "q"]`)}, "events_profile (ANY(part) AND profile=?", true},
			{store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, `event.type == "t"`)}, "events_type", false},
			{store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, `event.type == "t" && event.profile == "p"`)}, "events_profile (ANY(part) AND profile=?", true},
			{store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, `event.type == "t" && event.time > ago("7d")`)}, "events_type", false},
			{store.Query{Kind: store.Events, Sort: "time", Filter: storetest.Filter(t, store.Events, `event.time > ago("7d")`)}, "events_time", false},
			{store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, `event.id == "e"`)}, "sqlite_autoindex_events_1", true},
			{store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, `event.type == "t" && event.properties.total > 5`)}, "events_type", false},
			{store.Query{Kind: store.Events, Sort: "-properties.total", Filter: storetest.Filter(t, store.Events, `event.profile == "p"`)}, "events_profile (ANY(part) AND profile=?", true},
			{store.Query{Kind: store.Profiles}, "profiles_updated", false},
			{store.Query{Kind: store.Profiles, Filter: storetest.Filter(t, store.Profiles, `profile.id == "p"`)}, "sqlite_autoindex_profiles_1", false},
			{store.Query{Kind: store.Profiles, Sort: "created"}, "profiles_created", false},
			{store.Query{Kind: store.Sessions, Filter: storetest.Filter(t, store.Sessions, `session.profile == "p"`)}, "sessions_profile", true},
			{store.Query{Kind: store.Sessions, Filter: storetest.Filter(t, store.Sessions, `session.id == "s"`)}, "sqlite_autoindex_sessions_1", true},
		} {
			where, args, err := s.where(c.query.Kind, c.query.Filter)
			if err != nil {
				t.Fatal(err)
			}
			by, err := parseOrder(c.query.Kind, c.query.Sort)
			if err != nil {
				t.Fatal(err)
			}
			for _, page := range []*cursor{nil, {rank: store.RankText, value: "2026-01-01T00:00:00.000Z", id: "a/b"}} {
				query, more := by.sql(where, page, 100)
				all := append(append(append([]any{}, more.before...), args...), more.after...)
				plan := explain(t, s, query, all)
				// A sort of the last terms only is one of equal values.
				sorts := strings.Contains(plan, "USE TEMP B-TREE FOR ORDER BY")
				if !strings.Contains(plan, c.index) || sorts != c.sorts {
					t.Errorf("%s: %s where %s by %q:\n%s\nwant %s, sorts: %v", when, c.query.Kind, where, c.query.Sort, plan, c.index, c.sorts)
				}
			}
		}
		for _, after := range []*changePlace{nil, {}} {
			query, args := changesSQL(&store.ChangesQuery{Profiles: []string{"p", "q"}}, after)
			plan := explain(t, s, query, args)
			for _, index := range []string{"events_profile (ANY(part) AND profile=?", "changes_profile (ANY(part) AND profile=?"} {
				if !strings.Contains(plan, index) {
					t.Errorf("%s: the changes of a profile:\n%s\nwant %s", when, plan, index)
				}
			}
		}
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func explain(t *testing.T, s *Store, query string, args []any) (plan string) {
	t.Helper()
	err := s.rows(t.Context(), "explain", "EXPLAIN QUERY PLAN "+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		plan += detail + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestFullDisk gives the file no more room, and then some.
func TestFullDisk(t *testing.T) {
	s := openStore(t)
	room := func(pages string) {
		t.Helper()
		w := <-s.file.writes
		if err := w.exec(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
		s.file.writes <- w
	}
	room("60")
	stored := 0
	var batch store.Batch
	for ; ; stored += len(batch.Put) {
		batch = store.Batch{Position: []byte("x")}
		for i := range 100 {
			batch.Put = append(batch.Put, storetest.Event(t, stored+i, nil))
		}
		_, err := s.Apply(t.Context(), batch)
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrBroken) {
			t.Fatalf("a full disk gives %v, want ErrUnavailable", err)
		}
		break
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != uint64(stored) {
		t.Errorf("%d events, %v, want the %d that were confirmed", n, err, stored)
	}
	if err := s.Health(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("health on a full disk is %v, want ErrUnavailable", err)
	}
	room("100000")
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Health(t.Context()); err != nil {
		t.Errorf("health with room again is %v", err)
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != uint64(stored+100) {
		t.Errorf("%d events, %v, want %d", n, err, stored+100)
	}
}

// A scan of a day reads no more rows than from its first to its last one.
func TestScanOfADayReadsItsRows(t *testing.T) {
	s := openStore(t)
	var docs []store.Document
	for i := range 300 {
		docs = append(docs, storetest.Event(t, i*600, nil))
	}
	if _, err := s.Apply(t.Context(), store.Batch{Put: docs}); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string][2]int64{
		`event.received >= timestamp("2026-02-01T00:00:00.000Z") && event.received < timestamp("2026-02-02T00:00:00.000Z")`: {72, 216},
		`event.received >= timestamp("2027-02-01T00:00:00.000Z")`:                                                           {0, 0},
		`event.properties.total > 5`: {math.MinInt64, math.MaxInt64},
	} {
		where, args, err := s.where(store.Events, storetest.Filter(t, store.Events, filter))
		if err != nil {
			t.Fatal(err)
		}
		after, last, err := s.span(t.Context(), store.Events, where, args)
		if err != nil || after != want[0] || last != want[1] {
			t.Errorf("%s: rows %d to %d, want %d, %v", filter, after, last, want, err)
		}
	}
}
