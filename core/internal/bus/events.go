package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The headers of a message of EVENTS.
const (
	headerPartition = "p"
	headerCommit    = "c"
	headerNumber    = "n"
	headerType      = "type"
	headerHops      = "hops"  // only where it is not 0
	headerReply     = "reply" // only where somebody waits
)

// An EventMessage is a processed event on its way to EVENTS.
type EventMessage struct {
	Partition int
	C         uint64 // the commit it is of
	N         int    // which event of the commit it is
	Type      string
	Data      []byte
	// Hops counts how many commands caused the event, one by another.
	Hops uint8
	// Reply is the subject on which a caller waits for what the event's flows
	// answer, or empty.
	Reply string
}

// A StoredEvent is a processed event as EVENTS has it.
type StoredEvent struct {
	Seq       uint64
	Partition int
	C         uint64
	N         int
	Type      string
	Data      []byte
	Hops      uint8
	Reply     string
	Time      time.Time // when it was stored
}

// PublishEvents stores events, in order in each partition: a partition's have
// to be ascending by (C, N). It tries until all are acknowledged or the context
// ends; before it tries again it finds out what the stream has. The data of the
// events must not change any more.
func (b *Bus) PublishEvents(ctx context.Context, events []EventMessage) error {
	now := time.Now().UTC()
	err := b.inOrder(ctx, ordered{
		stream: streamEvents, n: len(events),
		partition: func(i int) int { return events[i].Partition },
		message: func(i int) *exchange {
			e := &events[i]
			return &exchange{subject: subjectEvent(e.Partition, b.types.token(e.Type)), data: e.Data, header: e.header()}
		},
		stored: func(ctx context.Context, partition int) (func(int) bool, error) {
			c, n, err := b.LastEvent(ctx, partition)
			last := Mark{c, n}
			return func(i int) bool { return last.covers(Mark{events[i].C, events[i].N}) }, err
		},
		acknowledged: func(i int, seq uint64) {
			e := &events[i]
			b.newEvents.add(seq, len(e.Data), StoredEvent{
				Seq: seq, Partition: e.Partition, C: e.C, N: e.N, Type: e.Type, Data: e.Data,
				Hops: e.Hops, Reply: e.Reply, Time: now,
			})
		},
	})
	if err != nil {
		return fmt.Errorf("publish events: %w", err)
	}
	return nil
}

// LastEvent returns the commit and number of the last event that EVENTS holds
// of a partition; c is 0 where there is none.
func (b *Bus) LastEvent(ctx context.Context, partition int) (c uint64, n int, err error) {
	m, err := b.last(ctx, streamEvents, subjectEvents(partition))
	if errors.Is(err, ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("last event of partition %d: %w", partition, err)
	}
	e, err := storedEvent(m)
	if err != nil {
		return 0, 0, fmt.Errorf("last event of partition %d: %w", partition, err)
	}
	return e.C, e.N, nil
}

func (e *EventMessage) header() []field {
	header := []field{
		{headerPartition, strconv.Itoa(e.Partition)}, {headerCommit, strconv.FormatUint(e.C, 10)},
		{headerNumber, strconv.Itoa(e.N)}, {headerType, encodeToken(e.Type)},
	}
	if e.Hops > 0 {
		header = append(header, field{headerHops, strconv.Itoa(int(e.Hops))})
	}
	if e.Reply != "" {
		header = append(header, field{headerReply, e.Reply})
	}
	return header
}

func storedEvent(m stored) (StoredEvent, error) {
	e := StoredEvent{Seq: m.seq, Data: m.data, Reply: m.header.Get(headerReply), Time: m.time}
	var errs [5]error
	e.Partition, errs[0] = strconv.Atoi(m.header.Get(headerPartition))
	e.C, errs[1] = strconv.ParseUint(m.header.Get(headerCommit), 10, 64)
	e.N, errs[2] = strconv.Atoi(m.header.Get(headerNumber))
	e.Type, errs[3] = decodeToken(m.header.Get(headerType))
	if hops := m.header.Get(headerHops); hops != "" {
		var n uint64
		n, errs[4] = strconv.ParseUint(hops, 10, 8)
		e.Hops = uint8(n)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return e, fmt.Errorf("event at %d of %s: its headers: %w", m.seq, streamEvents, err)
	}
	return e, nil
}

// Unhurried waits until those who read EVENTS along, but for those of new events
// only, have read most of what this node has stored: they have it to do in any case, and
// whoever falls behind has to have it sent by the server. A reader that does not get on,
// such as while the query store is away, is waited for no longer than a second, and
// none while the gateways come first or INGEST is more than a quarter full.
func (b *Bus) Unhurried(ctx context.Context) {
	if b.Busy() || b.watch.ingestBytes() > uint64(b.ingestMax)/4 {
		return
	}
	b.newEvents.unhurried(ctx, time.Second)
}
