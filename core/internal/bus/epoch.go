package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// EventsState is what EVENTS holds.
type EventsState struct {
	// Epoch names the incarnation of the stream. It stays the same for as long as
	// the stream is, also across restarts; a sequence means something only
	// together with it.
	Epoch string
	First uint64 // the first sequence that is kept; where nothing is, the next one
	Last  uint64 // the last sequence given, kept or not
	// FirstTime is when the first event that is kept was stored; zero where none is.
	FirstTime time.Time
}

// EventsState returns what EVENTS holds.
func (b *Bus) EventsState(ctx context.Context) (EventsState, error) {
	info, err := b.info(ctx, streamEvents)
	if err != nil {
		return EventsState{}, err
	}
	s := EventsState{Epoch: strconv.FormatInt(info.Created.UnixNano(), 36), First: info.State.FirstSeq, Last: info.State.LastSeq}
	if s.First == 0 {
		s.First = 1
	}
	if info.State.Msgs > 0 {
		s.FirstTime = info.State.FirstTime
	}
	return s, nil
}

// SyncEvents makes durable all events that a reader has been given: after it
// a power cut takes none of them, nor gives their sequences to others. Callers
// at the same time share a sync. It has nothing to do where the server is
// external or the durability is process.
func (b *Bus) SyncEvents() error {
	if b.sync == nil {
		return nil
	}
	if err := b.sync.check(b.sync.events.do()); err != nil {
		return fmt.Errorf("make events durable: %w", err)
	}
	return nil
}
