package querystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// filling is a fill in words.
func filling(target Target) string { return target.String() + " is being filled" }

// Rebuild fills a store anew while events flow. The one that answers is emptied first,
// and has what the bus keeps afterwards. Another one is given all that the one that
// answers holds, too, and then answers in its place. One job is done at a time, else
// [ErrUnderWay].
func (s *Store) Rebuild(ctx context.Context, target Target) (*Job, error) {
	select {
	case <-s.begun:
	case <-ctx.Done():
		return nil, fmt.Errorf("rebuild store: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.free(); err != nil {
		return nil, err
	}
	if target.Is(s.answering.target) {
		return s.rebuildInPlace(), nil //nolint:contextcheck // it goes on after the call, until Run ends
	}
	if s.filling != nil {
		return nil, fmt.Errorf("rebuild store: %w: %s is filled in part; `tributary store drop` removes it", ErrUnderWay, s.filling.target)
	}
	job := newJob(filling(target))
	s.job = job
	// Opening may take as long as a server takes that does not answer.
	s.mu.Unlock()
	to, err := s.begin(ctx, target)
	s.mu.Lock()
	if err == nil && s.stopped {
		// It is kept that it is to be filled.
		err = errors.Join(errStopping, to.store.Close())
	}
	if err != nil {
		err = fmt.Errorf("rebuild store: %w", err)
		job.end(err)
		return nil, err
	}
	s.filling = to
	s.fillInBackground(job) //nolint:contextcheck // it goes on after the call, until Run ends
	return job, nil
}

func (s *Store) rebuildInPlace() *Job {
	on := s.answering
	s.job = newJob(on.target.String() + " is being rebuilt")
	job, ctx := s.job, s.ctx
	s.group.Go(func() error {
		job.end(on.index.Rebuild(ctx, job.progress))
		return nil
	})
	return job
}

// begin opens the store that is to be filled, and keeps that it is.
func (s *Store) begin(ctx context.Context, target Target) (*side, error) {
	s.mu.RLock()
	kept := s.kept // which nobody changes while a job is under way
	s.mu.RUnlock()
	again := kept != nil && kept.target.Is(target)
	var to *side
	if again {
		to = newSide(target, kept.store)
		to.before = kept
	} else {
		opened, err := s.o.Open(ctx, target)
		if opened == nil {
			return nil, err
		}
		if to = newSide(target, opened); err != nil && !errors.Is(err, store.ErrBroken) {
			return nil, errors.Join(err, opened.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(func(next *state) {
		next.Filling = &fillState{Target: target.clone()}
		if again {
			next.Kept = nil
		}
	})
	switch {
	case err != nil && !again:
		return nil, errors.Join(err, to.store.Close())
	case err != nil:
		return nil, err
	case again:
		s.kept.over()
		s.kept = nil
	}
	return to, nil
}

// The pauses between attempts of a fill that does not go on.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// fillInBackground fills until it is done or the context ends; then the next start goes
// on with it. The caller holds mu.
func (s *Store) fillInBackground(job *Job) {
	to := s.filling
	ctx, cancel := context.WithCancel(s.ctx)
	job.stop = cancel
	stopping := s.ctx
	s.group.Go(func() error {
		defer cancel()
		pause := firstPause
		for {
			began := time.Now()
			err := s.fill(ctx, job, to)
			s.fails(err)
			if err == nil || ctx.Err() != nil {
				switch {
				case err != nil && stopping.Err() == nil:
					err = fmt.Errorf("%s: it was given up", job.What)
				case err != nil:
					err = fmt.Errorf("%s: the server stops; it goes on with that when it is back", job.What)
				}
				job.end(err)
				return nil
			}
			if time.Since(began) > lastPause {
				pause = firstPause
			}
			s.o.Log.Warn("filling a store does not go on and is tried again", "store", to.target.String(), "in", pause, "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, lastPause)
		}
	})
}

func (s *Store) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

// fill does what is left of a fill.
func (s *Store) fill(ctx context.Context, job *Job, to *side) error {
	if err := s.empty(ctx, to); err != nil {
		return err
	}
	s.mu.Lock()
	from := s.answering
	if to.stop == nil {
		s.index(to) //nolint:contextcheck // it goes on after the call, until Run ends
	}
	s.mu.Unlock()
	c := &copier{bus: s.o.Bus, from: from.store, into: to.index, log: s.o.Log, reached: s.reached}
	for {
		if err := c.copy(ctx, func() { s.tell(ctx, job, c, to.index) }); err != nil {
			return err
		}
		s.reached("copied all")
		if err := s.follow(ctx, job, c, to.index); err != nil {
			return err
		}
		// What the bus let go of meanwhile, and this store may have missed.
		more, err := c.missing(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return s.change(ctx, from, to)
}

// empty takes out of a store what was there before the fill.
func (s *Store) empty(ctx context.Context, to *side) error {
	if to.index != nil {
		return nil
	}
	s.mu.RLock()
	emptied := s.state.Filling.Emptied
	s.mu.RUnlock()
	if !emptied {
		s.reached("noted")
		if to.before != nil {
			to.before.users.Wait()
		}
		if err := to.store.Reset(ctx); err != nil {
			return err
		}
	}
	x, err := s.newIndexer(ctx, to.store)
	if err == nil {
		err = x.Refused()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.commit(func(next *state) { next.Filling.Emptied = true }); err != nil {
		return err
	}
	s.excludes(x)
	to.index = x
	s.reached("emptied")
	return nil
}

// tell tells how far a fill is.
func (s *Store) tell(ctx context.Context, job *Job, c *copier, x *indexer.Indexer) (left uint64) {
	events, err := s.o.Bus.EventsLast(ctx)
	if err != nil {
		return 1
	}
	documents, err := s.o.Bus.DocumentsLast(ctx)
	if err != nil {
		return 1
	}
	atEvents, atDocuments := x.Reached()
	left = events - min(atEvents, events) + documents - min(atDocuments, documents)
	job.progress(c.done+events+documents-left, c.total+events+documents)
	return left
}

// near is how many messages a store may be behind when it is to answer soon.
const near = 2000

// follow waits until the store has nearly all that the bus holds.
func (s *Store) follow(ctx context.Context, job *Job, c *copier, x *indexer.Indexer) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for s.tell(ctx, job, c, x) > near {
		if err := x.Refused(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// holdAtMost is how long queries may lack what is new while another store comes to
// answer.
const holdAtMost = 5 * time.Second

// change has the filled store answer: it has all that can be read in the other one,
// which meanwhile takes in nothing.
func (s *Store) change(ctx context.Context, from, to *side) error {
	// A power cut must not take out of it what was copied and the bus does not hold.
	if scrubber, ok := to.store.(scrubber); ok {
		if err := scrubber.Scrub(ctx); err != nil {
			return err
		}
	}
	s.reached("caught up")
	if err := s.reach(ctx, from, to); err != nil {
		return err
	}
	held, cancel := context.WithTimeout(ctx, holdAtMost)
	defer cancel()
	events, documents, release := from.index.Hold()
	// Once: it is released before its indexer is waited for.
	defer func() { release() }()
	ends, err := s.ends(held)
	if err != nil {
		return err
	}
	// What was erased at the end of a stream is not waited for.
	if err := to.index.Reach(held, min(events, ends[0]), min(documents, ends[1])); err != nil {
		return err
	}
	if err := to.store.Refresh(held); err != nil {
		return err
	}
	s.mu.Lock()
	err = s.commit(func(next *state) {
		kept := next.Answers
		next.Answers, next.Kept, next.Filling = next.Filling.Target, &kept, nil
		next.Serial++
	})
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.reached("kept")
	former := s.kept
	to.serial = s.state.Serial
	s.answering, s.kept, s.filling = to, from, nil
	s.mu.Unlock()
	from.over()
	release()
	release = func() {}
	s.reached("switched")
	from.stop()
	s.o.Log.Info("another store answers queries now; the one before is kept and takes in nothing new; `tributary store compare` holds them against each other, `tributary store drop` removes it",
		"answers", to.target.String(), "kept", from.target.String())
	s.forget(ctx, former)
	return nil
}

// reach waits until a store is where another one is, before that is held.
func (s *Store) reach(ctx context.Context, from, to *side) error {
	ends, err := s.ends(ctx)
	if err != nil {
		return err
	}
	events, documents := from.index.Reached()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return to.index.Reach(ctx, min(events, ends[0]), min(documents, ends[1]))
}

// ends is where EVENTS and PROFILES end.
func (s *Store) ends(ctx context.Context) (ends [2]uint64, err error) {
	if ends[0], err = s.o.Bus.EventsLast(ctx); err != nil {
		return ends, err
	}
	ends[1], err = s.o.Bus.DocumentsLast(ctx)
	return ends, err
}
