package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A Mark is a place in a partition's events: a commit and an event of it. The
// zero Mark stands before the first one.
type Mark struct {
	C uint64
	N int
}

// covers is true where the other mark is not behind this one.
func (m Mark) covers(other Mark) bool { return other.C < m.C || other.C == m.C && other.N <= m.N }

// Marks has a mark for each partition.
type Marks []Mark

// ReadEvents reads EVENTS from the first event after a sequence, in order. What
// known covers is passed over, as is whatever is met twice, and what is no event.
// After 0 there can be no gap: all that is kept is read.
func (b *Bus) ReadEvents(_ context.Context, after uint64, known Marks) (*EventReader, error) {
	seq := func(e *StoredEvent) uint64 { return e.Seq }
	r := &EventReader{
		b: b, from: follow(b.feed(streamEvents, "", after), b.newEvents, storedEvent, seq),
		after: after, marks: make(Marks, b.partitions),
	}
	copy(r.marks, known)
	return r, nil
}

// ReadEventsAndChanges is ReadEvents that does not pass over what tells of changes
// without an event, which have the type [record.TypeChange].
func (b *Bus) ReadEventsAndChanges(ctx context.Context, after uint64, known Marks) (*EventReader, error) {
	r, err := b.ReadEvents(ctx, after, known)
	if err == nil {
		r.changes = true
	}
	return r, err
}

// ReadEventsAside is ReadEvents for a reader that Unhurried does not wait for: one
// that is known to be slow.
func (b *Bus) ReadEventsAside(ctx context.Context, after uint64, known Marks) (*EventReader, error) {
	r, err := b.ReadEvents(ctx, after, known)
	if err == nil {
		r.from.alone = true
	}
	return r, err
}

// An EventReader reads EVENTS, each event once and in order, also when the
// connection or the server was away. One goroutine uses it at a time.
type EventReader struct {
	b     *Bus
	from  *follower[StoredEvent]
	queue []StoredEvent
	after uint64 // the last sequence read
	marks Marks
	// changes is true where changes without an event are wanted, too.
	changes bool
}

// Next waits for an event, at most wait (0: for ever), then takes what is there
// at once, up to limit. It returns nothing where the wait was over or all was
// passed over. A *GapError, an [ErrGap], is returned once where events are no
// longer kept; the next call goes on behind the gap.
func (r *EventReader) Next(ctx context.Context, limit int, wait time.Duration) ([]StoredEvent, error) {
	if len(r.queue) == 0 {
		queue, err := r.from.fetch(ctx, limit, readBytes, wait)
		if err != nil {
			return nil, err
		}
		r.queue = queue
	}
	events := make([]StoredEvent, 0, min(limit, len(r.queue)))
	for len(r.queue) > 0 && len(events) < limit {
		e := r.queue[0]
		if r.after > 0 && e.Seq > r.after+1 {
			gap, err := r.gap(ctx, e.Seq)
			if (err != nil || gap != nil) && len(events) > 0 {
				return events, nil // told by the next call
			}
			if err != nil {
				return nil, err
			}
			r.after = e.Seq - 1
			if gap != nil {
				return nil, gap
			}
		}
		r.queue, r.after = r.queue[1:], e.Seq
		if mark := (Mark{e.C, e.N}); e.Partition >= 0 && e.Partition < len(r.marks) {
			if r.marks[e.Partition].covers(mark) {
				continue
			}
			r.marks[e.Partition] = mark
		}
		if e.Type == record.TypeChange && !r.changes {
			continue
		}
		events = append(events, e)
	}
	return events, nil
}

// gap tells events that were dropped by a limit from such as were erased.
func (r *EventReader) gap(ctx context.Context, seq uint64) (*GapError, error) {
	state, err := r.b.state(ctx, streamEvents)
	if err != nil {
		return nil, fmt.Errorf("look for a gap: %w", err)
	}
	if state.FirstSeq <= r.after+1 {
		return nil, nil
	}
	return &GapError{After: r.after, First: seq}, nil
}

// Marks returns up to where the reader has read, by partition.
func (r *EventReader) Marks() Marks { return slices.Clone(r.marks) }

// Position is the sequence up to which the reader has read, what it passed over
// included.
func (r *EventReader) Position() uint64 { return r.after }

// Close lets go of the reader.
func (r *EventReader) Close() { r.from.close() }

// Crowded tells whether so many events wait that it is time to read them.
func (r *EventReader) Crowded() bool { return r.from.crowded() }

// Waiting is how many events can be read at once, at least.
func (r *EventReader) Waiting() int { return len(r.queue) + r.from.waiting() }

// MarksAt returns the last mark of each partition among the events up to a
// sequence that are still kept: what a reader that stopped there knows.
func (b *Bus) MarksAt(ctx context.Context, seq uint64) (Marks, error) {
	marks := make(Marks, b.partitions)
	if seq == 0 {
		return marks, nil
	}
	// Usually one answer has room for all subjects.
	err := b.marksAt(ctx, []string{prefixEvents + ">"}, seq, marks)
	if err == nil {
		return marks, nil
	}
	if !errors.Is(err, errTooMany) {
		return nil, fmt.Errorf("marks at %d: %w", seq, err)
	}
	for p := range marks {
		err := b.marksAt(ctx, []string{subjectEvents(p)}, seq, marks)
		if errors.Is(err, errTooMany) {
			err = b.marksBySubject(ctx, p, seq, marks)
		}
		if err != nil {
			return nil, fmt.Errorf("marks of partition %d at %d: %w", p, seq, err)
		}
	}
	return marks, nil
}

// marksBySubject asks for the subjects of a partition in portions that one
// answer has room for.
func (b *Bus) marksBySubject(ctx context.Context, partition int, seq uint64, marks Marks) error {
	subjects, err := b.eventSubjects(ctx, subjectEvents(partition))
	if err != nil {
		return err
	}
	for portion := range slices.Chunk(subjects, multiLastMost) {
		if err := b.marksAt(ctx, portion, seq, marks); err != nil {
			return err
		}
	}
	return nil
}

// multiLastMost is below what the server answers at once.
const multiLastMost = 1000

var errTooMany = errors.New("too many subjects for one answer")

// marksAt raises the marks to those of the last messages of the subjects up to
// a sequence.
func (b *Bus) marksAt(ctx context.Context, subjects []string, seq uint64, marks Marks) error {
	return retry(ctx, func() error { return b.marksOnce(ctx, subjects, seq, marks) })
}

func (b *Bus) marksOnce(ctx context.Context, subjects []string, seq uint64, marks Marks) error {
	from := uint64(1)
	for {
		request, err := json.Marshal(map[string]any{"multi_last": subjects, "seq": from, "up_to_seq": seq})
		if err != nil {
			return err
		}
		more := false
		err = b.stream(ctx, "$JS.API.DIRECT.GET."+streamEvents, request, func(m *nats.Msg) (bool, error) {
			switch m.Header.Get("Status") {
			case "":
			case "204": // the end of this answer
				more = m.Header.Get("Nats-Num-Pending") != "0"
				return false, nil
			case "404":
				return false, nil
			case "413":
				return false, errTooMany
			default:
				return false, fmt.Errorf("direct get: %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
			}
			got, err := directMessage(m)
			if err != nil {
				return false, err
			}
			from = got.seq + 1
			e, err := storedEvent(got)
			if err != nil {
				return false, err
			}
			if mark := (Mark{e.C, e.N}); e.Partition >= 0 && e.Partition < len(marks) && mark.covers(marks[e.Partition]) {
				marks[e.Partition] = mark
			}
			return true, nil
		})
		if err != nil || !more {
			return err
		}
	}
}

// stream sends a request that has many answers, and takes them until each says
// that it was the last one.
func (b *Bus) stream(ctx context.Context, subject string, request []byte, each func(*nats.Msg) (more bool, err error)) error {
	inbox := b.reading.NewInbox()
	sub, err := b.reading.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
	}()
	if err := b.reading.PublishRequest(subject, inbox, request); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for {
		m, err := sub.NextMsg(askTimeout)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoAck, err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if more, err := each(m); err != nil || !more {
			return err
		}
	}
}
