package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, filepath.Join(t.TempDir(), "a dir? with #odd% name", "store.db"))
	})
}

// A file needs no whole months: what the whole days before hold goes, to the day.
func TestExpireToTheDay(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	var batch store.Batch
	for day := range 10 {
		for i := range 30 {
			batch.Put = append(batch.Put, storetest.Event(t, day*30+i, func(e *sdk.Event) {
				e.Received = time.Date(2026, 3, 1+day, i%24, 59, 59, 999e6, time.UTC)
			}))
		}
	}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(t.Context(), time.Date(2026, 3, 4, 13, 0, 0, 0, time.FixedZone("", 3600))); err != nil || n != 90 {
		t.Errorf("expired %d, %v, want the 90 of the three whole days before", n, err)
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != 210 {
		t.Errorf("%d events are left, %v, want 210", n, err)
	}
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{
		Path: path, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return storetest.Now },
	})
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
