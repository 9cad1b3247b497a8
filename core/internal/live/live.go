// Package live hands what happens to whoever listens: events as they are
// processed, those of the past that are kept where a listener asks for them,
// the state of a profile whenever it changes, and what the runs of a flow do.
//
// One reader of the bus serves all subscriptions to events. It keeps the last
// events in a window. A subscription that asks for the past reads for itself,
// at the pace of its listener, up to that window, and joins the others there:
// under one lock it takes what is left of the window and is put on the list,
// so that no event is missed or comes twice.
//
// An event is handed out once it is durable. So an offset that a listener
// knows means the same event for as long as the stream is, after a restart and
// after a power cut, and the stream's own identity serves as epoch.
package live

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/faults"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// FilterScope is what a subscription's filter may speak of: the event and the
// session that it belongs to.
var FilterScope = condition.NewScope("event", "session")

// A Source is where events and profiles come from.
type Source interface {
	EventsState(ctx context.Context) (bus.EventsState, error)
	EventsLast(ctx context.Context) (uint64, error)
	MarksAt(ctx context.Context, seq uint64) (bus.Marks, error)
	ReadEventsAside(ctx context.Context, after uint64, known bus.Marks) (*bus.EventReader, error)
	SyncEvents() error

	DocumentsLast(ctx context.Context) (uint64, error)
	ReadDocuments(ctx context.Context, after uint64) (*bus.DocumentReader, error)
	GetDocument(ctx context.Context, profile string) (data []byte, revision uint64, err error)

	ListenSteps(flow string, take func(step []byte), lost func()) (stop func(), err error)
}

var _ Source = (*bus.Bus)(nil)

// A Position is up to where a listener knows a channel.
type Position struct {
	Epoch  string
	Offset uint64 // 0: nothing
}

// A Request asks for a subscription.
type Request struct {
	Channel Channel
	// Filter is over [FilterScope]; nil: all. A state has none.
	Filter *condition.Program
	// Recover is where to go on; nil: from now on.
	Recover *Position
}

// A Start is where a subscription begins: what is pushed follows its position.
type Start struct {
	Position
	// Recovered is true where what is pushed follows what the listener knows
	// without a gap.
	Recovered bool
}

// A Sink is where a subscription's frames go. Its methods are called under
// locks: but for Room they must not block, nor close a subscription.
type Sink interface {
	// Push takes a frame, which is shared and must not be changed. Where it
	// answers false it is not called again.
	Push(frame []byte) bool
	// Room waits, so long at most, until there is room for history, and tells
	// whether there is.
	Room(ctx context.Context, wait time.Duration) bool
	// Lost says that the subscription cannot go on without a gap. Nothing
	// is pushed after it.
	Lost(why string)
}

// Live has one reader of the bus for all subscriptions to events, one for all
// to profiles, one for each flow that is listened to, and none where there are no
// subscriptions.
type Live struct {
	source   Source
	log      *slog.Logger
	window   windowSize
	slots    chan struct{} // a place for each reader of history
	waiting  atomic.Int32  // for a place
	slotTurn time.Duration
	openWait time.Duration
	events   shared
	profiles profiles
	system   system
	flows    flows
	set      *metrics.Set

	mu     sync.Mutex // of what follows, and of the order of pushes
	epoch  string
	recent window
	groups groups
}

// readersOfHistory bounds how many subscriptions read the past at once; each
// may hold some megabytes. The others wait for their turn, and those who read
// give way to them.
const readersOfHistory = 16

// New returns a Live without subscriptions.
func New(source Source, log *slog.Logger) *Live {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Live{
		source: source, log: log, window: usualWindow, set: metrics.NewSet(), slots: make(chan struct{}, readersOfHistory), slotTurn: slotTurn, openWait: openWait,
	}
	l.groups.faults = faults.New(l.set, "tributary_live_filter_errors_total", log)
	l.events.init(l.startEvents)
	l.profiles.init(l)
	l.system.init()
	l.flows.init(source)
	return l
}

// Metrics writes what is counted in Prometheus' text format.
func (l *Live) Metrics(w io.Writer) { l.set.WritePrometheus(w) }

// A Subscription is one listener to a channel.
type Subscription struct {
	once sync.Once
	end  func()
}

// Close ends the subscription. After the last one's end nothing is read any
// more.
func (s *Subscription) Close() { s.once.Do(s.end) }

// A member is a subscription to events.
type member struct {
	to    Sink
	group *group
	// The rest is Live's, under its lock.
	after uint64 // what it had been given when it joined
	over  bool   // nothing more is pushed
}

// Subscribe makes a subscription. begun is called before the first push, under
// a lock: it may queue an answer, and nothing else.
func (l *Live) Subscribe(ctx context.Context, r Request, to Sink, begun func(Start)) (*Subscription, error) {
	switch r.Channel.kind {
	case kindProfile:
		return l.profiles.subscribe(ctx, r, to, begun)
	case kindSystem:
		return l.system.subscribe(ctx, r, to, begun)
	case kindFlow:
		return l.flows.subscribe(ctx, r, to, begun)
	}
	if err := l.events.enter(ctx); err != nil {
		return nil, err
	}
	start, err := l.place(ctx, r.Recover)
	if err != nil {
		l.events.leave()
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &member{to: to, group: l.groups.find(r.Channel, r.Filter)}
	if r.Recover == nil || !start.Recovered && start.Offset == 0 {
		start.Offset = l.recent.end
	}
	begun(start)
	if l.join(m, start.Offset) {
		return &Subscription{end: func() { l.remove(m) }}, nil
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h := history{live: l, sub: m, at: start.Offset}
		h.run(reading)
	}()
	return &Subscription{end: func() { cancel(); <-done; l.remove(m) }}, nil
}

// Compile compiles a filter over [FilterScope]. Subscriptions to a channel that
// want the same share it.
func (l *Live) Compile(c Channel, filter string) (*condition.Program, error) {
	l.mu.Lock()
	same := l.groups.byKey[groupKey{c, filter}]
	l.mu.Unlock()
	if same != nil && same.filter != nil {
		return same.filter, nil
	}
	return condition.CompileCondition(filter, FilterScope)
}

// place decides where a subscription begins. Where that is now, its offset is
// 0 and it is not recovered.
func (l *Live) place(ctx context.Context, from *Position) (Start, error) {
	l.mu.Lock()
	epoch, first, end := l.epoch, l.recent.from, l.recent.end
	l.mu.Unlock()
	start := Start{Position: Position{Epoch: epoch}}
	switch {
	case from == nil, from.Offset > 0 && from.Epoch != epoch:
		return start, nil
	case from.Offset == 0, from.Offset >= first && from.Offset <= end:
		start.Offset, start.Recovered = from.Offset, true
		return start, nil
	}
	state, err := l.source.EventsState(ctx)
	switch {
	case err != nil || state.Epoch != epoch || from.Offset > state.Last:
		// Nobody can have been given that offset: it is of a stream that was
		// cut, such as one restored from an older copy.
	case from.Offset+1 < state.First:
		start.Offset = state.First - 1
	default:
		start.Offset, start.Recovered = from.Offset, true
	}
	return start, err
}

func (l *Live) remove(m *member) {
	l.mu.Lock()
	m.over = true
	l.groups.remove(m)
	l.mu.Unlock()
	l.events.leave()
}

// Count is how many subscriptions there are.
func (l *Live) Count() int {
	return l.events.count() + l.profiles.shared.count() + l.system.shared.count() + l.flows.count()
}

// startEvents opens the reader and fills the window with the last events that
// are kept, so that whoever comes back after a short while need not read for
// himself.
func (l *Live) startEvents(ctx context.Context) (run func(context.Context), err error) {
	state, err := l.source.EventsState(ctx)
	if err != nil {
		return nil, err
	}
	after := max(state.First, 1) - 1
	if back := uint64(l.window.events); state.Last > after+back {
		after = state.Last - back
	}
	marks, err := l.source.MarksAt(ctx, after)
	if err != nil {
		return nil, err
	}
	reader, err := l.source.ReadEventsAside(ctx, after, marks)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.epoch = state.Epoch
	l.recent.reset(l.window, after)
	l.mu.Unlock()
	if err := l.fill(ctx, reader, state.Last); err != nil {
		reader.Close()
		return nil, err
	}
	return func(ctx context.Context) { l.run(ctx, reader) }, nil
}

// fill reads up to the end of the stream.
func (l *Live) fill(ctx context.Context, reader *bus.EventReader, last uint64) error {
	kept, err := l.source.EventsLast(ctx)
	if err != nil {
		return err
	}
	for reader.Position() < kept {
		events, err := reader.Next(ctx, readBatch, readPause)
		switch {
		case errors.Is(err, bus.ErrGap):
			l.lose(reader.Position())
		case err != nil:
			return err
		case len(events) == 0: // the last one may have been erased meanwhile
			if kept, err = l.source.EventsLast(ctx); err != nil {
				return err
			}
		}
		if err := l.publish(events, reader.Position()); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent.end = max(l.recent.end, last)
	return nil
}

const (
	readBatch = 256
	readWait  = time.Minute // an idle reader wakes this often
	readPause = time.Second // before reading is tried again
)

func (l *Live) run(ctx context.Context, reader *bus.EventReader) {
	defer reader.Close() //nolint:contextcheck // it closes without one
	for ctx.Err() == nil {
		events, err := reader.Next(ctx, readBatch, readWait)
		if err == nil {
			err = l.publish(events, reader.Position())
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, bus.ErrGap):
			l.log.Warn("live subscriptions fell behind what the bus keeps and are ended", "error", err)
			l.lose(reader.Position())
		default:
			l.log.Warn("live subscriptions cannot read events; trying again", "error", err)
			pause(ctx, readPause)
		}
	}
}

// publish hands events, which end at a sequence, to everybody who wants them.
// They are made durable first; where that fails the process ends.
func (l *Live) publish(events []bus.StoredEvent, end uint64) error {
	if len(events) > 0 {
		if err := l.source.SyncEvents(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		l.recent.add(&events[i])
		l.groups.push(&events[i])
	}
	l.recent.end = max(l.recent.end, end)
	return nil
}

// lose ends all subscriptions that have joined: events were dropped before
// they were read.
func (l *Live) lose(end uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups.each(func(m *member) { m.lost("events were dropped before they could be pushed") })
	l.recent.reset(l.window, end)
}

// lost ends a subscription under Live's lock.
func (m *member) lost(why string) {
	if !m.over {
		m.over = true
		m.to.Lost(why)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
