package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A tail keeps what this node has stored in a stream lately. Who reads along
// takes it from here and need not have it sent by the server, which costs more
// than all that a reader usually does with it.
type tail[T any] struct {
	most    int          // bytes that are kept
	readers atomic.Int32 // how many there are; nothing is kept for nobody
	// subject, where it is set, names what a value is about; readers get the
	// latest value about each.
	subject func(*T) string

	mu     sync.Mutex
	latest map[string]uint64 // the sequence of the last value about a subject
	first  uint64            // the sequence of list[0]
	list   []tailed[T]       // by sequence; of size 0 where this node has not stored it, or not yet
	room   []tailed[T]       // what list is the end of
	bytes  int
	// woken is closed at the next addition, where wanted is true.
	woken  chan struct{}
	wanted bool
	places map[*reading]struct{} // of the readers
	moved  chan struct{}         // closed when one of them has moved on
}

// A reading is how far a reader is.
type reading struct {
	next  uint64
	stuck bool // it did not move while it was waited for
}

type tailed[T any] struct {
	value   T
	size    int
	outdone bool // by a later value about the same
}

const (
	// A tail is bounded by its bytes, and by tailMost entries: a reader that is
	// further behind asks the server.
	eventTail    = 24 << 20
	documentTail = 12 << 20
	tailMost     = 32 << 10
	// tailReach is how far, in messages, a reader may have fallen behind a tail and
	// is still waited for.
	tailReach = 100_000
	// tailCost is what an entry weighs beside its data.
	tailCost = 128
)

func newTail[T any](most int, subject func(*T) string) *tail[T] {
	return &tail[T]{most: most, subject: subject, latest: map[string]uint64{}, woken: make(chan struct{}),
		places: map[*reading]struct{}{}, moved: make(chan struct{})}
}

// add notes what was stored. The value must not change any more.
func (t *tail[T]) add(seq uint64, size int, value T) {
	if t.readers.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch end := t.first + uint64(len(t.list)); {
	case len(t.list) == 0 || seq >= end+tailMost:
		clear(t.list)
		clear(t.latest)
		t.first, t.list, t.bytes = seq, t.room[:0], 0
	case seq < t.first:
		return
	}
	for t.first+uint64(len(t.list)) <= seq {
		t.grow()
	}
	if t.list[seq-t.first].size > 0 {
		// The server has lost its end and gives sequences again: nothing that
		// is kept can be relied on.
		clear(t.list)
		clear(t.latest)
		t.first, t.list, t.bytes = seq, append(t.room[:0], tailed[T]{}), 0
	}
	t.list[seq-t.first] = tailed[T]{value: value, size: size + tailCost}
	t.bytes += size + tailCost
	t.outdo(seq)
	drop := 0
	for t.bytes > t.most || len(t.list)-drop > tailMost {
		t.drop(t.first + uint64(drop))
		drop++
	}
	t.first += uint64(drop)
	t.list = t.list[drop:]
	if t.wanted {
		close(t.woken)
		t.woken, t.wanted = make(chan struct{}), false
	}
}

// outdo lets go of the earlier one of two values about the same.
func (t *tail[T]) outdo(seq uint64) {
	if t.subject == nil {
		return
	}
	name := t.subject(&t.list[seq-t.first].value)
	other, known := t.latest[name]
	if other > seq {
		seq, other = other, seq
	}
	t.latest[name] = seq
	if known && other != seq {
		e := &t.list[other-t.first]
		t.bytes -= e.size - tailCost
		*e = tailed[T]{size: tailCost, outdone: true}
	}
}

// drop lets go of the first one that is kept, which has the sequence.
func (t *tail[T]) drop(seq uint64) {
	e := &t.list[seq-t.first]
	t.bytes -= e.size
	if t.subject != nil && e.size > 0 && !e.outdone {
		if name := t.subject(&e.value); t.latest[name] == seq {
			delete(t.latest, name)
		}
	}
	*e = tailed[T]{}
}

// grow makes room for one more behind the others.
func (t *tail[T]) grow() {
	if len(t.list) == cap(t.list) {
		if n := len(t.list); n > 0 && n < cap(t.room)/2 {
			copy(t.room[:n], t.list)
			clear(t.list)
			t.list = t.room[:n]
		} else {
			t.room = append(make([]tailed[T], 0, 2*n+1024), t.list...)
			t.list = t.room
		}
	}
	t.list = append(t.list, tailed[T]{})
}

// after returns what follows a sequence without a gap, most values at most; of
// values about the same the last one. Where that is nothing, woken is closed when
// there is more, or nil where what follows is not kept any more.
func (t *tail[T]) after(seq uint64, most int) (values []T, woken <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq+1 < t.first {
		return nil, nil
	}
	for i := seq + 1 - t.first; i < uint64(len(t.list)) && t.list[i].size > 0 && len(values) < most; i++ {
		if !t.list[i].outdone {
			values = append(values, t.list[i].value)
		}
	}
	t.wanted = t.wanted || len(values) == 0
	return values, t.woken
}

// last returns the last value about a subject, where it is kept.
func (t *tail[T]) last(subject string) (value T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq, known := t.latest[subject]; known {
		return t.list[seq-t.first].value, true
	}
	return value, false
}

// forget says that what is kept about a subject may not be the last.
func (t *tail[T]) forget(subject string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.latest, subject)
}

// waiting is how many follow a sequence, at least.
func (t *tail[T]) waiting(seq uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if end := t.first + uint64(len(t.list)); len(t.list) > 0 && end > seq+1 {
		return int(end - seq - 1)
	}
	return 0
}

// crowded tells whether what a reader has still to read, from next on, takes a
// third of the room: it is time to read it, or the server will have to be asked.
// It is called with mu held, as are move and pressed.
func (t *tail[T]) crowded(next uint64) bool {
	end := t.first + uint64(len(t.list))
	if next >= end {
		return false
	}
	left := float64(end-max(next, t.first)) / float64(len(t.list))
	return left*float64(t.bytes) > float64(t.most/3) || left*float64(len(t.list)) > tailMost/3
}

// sees notes how far a reader is.
func (t *tail[T]) sees(p *reading, next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.places[p]; !known || p.next != next {
		*p = reading{next: next}
		t.places[p] = struct{}{}
		t.move()
	}
}

func (t *tail[T]) move() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// pressed tells whether a reader is about to fall behind what is kept, or has
// done so but is not far from it.
func (t *tail[T]) pressed(p *reading) bool {
	if p.stuck || len(t.list) == 0 {
		return false
	}
	return t.crowded(p.next) && p.next+tailReach > t.first
}

// unhurried waits until no reader is pressed. One that does not move for
// as long as the patience is not waited for until it does.
func (t *tail[T]) unhurried(ctx context.Context, patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		t.mu.Lock()
		pressed := false
		for p := range t.places {
			pressed = pressed || t.pressed(p)
		}
		moved := t.moved
		t.mu.Unlock()
		if !pressed {
			return
		}
		select {
		case <-moved:
			timer.Reset(patience)
		case <-timer.C:
			t.giveUp()
			return
		case <-ctx.Done():
			return
		}
	}
}

// giveUp waits no more for those who are pressed.
func (t *tail[T]) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.places {
		p.stuck = p.stuck || t.pressed(p)
	}
}

// leave lets go of all where the last reader leaves.
func (t *tail[T]) leave(p *reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.places, p)
	t.move()
	if t.readers.Add(-1) > 0 {
		return
	}
	t.list, t.room, t.bytes = nil, nil, 0
	clear(t.latest)
}

// A follower reads a stream in order, without gap or repeat: along with this
// node's own writing while there is much of it, else from the server.
type follower[T any] struct {
	feed  *feed
	tail  *tail[T]
	parse func(stored) (T, error)
	seq   func(*T) uint64
	along bool
	place reading
	alone bool // nobody waits for it
}

const (
	// alongFrom is how much has to wait in the tail for a reader to turn to it.
	alongFrom = 64
	// alongPatience is how long nothing must have come there until the reader
	// turns back: the stream may have what this node does not know of.
	alongPatience = 100 * time.Millisecond
)

func follow[T any](f *feed, t *tail[T], parse func(stored) (T, error), seq func(*T) uint64) *follower[T] {
	t.readers.Add(1)
	return &follower[T]{feed: f, tail: t, parse: parse, seq: seq}
}

// fetch blocks for one message, at most wait (0: for ever), then takes what is
// there at once, within bounds; that of bytes is for what is not in memory yet. It
// returns nothing where the wait was over.
func (f *follower[T]) fetch(ctx context.Context, most, bytes int, wait time.Duration) ([]T, error) {
	if !f.alone { // what was given before is done with
		f.tail.sees(&f.place, f.feed.next)
	}
	began := time.Now()
	for {
		values, woken := f.tail.after(f.feed.next-1, most)
		if len(values) > 0 && (f.along || len(values) >= min(alongFrom, most)) {
			if !f.along {
				f.along = true
				f.feed.close()
			}
			f.feed.next = f.seq(&values[len(values)-1]) + 1
			return values, nil
		}
		left := time.Duration(0)
		if wait > 0 {
			if left = wait - time.Since(began); left <= 0 {
				return nil, nil
			}
		}
		if !f.along || woken == nil {
			f.along = false
			return f.ask(ctx, most, bytes, left)
		}
		patience := time.NewTimer(alongPatience)
		select {
		case <-woken:
		case <-patience.C:
			f.along = false
		case <-ctx.Done():
		}
		patience.Stop()
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// ask reads from the server. What cannot be read is passed over.
func (f *follower[T]) ask(ctx context.Context, most, bytes int, wait time.Duration) ([]T, error) {
	list, err := f.feed.fetch(ctx, most, bytes, wait)
	values := make([]T, 0, len(list))
	for _, m := range list {
		v, err := f.parse(m)
		if err != nil {
			f.feed.b.log.Error("a message is passed over", "stream", f.feed.stream, "error", err)
			continue
		}
		values = append(values, v)
	}
	return values, err
}

// crowded tells whether the reader had better read on.
func (f *follower[T]) crowded() bool {
	f.tail.mu.Lock()
	defer f.tail.mu.Unlock()
	return f.along && f.tail.crowded(f.feed.next)
}

// waiting is how many messages can be read at once, at least.
func (f *follower[T]) waiting() int {
	n := f.tail.waiting(f.feed.next - 1)
	if !f.along {
		n = max(n, int(f.feed.pending))
	}
	return n
}

func (f *follower[T]) close() {
	f.feed.close()
	f.tail.leave(&f.place)
}
