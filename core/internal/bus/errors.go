package bus

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// What callers decide by. Every error of this package that has one of these
// causes wraps it.
var (
	// ErrFull says that INGEST has no room for more: the processors are behind.
	ErrFull = errors.New("the ingest log is full")
	// ErrReserve says that the disk is down to its reserve.
	ErrReserve = errors.New("the disk is down to its reserve")
	// ErrUnavailable says that the bus does not answer.
	ErrUnavailable = errors.New("the bus does not answer")
	// ErrNoAck says that no acknowledgement came in time. What was sent may be
	// stored all the same.
	ErrNoAck = errors.New("no acknowledgement in time")
	// ErrTooLarge says that the server takes no message of that size.
	ErrTooLarge = errors.New("larger than the server's max_payload")
	// ErrNotOwner says that another node has committed for the partition.
	ErrNotOwner = errors.New("another node owns the partition")
	// ErrNotFound says that the bus keeps nothing of that name.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a key to be created is there already.
	ErrExists = errors.New("the key exists")
	// ErrConflict says that a key or stream is not at the expected revision.
	ErrConflict = errors.New("changed meanwhile")
	// ErrGap says that a reader fell behind the first message kept.
	ErrGap = errors.New("messages are no longer kept")
)

// An AppendError says which entries of an Append are not known to be stored.
type AppendError struct {
	// Failed has the reason of each failed entry, by its index. All others
	// are stored.
	Failed map[int]error
}

func (e *AppendError) Error() string {
	indexes := make([]int, 0, len(e.Failed))
	for i := range e.Failed {
		indexes = append(indexes, i)
	}
	sort.Ints(indexes)
	var b strings.Builder
	fmt.Fprintf(&b, "append %d entries:", len(indexes))
	for n, i := range indexes {
		if n == 3 {
			b.WriteString(" …")
			break
		}
		fmt.Fprintf(&b, " entry %d: %v;", i, e.Failed[i])
	}
	return strings.TrimSuffix(b.String(), ";")
}

// Unwrap returns the distinct reasons.
func (e *AppendError) Unwrap() []error {
	var list []error
	seen := map[string]bool{}
	for _, err := range e.Failed {
		if text := err.Error(); !seen[text] {
			seen[text] = true
			list = append(list, err)
		}
	}
	return list
}

// A GapError says that a reader asked for messages that are no longer kept.
type GapError struct {
	After uint64 // the last one that the reader has
	First uint64 // the first one that is kept after it
}

func (e *GapError) Error() string {
	return fmt.Sprintf("%v: wanted what follows %d, the first kept is %d", ErrGap, e.After, e.First)
}

// Is makes errors.Is(err, ErrGap) true.
func (e *GapError) Is(target error) bool { return target == ErrGap }
