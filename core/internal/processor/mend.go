package processor

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// mend takes out of EVENTS what stands behind a gap. A power cut can leave one:
// of two files that were not fsynced yet, the older may be lost and the newer
// kept. What was behind the gap is in the commits that are still kept, and is
// published again, in order, when their partition is taken over.
func (n *Processor) mend(ctx context.Context) error {
	floor := n.bus.Floor().Events
	last, err := n.bus.EventsLast(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the events: %w", err)
	}
	if last <= floor {
		return nil
	}
	marks, err := n.bus.MarksAt(ctx, floor)
	if err != nil {
		return fmt.Errorf("read the events' places at the last checkpoint: %w", err)
	}
	found, err := n.eventsBetween(ctx, floor, last)
	if err != nil {
		return fmt.Errorf("read the events since the last checkpoint: %w", err)
	}
	for number, present := range found {
		var sent []bus.Mark
		err := n.bus.Commits(ctx, number, func(data []byte, seq uint64) error {
			c, err := record.ParseCommit(data)
			if err != nil {
				return fmt.Errorf("commit at sequence %d: %w", seq, err)
			}
			for _, m := range eventMessages(c, marks.Of(number)) {
				sent = append(sent, bus.Mark{C: m.C, N: m.N})
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read commits of partition %d: %w", number, err)
		}
		behind := behindGap(present, sent)
		if len(behind) == 0 {
			continue
		}
		n.log.Warn("the events have a gap; what stands behind it is published again",
			"partition", number, "events", len(behind))
		if err := n.bus.DeleteEvents(ctx, behind); err != nil {
			return fmt.Errorf("take out events behind a gap: %w", err)
		}
	}
	return nil
}

// A placed is an event's place in its partition and in the stream.
type placed struct {
	bus.Mark
	seq uint64
}

// eventsBetween lists the events of a range of the stream by partition.
func (n *Processor) eventsBetween(ctx context.Context, after, last uint64) (map[int][]placed, error) {
	found := map[int][]placed{}
	err := n.bus.ScanEvents(ctx, after, last, func(e bus.StoredEvent) {
		found[e.Partition] = append(found[e.Partition], placed{bus.Mark{C: e.C, N: e.N}, e.Seq})
	})
	return found, err
}

// behindGap returns the sequences of those present events that stand behind
// the first that was sent and is missing, or that are there twice. What was
// sent is in order; events of commits before the first kept one stay.
func behindGap(present []placed, sent []bus.Mark) []uint64 {
	if len(sent) == 0 {
		return nil
	}
	for len(present) > 0 && present[0].C < sent[0].C {
		present = present[1:]
	}
	good := 0
	for good < min(len(present), len(sent)) && present[good].Mark == sent[good] {
		good++
	}
	var behind []uint64
	for _, p := range present[good:] {
		behind = append(behind, p.seq)
	}
	return behind
}
