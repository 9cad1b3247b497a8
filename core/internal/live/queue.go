package live

import "sync"

// A Queue holds what waits for one reader, bounded by bytes. Many may push,
// one takes. What does not fit makes the queue overflow for good: a reader
// that missed something has to be told.
type Queue struct {
	mu       sync.Mutex
	frames   [][]byte
	size     int
	limit    int
	overflow bool
	ready    chan struct{}
}

// NewQueue returns a queue of at most limit bytes.
func NewQueue(limit int) *Queue {
	return &Queue{limit: limit, ready: make(chan struct{}, 1)}
}

// Push adds a frame, which must not change afterwards. It is false where the
// queue overflows; then the queue is empty, and stays so.
func (q *Queue) Push(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overflow {
		return false
	}
	if q.size+len(frame) > q.limit {
		q.overflow, q.frames, q.size = true, nil, 0
		return false
	}
	q.frames = append(q.frames, frame)
	q.size += len(frame)
	if len(q.frames) == 1 {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return true
}

// Ready receives a value when the queue may hold something after it was empty.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Take removes all frames and returns them in the order they came. The room
// of spare is used for those that come next.
func (q *Queue) Take(spare [][]byte) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := q.frames
	clear(spare)
	q.frames, q.size = spare[:0], 0
	return frames
}
