package indexer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// WaitIndexed waits until what an outcome says can be queried: its event, and
// its profile at that revision or a later one.
func (x *Indexer) WaitIndexed(ctx context.Context, o record.Outcome) error {
	if o.Partition < 0 || o.Partition >= x.bus.Partitions() {
		return fmt.Errorf("wait until indexed: partition %d, want 0 to %d", o.Partition, x.bus.Partitions()-1)
	}
	w := &waiter{outcome: &o, woken: make(chan struct{})}
	// First wait, then look: what is indexed in between wakes.
	x.waiters.add(w)
	defer x.waiters.remove(w)
	x.waiters.see(w, nil, x.at().Marks)
	if o.Profile != "" && o.Revision > 0 {
		doc, err := x.store.Get(ctx, store.Profiles, o.Profile)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("wait until indexed: %w", err)
		}
		x.waiters.see(w, map[string]uint64{o.Profile: doc.Version}, nil)
	} else {
		x.waiters.see(w, map[string]uint64{o.Profile: math.MaxUint64}, nil)
	}
	select {
	case <-w.woken:
		if err := x.store.Refresh(ctx); err != nil {
			return fmt.Errorf("wait until indexed: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until indexed: %w", ctx.Err())
	}
}

// waiters are all who wait for something to be indexed.
type waiters struct {
	mu  sync.Mutex
	set map[*waiter]struct{}
}

type waiter struct {
	outcome        *record.Outcome
	event, profile bool // what is done
	woken          chan struct{}
}

func (ws *waiters) add(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.set == nil {
		ws.set = map[*waiter]struct{}{}
	}
	ws.set[w] = struct{}{}
}

func (ws *waiters) remove(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.set, w)
}

// any tells whether anybody waits.
func (ws *waiters) any() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.set) > 0
}

// wake tells all who wait for what a batch brought.
func (ws *waiters) wake(batch *store.Batch, marks bus.Marks) {
	if !ws.any() {
		return
	}
	versions := map[string]uint64{}
	for i := range batch.Put {
		if d := &batch.Put[i]; d.Kind == store.Profiles {
			versions[d.ID] = d.Version
		}
	}
	for _, d := range batch.Delete {
		if d.Kind == store.Profiles {
			versions[d.ID] = math.MaxUint64 // it will not come back
		}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		w.see(versions, marks)
	}
}

// see tells one waiter what can be queried.
func (ws *waiters) see(w *waiter, versions map[string]uint64, marks bus.Marks) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.see(versions, marks)
}

func (w *waiter) see(versions map[string]uint64, marks bus.Marks) {
	if w.event && w.profile {
		return
	}
	if mark := marks.Of(w.outcome.Partition); mark.C > w.outcome.C || mark.C == w.outcome.C && mark.N >= w.outcome.N && mark.C > 0 {
		w.event = true
	}
	if version, known := versions[w.outcome.Profile]; known && version >= w.outcome.Revision {
		w.profile = true
	}
	if w.event && w.profile {
		close(w.woken)
	}
}
