// Package backfill enters stored events into the windows and sums that a change of the
// configuration has brought.
//
// From the revision on that brought a window, the fold counts what it processes. What
// was processed before is in the query store, and the store knows of each event by
// which revision that was: this package reads those that were processed by an earlier
// one, and sends each profile what it has of them. So every event is counted once, by
// one of the two.
//
// The search goes through the events of a type by their time, in chunks. Where a chunk
// ends is made durable before it is sent, and a profile takes a chunk once; so whatever
// is repeated, after a crash or by two nodes, has no effect. A chunk has arrived before
// the next one is begun.
package backfill

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// Bus is what is needed of the bus.
type Bus interface {
	GetJob(ctx context.Context, key string) (data []byte, revision uint64, err error)
	PutJob(ctx context.Context, key string, data []byte, expect uint64) (revision uint64, err error)
	SyncJobs() error
	PublishCommands(ctx context.Context, commands []record.Routed) error
	Replies(handler func(token string, data []byte)) (prefix string, stop func(), err error)
	EventsLast(ctx context.Context) (uint64, error)
	Partitions() int
	Partition(profile string) int
}

var _ Bus = (*bus.Bus)(nil)

// Store is what is needed of the query store.
type Store interface {
	Query(ctx context.Context, query store.Query) (store.Page, error)
	Count(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error)
	Refresh(ctx context.Context) error
}

// Index tells how far the query store is.
type Index interface {
	// Reached is up to where EVENTS is in the store.
	Reached() (events, documents uint64)
	// Resets counts how often the store was emptied to be filled again.
	Resets() uint64
}

// Options are what a Backfill works with.
type Options struct {
	Bus   Bus
	Store Store
	Index Index
	// Set is the configuration in force.
	Set func() *config.Set
	// Leads tells whether this node is the one that fills. Two that do for a while
	// do no harm. Nil: it is.
	Leads func() bool
	Log   *slog.Logger
	Now   func() time.Time
}

// A Backfill fills the windows that are new. It is safe for concurrent use.
type Backfill struct {
	o        Options
	complete atomic.Uint64 // what this node knows of the state

	chunk uint64 // how many events one has at least
	page  int    // how many are read at a time
}

// New returns a backfill that is not running yet.
func New(o Options) *Backfill {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Leads == nil {
		o.Leads = func() bool { return true }
	}
	return &Backfill{o: o, chunk: chunkEvents, page: pageEvents}
}

const (
	// lookEvery is how often it is looked for windows that are new.
	lookEvery  = 200 * time.Millisecond
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Run fills what is new until the context ends, and returns nil then. Failures are
// logged once in a row, and it tries again.
func (b *Backfill) Run(ctx context.Context) error {
	pause, told := retryFirst, false
	for {
		wait := lookEvery
		if b.o.Leads() && b.next(b.complete.Load()) != 0 {
			err := b.work(ctx)
			if err != nil && ctx.Err() == nil {
				if wait = pause; !told && !errors.Is(err, bus.ErrConflict) {
					told = true
					b.o.Log.Warn("back-filling has stopped and is tried again", "error", err)
				}
				pause = min(2*pause, retryMost)
			} else {
				pause, told = retryFirst, false
			}
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// next is the lowest revision, above one that all are filled of, that windows are kept
// since; 0: there is none.
func (b *Backfill) next(complete uint64) (since uint64) {
	for _, a := range b.o.Set().Kept().List() {
		if a.Since > complete && (since == 0 || a.Since < since) {
			since = a.Since
		}
	}
	return since
}

// keptSince are the aggregates that are kept since a revision, of a type or, where it
// is empty, of all.
func (b *Backfill) keptSince(since uint64, eventType string) (list []profile.Aggregate) {
	for _, a := range b.o.Set().Kept().List() {
		if a.Since == since && (eventType == "" || a.Type == eventType) {
			list = append(list, a)
		}
	}
	return list
}

// work fills all that is new, one revision after another.
func (b *Backfill) work(ctx context.Context) error {
	s, err := b.load(ctx)
	if err != nil {
		return err
	}
	for {
		b.complete.Store(s.Complete)
		since := b.next(s.Complete)
		if since == 0 || !b.o.Leads() {
			return nil
		}
		if s.Since != since {
			s.state = state{Complete: s.Complete, Since: since}
		}
		done, err := b.fill(ctx, s)
		if err != nil || !done {
			return err
		}
		s.state = state{Complete: since}
		if err := b.save(ctx, s); err != nil {
			return err
		}
		b.o.Log.Info("new windows have been filled", "since", since)
	}
}

// fill fills what is kept since one revision. It is false where this node is to stop.
func (b *Backfill) fill(ctx context.Context, s *kept) (done bool, err error) {
	out, err := b.openOutbox()
	if err != nil {
		return false, err
	}
	defer out.close()
	resets := b.o.Index.Resets()
	if err := b.settled(ctx, out, s.Since); err != nil {
		return false, err
	}
	if s.Total == 0 {
		if s.Total, err = b.total(ctx, s.Since); err != nil {
			return false, err
		}
	}
	for {
		if !b.o.Leads() {
			return false, nil
		}
		more, err := b.choose(ctx, s)
		if err != nil || !more {
			return err == nil, err
		}
		c, err := b.search(ctx, s)
		if err != nil {
			return false, err
		}
		if now := b.o.Index.Resets(); now != resets {
			// The store was emptied while it was read: what it had is there again
			// when it has been filled.
			if err := b.settled(ctx, out, s.Since); err != nil {
				return false, err
			}
			resets = now
			continue
		}
		if err := b.deliver(ctx, out, s, c); err != nil {
			return false, err
		}
	}
}

// settled waits until the store has every event that was processed by a revision
// before this one: until each partition works by it, and all that EVENTS then holds
// can be queried.
func (b *Backfill) settled(ctx context.Context, out *outbox, since uint64) error {
	if err := out.send(ctx, b.tellPartitions(since)); err != nil {
		return err
	}
	last, err := b.o.Bus.EventsLast(ctx)
	if err != nil {
		return err
	}
	for {
		if reached, _ := b.o.Index.Reached(); reached >= last {
			return b.o.Store.Refresh(ctx)
		}
		if !sleep(ctx, lookEvery/4) {
			return context.Cause(ctx)
		}
	}
}

// tellPartitions are commands that have each partition work by a revision, and answer
// when what it did before is done.
func (b *Backfill) tellPartitions(since uint64) []letter {
	letters := make([]letter, b.o.Bus.Partitions())
	for p := range letters {
		letters[p] = letter{partition: p, command: record.Command{Kind: record.KindConfig, Revision: since, Received: b.now()}}
	}
	return letters
}

func (b *Backfill) now() time.Time { return b.o.Now().UTC().Truncate(time.Millisecond) }

// sleep is false where the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
