package flow

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
)

// A lane is one flow's share of a session: its runs under way, so many at most,
// one at a time for a profile. All of it is guarded by the session's mutex.
type lane struct {
	session *session
	id      string
	free    int
	live    map[*run]struct{}
	// queues hold, for each profile that a run is under way for, the runs that
	// wait for it.
	queues map[string][]*run
	// open lists, by partition and in order, the runs that a restart would have
	// to go back to; those at the head that are settled are taken off.
	open [][]*run
	// behind is true while the flow has a reader of its own, which has read up
	// to cursor and, of the stream, up to read; it may have been ahead of the
	// session when it ended.
	behind bool
	cursor []place
	read   uint64
	room   chan struct{} // holds one where a run has ended
	// told and failing keep the log from repeating what is said of this flow.
	told, failing limit
}

func newLane(s *session, id string) *lane {
	return &lane{
		session: s, id: id, free: s.engine.options.Window, live: map[*run]struct{}{}, queues: map[string][]*run{},
		open: make([][]*run, len(s.owned)), room: make(chan struct{}, 1),
	}
}

// offer begins a run, or lines it up behind those of the same profile. It is
// false where the lane is full. before is the place before the event.
func (l *lane) offer(f *config.Flow, e *event, before place) bool {
	id := runID(e.stored.Partition, placeOf(e.stored), f.ID)
	if _, ok := l.session.resumed[id]; ok {
		return true // it is under way, from the journal
	}
	if l.free <= 0 {
		return false
	}
	r := &run{id: id, lane: l, flow: f, event: e, before: before, begun: time.Now(), progress: newProgress(f)}
	l.open[e.stored.Partition] = append(l.open[e.stored.Partition], r)
	l.enter(r)
	return true
}

// enter makes a run one of the lane's.
func (l *lane) enter(r *run) {
	l.free--
	l.live[r] = struct{}{}
	profile := r.event.profile
	if profile == "" {
		l.session.group.Go(func() { l.work(r) })
		return
	}
	if queue, busy := l.queues[profile]; busy {
		l.queues[profile] = append(queue, r)
		return
	}
	l.queues[profile] = nil
	l.session.group.Go(func() { l.work(r) })
}

// work carries out a run and then those that wait behind it.
func (l *lane) work(r *run) {
	for r != nil {
		r.execute(l.session.runs)
		r = l.next(r)
	}
}

// next ends a run and returns the one that waited for it. When the session ends
// nothing is begun any more.
func (l *lane) next(r *run) *run {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ended {
		delete(l.live, r)
		l.settle(r)
	}
	l.free++
	select {
	case l.room <- struct{}{}:
	default:
	}
	profile := r.event.profile
	if profile == "" {
		return nil
	}
	queue := l.queues[profile]
	if len(queue) == 0 || s.reading.Err() != nil {
		delete(l.queues, profile)
		return nil
	}
	l.queues[profile] = queue[1:]
	return queue[0]
}

// tell logs what went wrong with a run.
func (l *lane) tell(message string, args ...any) {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	l.failing.say(s.engine.log, slog.LevelWarn, message, append([]any{"flow", l.id}, args...)...)
}

// A limit lets one line through a second and counts the others.
type limit struct {
	last time.Time
	more int
}

func (t *limit) say(log *slog.Logger, level slog.Level, message string, args ...any) {
	if time.Since(t.last) < time.Second {
		t.more++
		return
	}
	if t.more > 0 {
		args = append(args, "not_logged", t.more)
	}
	if level == slog.LevelWarn {
		log.Warn(message, args...)
	} else {
		log.Info(message, args...)
	}
	t.last, t.more = time.Now(), 0
}

// settle notes that a restart need not go back to a run: it has ended, or is in
// the journal.
func (l *lane) settle(r *run) {
	r.settled = true
	p := r.event.stored.Partition
	open := l.open[p]
	for len(open) > 0 && open[0].settled {
		open[0] = nil
		open = open[1:]
	}
	if len(open) == 0 {
		open = nil
	}
	l.open[p] = open
}

// low is the place in a partition up to which a restart need not look for runs
// of this flow.
func (l *lane) low(p int) place {
	if open := l.open[p]; len(open) > 0 {
		return open[0].before
	}
	if l.behind {
		return place{Seq: l.read, C: l.cursor[p].C, N: l.cursor[p].N}
	}
	return l.session.at(p)
}

// fallBehind leaves the flow to a reader of its own, which begins where the
// session's stands.
func (l *lane) fallBehind() {
	s := l.session
	cursor := slices.Clone(s.cursor)
	for p := range cursor {
		if l.had(p, cursor[p]) {
			cursor[p] = l.cursor[p]
		}
	}
	l.behind, l.read, l.cursor = true, s.read, cursor
	s.engine.metrics.fallenBehind.Inc()
	l.told.say(s.engine.log, slog.LevelInfo, "a flow does not keep up; it is left to a reader of its own", "flow", l.id)
	l.catchUp()
}

// catchUp starts the flow's own reader.
func (l *lane) catchUp() {
	l.session.group.Go(func() {
		s := l.session
		for s.reading.Err() == nil {
			err := l.readAside(s.reading)
			if err == nil {
				return
			}
			if s.reading.Err() == nil {
				s.engine.log.Warn("a flow that is behind cannot read events; trying again", "flow", l.id, "error", err)
				pause(s.reading, retryPause)
			}
		}
	})
}

// readAside reads events for this flow alone until it is where the session is.
func (l *lane) readAside(ctx context.Context) error {
	s := l.session
	s.mu.Lock()
	after, marks := l.read, marksOf(l.cursor)
	s.mu.Unlock()
	reader, err := s.engine.bus.ReadEventsAside(ctx, after, marks)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:contextcheck // it closes without one
	scout := newScout(s.engine, len(s.owned))
	for {
		if l.rejoin() {
			return nil
		}
		events, err := reader.Next(ctx, readBatch, readWait)
		var gap *bus.GapError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &gap):
			s.engine.log.Error("events were dropped from the bus before a flow was run for them", "flow", l.id, "after", gap.After, "first", gap.First)
		case err != nil:
			return err
		}
		for i := range events {
			if err := l.takeAside(ctx, scout, &events[i]); err != nil {
				return err
			}
		}
		s.mu.Lock()
		l.read = max(l.read, reader.Position())
		s.mu.Unlock()
	}
}

// takeAside runs the flow for an event, once there is room.
func (l *lane) takeAside(ctx context.Context, scout *scout, stored *bus.StoredEvent) error {
	s := l.session
	p := stored.Partition
	if p < 0 || p >= len(s.owned) || !s.owned[p] {
		return nil
	}
	e, flows, err := scout.candidates(ctx, stored, func(f *config.Flow) bool { return f.ID == l.id })
	if err != nil {
		return err
	}
	mine := slices.IndexFunc(flows, func(f *config.Flow) bool { return f.ID == l.id })
	for {
		s.mu.Lock()
		if err := s.reading.Err(); err != nil {
			s.mu.Unlock()
			return err
		}
		before := l.cursor[p]
		before.Seq = stored.Seq - 1
		if mine < 0 || l.offer(flows[mine], e, before) {
			l.cursor[p], l.read = placeOf(stored), stored.Seq
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.room:
		}
	}
}

// rejoin gives the flow back to the session's reader where it has caught up.
func (l *lane) rejoin() bool {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, owned := range s.owned {
		if owned && !l.cursor[p].covers(s.cursor[p]) {
			return false
		}
	}
	l.behind = false
	s.joins++
	s.engine.log.Debug("a flow has caught up", "flow", l.id)
	return true
}

// had tells whether the flow's own reader has offered an event before the session
// came to it.
func (l *lane) had(p int, at place) bool { return l.cursor != nil && l.cursor[p].covers(at) }
