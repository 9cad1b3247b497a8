// Package querystore is the query store as the rest of the product sees it: the one
// store that answers, and beside it, while events flow, another one that is filled and
// then answers in its place.
//
// Reads go to the store that answers, each from its beginning to its end to the same
// one. What is erased is erased from every store that there is. Which one answers is
// kept in the data directory; it changes in one step, when the other one has all that
// could be read before.
package querystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// Options are what a Store works with.
type Options struct {
	Dir string // the data directory
	Bus *bus.Bus
	// Wished is the store that the settings name, Standard that of a directory of which
	// nothing else is known.
	Wished, Standard Target
	// Open opens a store, or makes it. With an error it may return a store all the same,
	// which recovers by itself, or when it is emptied.
	Open func(ctx context.Context, target Target) (store.Store, error)
	// Exists tells whether there may be something in a store.
	Exists func(target Target) bool
	// Remove takes away what is left of an empty store that is closed; nil: nothing is.
	Remove func(target Target) error
	// Retention is that of the indexer.
	Retention time.Duration
	Log       *slog.Logger
	// Reached is told of every step of a fill when it is done, so that a test can stop
	// the process there; nil: nobody is.
	Reached func(step string)
}

// A Store is the query store. Its methods are safe for concurrent use.
type Store struct {
	o     Options
	begun chan struct{} // closed when Run has begun

	mu        sync.RWMutex // guards what follows
	state     *state
	answering *side
	filling   *side // nil: none
	kept      *side // nil: none
	excluded  []string
	job       *Job  // the last one, under way or done
	failing   error // why the fill does not go on
	ctx       context.Context
	group     *errgroup.Group
	stopped   bool
}

// A side is one store.
type side struct {
	target Target
	serial uint64 // of its cursors
	store  store.Store
	index  *indexer.Indexer // nil while the store is to be emptied
	users  sync.WaitGroup   // who reads
	before *side            // the same store when it answered, until its readers are done; nil: it did not
	// answers ends when it does not answer any more.
	answers context.Context
	over    context.CancelFunc
	// stop ends the indexer that runs, and waits for it; nil: none does.
	stop func()
}

func newSide(target Target, s store.Store) *side {
	on := &side{target: target, store: s}
	on.answers, on.over = context.WithCancel(context.Background())
	return on
}

var _ store.Reader = (*Store)(nil)

// Open opens the store that answers, and what else is known of. A store that does not
// answer, or is broken, keeps nobody from taking events in: Health tells of it.
func Open(ctx context.Context, o Options) (s *Store, err error) {
	kept, err := loadState(o.Dir)
	if err != nil {
		return nil, err
	}
	s = &Store{o: o, begun: make(chan struct{}), state: decide(kept, o.Wished, o.Standard, o.Exists)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.answering, err = s.open(ctx, s.state.Answers); err != nil {
		return nil, err
	}
	s.answering.serial = s.state.Serial
	if kept == nil && s.state.Filling != nil {
		// There is a file; if nothing was ever put into it, it has nothing to give.
		if at, err := s.answering.store.Position(ctx); err == nil && at == nil {
			if err := s.answering.store.Close(); err != nil {
				return nil, err
			}
			s.state.Answers, s.state.Filling = o.Wished, nil
			if s.answering, err = s.open(ctx, o.Wished); err != nil {
				return nil, err
			}
		}
	}
	if s.answering.index, err = s.newIndexer(ctx, s.answering.store); err != nil {
		return nil, err
	}
	if s.state.Kept != nil {
		if s.kept, err = s.open(ctx, *s.state.Kept); err != nil {
			return nil, err
		}
		if s.kept.index, err = s.newIndexer(ctx, s.kept.store); err != nil {
			return nil, err
		}
	}
	if f := s.state.Filling; f != nil {
		if s.filling, err = s.open(ctx, f.Target); err != nil {
			return nil, err
		}
		if f.Emptied {
			if s.filling.index, err = s.newIndexer(ctx, s.filling.store); err != nil {
				return nil, err
			}
		}
		o.Log.Info("queries are answered by one store until another one is filled", "answers", s.answering.target.String(), "fills", f.Target.String())
	}
	return s, s.state.save(o.Dir)
}

func (s *Store) open(ctx context.Context, target Target) (*side, error) {
	opened, err := s.o.Open(ctx, target)
	if opened == nil {
		return nil, err
	}
	if err != nil {
		s.o.Log.Error("a query store cannot be used; events are taken in all the same, and `tributary store rebuild` makes a broken one anew", "store", target.String(), "error", err)
	}
	return newSide(target, opened), nil
}

// newIndexer makes what fills a store. Whoever is excluded from one is from all.
func (s *Store) newIndexer(ctx context.Context, into store.Store) (*indexer.Indexer, error) {
	return indexer.New(ctx, indexer.Options{Bus: s.o.Bus, Store: into, Retention: s.o.Retention, Log: s.o.Log})
}

// Run keeps the stores up to date until the context ends, and goes on with a fill that
// was under way.
func (s *Store) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	s.mu.Lock()
	s.ctx, s.group = ctx, group
	s.index(s.answering) //nolint:contextcheck // by the one that Run keeps
	if s.filling != nil {
		s.job = newJob(filling(s.filling.target))
		s.fillInBackground(s.job) //nolint:contextcheck // by the one that Run keeps
	}
	s.mu.Unlock()
	close(s.begun)
	group.Go(func() error {
		<-ctx.Done()
		s.mu.Lock() // nothing is begun any more
		defer s.mu.Unlock()
		s.stopped = true
		return nil
	})
	return group.Wait()
}

// index runs the indexer of a store. The caller holds mu, of a store that runs.
func (s *Store) index(on *side) {
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	on.stop = sync.OnceFunc(func() { cancel(); <-done })
	s.group.Go(func() error {
		defer close(done)
		defer cancel()
		return on.index.Run(ctx)
	})
}

// sides are all stores that are open. Of one that is to be emptied nothing has to be
// known.
func (s *Store) sides() []*side {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*side
	for _, on := range []*side{s.answering, s.filling, s.kept} {
		if on != nil && on.index != nil {
			on.users.Add(1)
			list = append(list, on)
		}
	}
	return list
}

func release(list []*side) {
	for _, on := range list {
		on.users.Done()
	}
}

// Exclude keeps the profiles of the ids out of all stores, as [indexer.Indexer.Exclude]
// does, also out of those that are to come.
func (s *Store) Exclude(ids []string) {
	s.mu.Lock()
	s.excluded = append(s.excluded, ids...)
	s.mu.Unlock()
	list := s.sides()
	defer release(list)
	for _, on := range list {
		on.index.Exclude(ids)
	}
}

// Everywhere is what is erased from: all stores that are open.
type Everywhere struct{ s *Store }

// Everywhere is every store, the one that answers, the one that is being filled and the
// one that is kept.
func (s *Store) Everywhere() Everywhere { return Everywhere{s} }

// Delete removes what a filter matches from each, and tells how many documents there
// were in all.
func (e Everywhere) Delete(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error) {
	return e.sum(func(on *side) (uint64, error) { return on.store.Delete(ctx, kind, filter) })
}

// Count counts in all.
func (e Everywhere) Count(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error) {
	return e.sum(func(on *side) (uint64, error) { return on.store.Count(ctx, kind, filter) })
}

func (e Everywhere) sum(ask func(*side) (uint64, error)) (uint64, error) {
	list := e.s.sides()
	defer release(list)
	var total uint64
	var failed []error
	for _, on := range list {
		n, err := ask(on)
		total += n
		if err != nil && len(list) > 1 {
			err = fmt.Errorf("%s: %w", on.target, err)
		}
		failed = append(failed, err)
	}
	return total, errors.Join(failed...)
}

// A scrubber takes out of its files what was deleted, and makes what it holds durable.
type scrubber interface {
	Scrub(ctx context.Context) error
}

// Scrub has nothing be left in files of what was deleted.
func (e Everywhere) Scrub(ctx context.Context) error {
	_, err := e.sum(func(on *side) (uint64, error) {
		if scrubber, ok := on.store.(scrubber); ok {
			return 0, scrubber.Scrub(ctx)
		}
		return 0, nil
	})
	return err
}

// Answers is the store that answers.
func (s *Store) Answers() Target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.answering.target.clone()
}

// Known are the stores that are there: the one that answers, and the one that is kept.
func (s *Store) Known() []Target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Target{s.answering.target.clone()}
	if s.kept != nil {
		list = append(list, s.kept.target.clone())
	}
	return list
}

// Reached is up to where both streams are in the store that answers.
func (s *Store) Reached() (events, documents uint64) {
	on, done := s.lease()
	defer done()
	return on.index.Reached()
}

// Resets counts how often the store that answers was emptied, or became another one:
// before the last of them it may have held what it does not hold now.
func (s *Store) Resets() uint64 {
	on, done := s.lease()
	defer done()
	return on.serial + on.index.Resets()
}

// Metrics writes what is measured of the store that answers, and how far a fill is, as
// Prometheus text.
func (s *Store) Metrics(w io.Writer) {
	on, done := s.lease()
	defer done()
	on.index.Metrics(w)
	var now, total uint64
	if job := s.underWay(); job != nil {
		now, total = job.Progress()
	}
	fmt.Fprintf(w, "tributary_store_fill_done %d\ntributary_store_fill_total %d\n", now, total)
}

// Close lets go of all stores. Run must have ended.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []error
	for _, on := range []*side{s.answering, s.filling, s.kept} {
		if on != nil {
			on.over()
			failed = append(failed, on.store.Close())
		}
	}
	return errors.Join(failed...)
}

// commit keeps a changed state, and makes it the one that holds. The caller holds mu.
func (s *Store) commit(change func(*state)) error {
	var next state
	text, err := json.Marshal(s.state)
	if err == nil {
		err = json.Unmarshal(text, &next)
	}
	if err != nil {
		return err
	}
	change(&next)
	if err := next.save(s.o.Dir); err != nil {
		return err
	}
	s.state = &next
	return nil
}

func (s *Store) reached(step string) {
	if s.o.Reached != nil {
		s.o.Reached(step)
	}
}

// excludes has an indexer keep out whom the others do. The caller holds mu.
func (s *Store) excludes(x *indexer.Indexer) { x.Exclude(slices.Clone(s.excluded)) }
