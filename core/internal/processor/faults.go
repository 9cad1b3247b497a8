package processor

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// origin is what the processor's dead letters are found by.
const origin = "processor"

// deadLetter sets a command aside.
func (n *Processor) deadLetter(ctx context.Context, it *item, reason string) error {
	details := map[string]any{"kind": int64(it.Kind), "profile": it.Profile, "sequence": int64(it.seq)}
	if it.Event != nil {
		details["event"], details["source"] = it.Event.ID, it.Event.Source
	}
	return n.setAside(ctx, bus.DeadLetter{
		Origin: origin, Reason: reason, Attempts: 1, Time: n.now(),
		Payload: record.AppendCommand(nil, &it.Command), Details: details,
	})
}

// deadMessage sets a message of the log aside that cannot be decoded.
func (n *Processor) deadMessage(ctx context.Context, partition int, m bus.IngestMessage, cause error) error {
	return n.setAside(ctx, bus.DeadLetter{
		Origin: origin, Reason: cause.Error(), Attempts: 1, Time: n.now(), Payload: m.Data,
		Details: map[string]any{"partition": int64(partition), "sequence": int64(m.Seq)},
	})
}

func (n *Processor) setAside(ctx context.Context, d bus.DeadLetter) error {
	n.metrics.dead.Inc()
	n.log.Error("a command was set aside as a dead letter", "reason", d.Reason)
	if err := n.bus.DeadLetter(ctx, d); err != nil {
		return fmt.Errorf("set a command aside: %w", err)
	}
	return nil
}

// report counts and logs rules that failed on an event, and what of a patch was
// left out.
func (n *Processor) report(what string, problems []error) {
	for _, err := range problems {
		n.metrics.problems.Inc()
		n.log.Debug(what, "error", err)
	}
}
