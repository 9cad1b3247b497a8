package live

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A history brings one subscription from where it begins to where the others
// are, at the pace of its listener.
type history struct {
	live *Live
	sub  *member
	at   uint64 // up to here all has been pushed

	marks  bus.Marks        // at that place; nil: not known yet
	reader *bus.EventReader // nil: none is open
	opened time.Time        // when it was ready
	moved  bool             // something came of it since it was opened
	ahead  []bus.StoredEvent
}

const (
	// joinBytes bounds what a subscription is given at once when it joins, and
	// joinEvents how many.
	joinBytes  = 32 << 10
	joinEvents = 64
	// roomWait is how long a listener who takes nothing keeps a reader of
	// history from others.
	roomWait = 2 * time.Second
	// slotTurn is how long any listener does, where others wait.
	slotTurn = time.Second
	// openWait is how long the bus may take to make a reader ready before others
	// have that turn.
	openWait = 10 * time.Second
)

// join puts a subscription that has been given all up to a sequence among
// those that are pushed to, where what it misses is little. It is called under
// Live's lock.
func (l *Live) join(m *member, at uint64) bool {
	missed, held := l.recent.after(at)
	if !held || len(missed) > joinEvents {
		return false
	}
	bytes := 0
	for i := range missed {
		bytes += len(missed[i].Data)
	}
	if bytes > joinBytes && len(missed) > 1 {
		return false
	}
	for i := range missed {
		if m.over = !m.give(&missed[i]); m.over {
			return true
		}
	}
	// It may know more than this node yet.
	m.after = max(at, l.recent.end)
	l.groups.add(m)
	return true
}

// give pushes an event that the subscription wants.
func (m *member) give(e *bus.StoredEvent) bool {
	var text texts
	var vars *condition.Vars
	return !m.group.wants(e, &text, &vars) || m.to.Push(m.group.channel.push(e, &text))
}

// run ends when the subscription has joined the others or is over.
func (h *history) run(ctx context.Context) {
	defer h.close()
	for ctx.Err() == nil {
		if !h.turn(ctx) && !h.sub.to.Room(ctx, time.Hour) {
			continue
		}
		h.live.mu.Lock()
		joined := h.sub.over || h.live.join(h.sub, h.at)
		missed, held := h.live.recent.after(h.at)
		missed = slices.Clone(missed[:min(len(missed), joinEvents)]) // the window moves on
		end := h.live.recent.end
		h.live.mu.Unlock()
		switch {
		case joined:
			return
		case held:
			h.close()
			h.push(ctx, missed)
		default:
			if err := h.read(ctx, end); err != nil && ctx.Err() == nil {
				h.failed(ctx, err)
			}
		}
	}
}

// turn waits until the listener has taken most of what waits for it. It is
// false, and the reader is left to others, where that takes a while or where it
// is their turn.
func (h *history) turn(ctx context.Context) bool {
	if h.sub.to.Room(ctx, roomWait) && !h.givesWay() {
		return true
	}
	h.close()
	return false
}

func (h *history) givesWay() bool {
	return h.reader != nil && h.moved && h.live.waiting.Load() > 0 && time.Since(h.opened) >= h.live.slotTurn
}

// read pushes some of what is kept behind the place that was reached, up to
// end: what follows may not be durable yet.
func (h *history) read(ctx context.Context, end uint64) error {
	if err := h.open(ctx); err != nil {
		return err
	}
	if len(h.ahead) == 0 {
		events, err := h.reader.Next(ctx, joinEvents, readPause)
		if err != nil {
			return err
		}
		if len(events) == 0 { // all were repetitions, or nothing is kept up to there
			h.at, h.moved = max(h.at, min(end, h.reader.Position())), true
			return nil
		}
		h.ahead = events
	}
	n := 0
	for n < len(h.ahead) && h.ahead[n].Seq <= end {
		n++
	}
	events, ahead := h.ahead[:n], h.ahead[n:]
	if h.push(ctx, events) && h.reader != nil {
		if h.ahead = ahead; len(ahead) > 0 {
			h.at = max(h.at, end)
		}
	}
	return nil
}

// push gives events one by one, as there is room. It is false where it stopped
// before the last one: what it did not come to is read again, so that who waits
// holds on to nothing.
func (h *history) push(ctx context.Context, events []bus.StoredEvent) bool {
	for i := range events {
		e := &events[i]
		if !h.turn(ctx) || !h.give(e) {
			return false
		}
		h.at, h.moved = e.Seq, true
		if e.Partition >= 0 && e.Partition < len(h.marks) {
			h.marks[e.Partition] = bus.Mark{C: e.C, N: e.N}
		}
	}
	return true
}

func (h *history) give(e *bus.StoredEvent) bool {
	h.live.mu.Lock()
	over := h.sub.over
	h.live.mu.Unlock()
	if !over && h.sub.give(e) {
		return true
	}
	h.live.mu.Lock()
	h.sub.over = true
	h.live.mu.Unlock()
	return false
}

// open makes a reader behind the place that was reached, when it is this one's
// turn. The turn counts from when the reader is ready, and is over where that
// fails or takes too long.
func (h *history) open(ctx context.Context) error {
	if h.reader != nil {
		return nil
	}
	h.live.waiting.Add(1)
	select { // in the order they came
	case h.live.slots <- struct{}{}:
		h.live.waiting.Add(-1)
	case <-ctx.Done():
		h.live.waiting.Add(-1)
		return context.Cause(ctx)
	}
	reader, err := h.openNow(ctx)
	if err != nil {
		<-h.live.slots
		return err
	}
	h.reader, h.opened, h.moved = reader, time.Now(), false
	return nil
}

func (h *history) openNow(ctx context.Context) (reader *bus.EventReader, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.live.openWait)
	defer cancel()
	if h.marks == nil {
		if h.marks, err = h.live.source.MarksAt(ctx, h.at); err != nil {
			return nil, err
		}
	}
	return h.live.source.ReadEventsAside(ctx, h.at, h.marks)
}

// close leaves the reader to others.
func (h *history) close() {
	if h.reader != nil {
		h.reader.Close()
		h.reader, h.ahead = nil, nil
		<-h.live.slots
	}
}

// failed ends a subscription behind a gap, and waits before another try after
// anything else.
func (h *history) failed(ctx context.Context, err error) {
	h.close()
	if !errors.Is(err, bus.ErrGap) {
		h.live.log.Warn("a subscription cannot read what is kept; trying again", "error", err)
		pause(ctx, readPause)
		return
	}
	h.live.mu.Lock()
	defer h.live.mu.Unlock()
	h.sub.lost("history was dropped before it could be pushed")
}
