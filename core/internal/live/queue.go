package live

import (
	"context"
	"sync"
	"time"
)

// A Queue holds what waits for one reader, bounded by bytes. Many may push,
// one takes. What does not fit makes the queue overflow for good: a reader
// that missed something has to be told.
type Queue struct {
	mu       sync.Mutex
	frames   [][]byte
	size     int
	limit    int
	overflow bool
	taking   bool          // somebody takes until nothing is left
	waited   chan struct{} // closed at the next Take; nil: nobody waits for room
}

// NewQueue returns a queue of at most limit bytes. A single frame may be
// larger.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// Push adds a frame, which must not change afterwards. first is true where
// nobody takes: the caller has to see to it that somebody does, until there is
// nothing more. ok is false where the queue overflows; then it is empty, and
// stays so.
func (q *Queue) Push(frame []byte) (first, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overflow {
		return false, false
	}
	if q.size > 0 && q.size+len(frame) > q.limit {
		q.overflow, q.frames, q.size = true, nil, 0
		q.wake()
		return false, false
	}
	q.frames = append(q.frames, frame)
	q.size += len(frame)
	first, q.taking = !q.taking, true
	return first, true
}

// Take removes all frames and returns them in the order they came. The room
// of spare is used for those that come next. Where there is none, whoever
// takes is done, and the next Push is told so.
func (q *Queue) Take(spare [][]byte) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := q.frames
	clear(spare)
	q.frames, q.size = spare[:0], 0
	if len(frames) == 0 {
		q.frames, q.taking = nil, false // an idle queue holds on to nothing
	}
	q.wake()
	return frames
}

func (q *Queue) wake() {
	if q.waited != nil {
		close(q.waited)
		q.waited = nil
	}
}

// Room waits, so long at most, until no more than a quarter of the queue is
// filled, and tells whether that is so. A queue that has overflowed has room:
// whoever pushes is told.
func (q *Queue) Room(ctx context.Context, wait time.Duration) bool {
	q.mu.Lock()
	if q.size <= q.limit/4 {
		q.mu.Unlock()
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for q.size > q.limit/4 {
		if q.waited == nil {
			q.waited = make(chan struct{})
		}
		waited := q.waited
		q.mu.Unlock()
		select {
		case <-waited:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
		q.mu.Lock()
	}
	q.mu.Unlock()
	return true
}
