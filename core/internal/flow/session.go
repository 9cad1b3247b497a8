package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
)

// A session is the engine's work while the partitions of this node stay the
// same. One reader reads the events for all flows; a flow that does not keep up
// is left to a reader of its own until it has caught up, so that it holds up
// nobody else.
type session struct {
	engine *Engine
	owned  []bool
	// reading ends when the session is to end; runs, the context of the runs,
	// up to drainFor later.
	reading, runs context.Context
	group         sync.WaitGroup // of runs and of readers of slow flows

	// old is the last event of the stream when the session began: runs up to it may
	// have been committed before.
	old uint64

	mu      sync.Mutex
	cursor  []place // how far the reader is, by partition
	read    uint64  // the last sequence read
	lanes   map[string]*lane
	joins   uint64               // how often a flow has caught up
	resumed map[string]struct{}  // runs taken up from the journal, also those that have ended
	answers map[eventKey]*answer // the engine's
	started bool
	// unsynced is true where the journal was written, or a dead letter, since
	// they were last made durable.
	unsynced atomic.Bool
}

func newSession(e *Engine, owned []bool) *session {
	return &session{
		engine: e, owned: owned, cursor: make([]place, len(owned)),
		lanes: map[string]*lane{}, resumed: map[string]struct{}{}, answers: e.answers,
	}
}

const (
	readBatch = 256
	readWait  = time.Second
	// keepEvery is how often the places reached are written.
	keepEvery = time.Second
	// keepWithin bounds the last time.
	keepWithin = 500 * time.Millisecond
	// journalAfter is how long a run may be under way before it is journalled,
	// so that it does not hold up what a restart has to go back to.
	journalAfter = time.Second
	sweepEvery   = journalAfter / 4
)

// run works until ctx ends or the partitions are others.
func (s *session) run(ctx context.Context, changed <-chan struct{}) error {
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	running, stopRuns := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRuns()
	s.runs, s.reading = running, reading
	keeper := newKeeper(s)
	after, err := keeper.load(reading)
	if err != nil {
		return err
	}
	if err := s.resume(reading); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(reading)
	group.Go(func() error { return s.follow(groupContext, after) })
	group.Go(func() error { s.sweep(groupContext); return nil })
	group.Go(func() error { keeper.run(groupContext); return nil })
	group.Go(func() error {
		select {
		case <-groupContext.Done():
		case <-changed:
			stopReading()
		}
		return nil
	})
	err = group.Wait()
	stopReading()
	s.drain(stopRuns)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	keeper.keep(last)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// drain waits for the runs under way, at most drainFor, and then cuts them off.
func (s *session) drain(cut context.CancelFunc) {
	timer := time.AfterFunc(drainFor, cut)
	defer timer.Stop()
	s.group.Wait()
}

// follow reads the events, from after a sequence on.
func (s *session) follow(ctx context.Context, after uint64) error {
	reader, err := s.engine.bus.ReadEvents(ctx, after, s.marks())
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer reader.Close() //nolint:contextcheck // it closes without one
	s.mu.Lock()
	s.read, s.started = after, true
	for _, l := range s.lanes {
		if l.behind {
			l.catchUp()
		}
	}
	s.mu.Unlock()
	scout := newScout(s.engine, len(s.owned))
	for {
		events, err := reader.Next(ctx, readBatch, readWait)
		var gap *bus.GapError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &gap):
			s.engine.log.Error("events were dropped from the bus before their flows were run; give it more room or a longer bus.events_max_age",
				"after", gap.After, "first", gap.First)
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		for i := range events {
			if err := s.take(ctx, scout, &events[i]); err != nil {
				return err
			}
		}
		s.passed(reader.Position())
	}
}

// at is the place up to which the session has read a partition's events; s.mu is
// held.
func (s *session) at(p int) place {
	return place{Seq: s.read, C: s.cursor[p].C, N: s.cursor[p].N}
}

// marks is where the session is, for a reader.
func (s *session) marks() bus.Marks {
	s.mu.Lock()
	defer s.mu.Unlock()
	return marksOf(s.cursor)
}

// take offers an event to its flows.
func (s *session) take(ctx context.Context, scout *scout, stored *bus.StoredEvent) error {
	p := stored.Partition
	if p < 0 || p >= len(s.owned) || !s.owned[p] {
		s.passed(stored.Seq)
		return nil
	}
	wants := func(f *config.Flow) bool {
		// A caller is told how many flows there are, whoever runs them.
		return stored.Reply != "" || !s.isBehind(f.ID)
	}
	var e *event
	var flows []*config.Flow
	s.mu.Lock()
	defer s.mu.Unlock()
	for joins := s.joins - 1; joins != s.joins; {
		// Whoever rejoins meanwhile relies on this event being offered to it.
		joins = s.joins
		s.mu.Unlock()
		var err error
		e, flows, err = scout.candidates(ctx, stored, wants)
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	if err := s.reading.Err(); err != nil {
		return err // runs that waited are not begun any more, nor is what comes after them
	}
	before := s.cursor[p]
	before.Seq = stored.Seq - 1 // what is below is done, or open in another partition
	if stored.Reply != "" {
		s.await(stored, flows)
	}
	for _, f := range flows {
		l := s.lane(f.ID)
		if !l.behind && !l.had(p, placeOf(stored)) && !l.offer(f, e, before) {
			l.fallBehind()
		}
	}
	s.cursor[p], s.read = placeOf(stored), stored.Seq
	return nil
}

// isBehind tells whether a flow has a reader of its own. One that has none now gets
// none but by the session's reader.
func (s *session) isBehind(flow string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[flow]
	return l != nil && l.behind
}

// passed notes how far the reader is: it passes over what was done before.
func (s *session) passed(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = max(s.read, seq)
}

// lane returns a flow's lane; s.mu is held.
func (s *session) lane(id string) *lane {
	l := s.lanes[id]
	if l == nil {
		l = newLane(s, id)
		s.lanes[id] = l
	}
	return l
}

// sweep journals the runs that have been under way for long, and forgets callers
// who have waited too long, until ctx ends.
func (s *session) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, r := range s.overdue() {
			if err := r.journal(ctx); err != nil && ctx.Err() == nil {
				r.lane.tell("a run that takes long cannot be journalled; a restart would begin it anew", "run", r.id, "error", err)
				if errors.Is(err, bus.ErrRunsFull) {
					break
				}
			}
		}
		s.forgetAnswers()
	}
}

// overdue lists the runs that are to be journalled.
func (s *session) overdue() []*run {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*run
	for _, l := range s.lanes {
		for _, open := range l.open {
			for _, r := range open {
				if !r.settled && time.Since(r.begun) >= journalAfter {
					list = append(list, r)
				}
			}
		}
	}
	return list
}

// reached is up to where every run has ended.
func (s *session) reached() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return 0
	}
	least := s.read
	for _, l := range s.lanes {
		for r := range l.live {
			least = min(least, r.event.stored.Seq-1)
		}
		if l.behind {
			least = min(least, l.read)
		}
	}
	return least
}
