package elastic_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/elastic"
	"github.com/tributary-bus/tributary/test/servers"
)

// A node that is killed while batches are applied has every event up to the position, and
// the store goes on by itself once it is back.
func TestTheNodeIsKilledWhileBatchesAreApplied(t *testing.T) {
	e := servers.StartElasticsearch(t)
	s := open(t, elastic.Options{URLs: []string{e.URL}, Prefix: "test", Timeout: 10 * time.Second})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var applied atomic.Int64
	var writer errgroup.Group
	writer.Go(func() error {
		for at := 0; ctx.Err() == nil; {
			_, err := s.Apply(ctx, events(t, at, 100))
			switch {
			case err == nil:
				at += 100
				applied.Store(int64(at))
			case ctx.Err() != nil:
			case !errors.Is(err, store.ErrUnavailable):
				return err
			default:
				time.Sleep(100 * time.Millisecond)
			}
		}
		return nil
	})
	until := func(n int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); applied.Load() < int64(n); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d are applied within a minute, want %d", applied.Load(), n)
			}
		}
	}
	until(2000)
	e.Kill()
	wantUnavailable(t, "health while it is away", s.Health(t.Context()), "")
	e.Start()
	position, err := s.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(string(position))
	if err != nil || at < 2000 {
		t.Errorf("the position is %q, want 2000 or more", position)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n < uint64(at) {
		t.Errorf("at position %d there are %d events, %v", at, n, err)
	}
	until(at + 1000)
	stop()
	if err := writer.Wait(); err != nil {
		t.Error(err)
	}
	if err := s.Health(t.Context()); err != nil {
		t.Error(err)
	}
}
