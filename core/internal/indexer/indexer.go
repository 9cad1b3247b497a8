// Package indexer carries what the bus holds into the query store: processed
// events with their sessions, and the profiles as they stand.
//
// How far it has read is stored in the same transaction as what it read, so it
// goes on where it stopped: nothing is left out, and what it meets twice has no
// effect, since documents have versions. While the store does not answer it
// waits and tries again; nobody else waits for it then.
package indexer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// Options say what is carried where.
type Options struct {
	Bus   *bus.Bus
	Store store.Store
	// Retention is how long the store keeps events after they were received,
	// in whole days; 0 keeps them.
	Retention time.Duration
	Log       *slog.Logger
}

// An Indexer carries events and profiles from the bus to the store.
type Indexer struct {
	bus       *bus.Bus
	store     store.Store
	retention time.Duration
	log       *slog.Logger
	source    string // names the bus in the position
	rebuilds  chan chan error
	waiters   waiters
	metrics   *measures

	applied  [2]atomic.Bool // a batch of the feed has been applied since the bus was opened
	applying sync.Mutex     // held while a batch is applied
	excluded exclusion      // guarded by applying
	mu       sync.Mutex     // guards position
	position position
	// quiet is the end of each stream when all of it was read: what is passed
	// over as a repetition does not move the position.
	quiet   [2]atomic.Uint64
	resets  atomic.Uint64         // how often the store was emptied
	refused atomic.Pointer[error] // why the store cannot be filled
	held    [2]atomic.Int64       // when the oldest document was stored that is read and not applied, in ns; 0: none
}

// New makes an indexer. A store that does not answer, is broken, or was filled
// from another bus is none that it fills: [Indexer.Refused] tells of it, until
// the store answers or a rebuild.
func New(ctx context.Context, o Options) (*Indexer, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	sum := sha256.Sum256(append([]byte("indexer\x00"), o.Bus.InstallationKey()...))
	x := &Indexer{
		bus: o.Bus, store: o.Store, retention: o.Retention, log: o.Log,
		source: hex.EncodeToString(sum[:8]), rebuilds: make(chan chan error), metrics: newMeasures(),
	}
	err := x.resume(ctx)
	if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrBroken) {
		return nil, err
	}
	return x, nil
}

// Refused is why the store cannot be filled, nil while it can.
func (x *Indexer) Refused() error {
	if err := x.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// The pauses between attempts while the store or the bus does not answer.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Run indexes until the context ends, and returns nil then. Failures are
// logged, and it tries again for ever.
func (x *Indexer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if x.retention > 0 {
		group.Go(func() error { x.expire(ctx); return nil })
	}
	group.Go(func() error { x.run(ctx); return nil })
	return group.Wait()
}

func (x *Indexer) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := x.index(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil: // a rebuild
			pause = firstPause
			continue
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		x.metrics.failures.Inc()
		x.log.Warn("indexing has stopped and is tried again", "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case done := <-x.rebuilds:
			done <- x.reset(ctx)
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// index reads both streams from the stored position until one of them fails,
// or until a rebuild, which it carries out, and then returns nil.
func (x *Indexer) index(ctx context.Context) error {
	if err := x.resume(ctx); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	group, reading := errgroup.WithContext(reading)
	group.Go(func() error { return x.readEvents(reading) })
	group.Go(func() error { return x.readDocuments(reading) })
	var done chan error
	select {
	case done = <-x.rebuilds:
		stop()
	case <-reading.Done():
	}
	if err := group.Wait(); done == nil {
		return err
	}
	done <- x.reset(ctx)
	return nil
}

// Rebuild drops the store and fills it again with all that the bus keeps, while
// events flow. It returns when what the bus held at the beginning can be
// queried. progress is told how many messages of how many are done. When the
// caller's context ends, or the process, the filling goes on by itself.
func (x *Indexer) Rebuild(ctx context.Context, progress func(done, total uint64)) error {
	done := make(chan error, 1)
	select {
	case x.rebuilds <- done:
	case <-ctx.Done():
		return fmt.Errorf("rebuild store: %w", ctx.Err())
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("rebuild store: %w", err)
		}
	case <-ctx.Done():
		return fmt.Errorf("rebuild store: %w", ctx.Err())
	}
	events, err := x.bus.EventsLast(ctx)
	if err != nil {
		return fmt.Errorf("rebuild store: %w", err)
	}
	documents, err := x.bus.DocumentsLast(ctx)
	if err != nil {
		return fmt.Errorf("rebuild store: %w", err)
	}
	total := events + documents
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		atEvents, atDocuments := x.Reached()
		left := events - min(atEvents, events) + documents - min(atDocuments, documents)
		progress(total-left, total)
		if left == 0 {
			if err := x.store.Refresh(ctx); err != nil {
				return fmt.Errorf("rebuild store: %w", err)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("rebuild store: %w; it goes on by itself", ctx.Err())
		}
	}
}

func (x *Indexer) reset(ctx context.Context) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	x.move(position{}) // first: whoever learns of the reset does not take the old one for reached
	x.resets.Add(1)
	if err := x.store.Reset(ctx); err != nil {
		return err
	}
	x.refused.Store(nil)
	x.log.Info("the store is empty and is filled again from the bus")
	return nil
}

// Lag tells how many events EVENTS holds that cannot be queried yet, and for
// how long the oldest of those being worked on has waited. Both are zero while
// the store keeps up.
func (x *Indexer) Lag() (events uint64, since time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if last, err := x.bus.EventsLast(ctx); err == nil {
		at, _ := x.Reached()
		events = last - min(at, last)
	}
	for i := range x.held {
		if at := x.held[i].Load(); at != 0 {
			since = max(since, time.Since(time.Unix(0, at)))
		}
	}
	return events, since
}

// Resets counts how often the store was emptied since the start, to be filled again:
// before the last of them it may have held what it does not hold now.
func (x *Indexer) Resets() uint64 { return x.resets.Load() }

// Reached is up to where both streams are in the store.
func (x *Indexer) Reached() (events, documents uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return max(x.position.Events, x.quiet[feedEvents].Load()), max(x.position.Documents, x.quiet[feedDocuments].Load())
}

// expireEvery is how often old events are looked for.
const expireEvery = time.Hour

// expire removes events that are older than the retention, now and every hour.
func (x *Indexer) expire(ctx context.Context) {
	for {
		n, err := x.store.Expire(ctx, time.Now().Add(-x.retention))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			x.log.Warn("old events stay for another hour", "error", err)
		case n > 0:
			x.metrics.expired.Add(int(n))
			x.log.Info("old events are gone from the store", "events", n, "retention", x.retention)
		}
		select {
		case <-time.After(expireEvery):
		case <-ctx.Done():
			return
		}
	}
}
