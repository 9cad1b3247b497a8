package importer

import (
	"context"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/client"
)

// Origin is what the dead letters of imports are listed under.
const Origin = "import"

// The values of a submission's status.
const (
	statusDuplicate = "duplicate"
	statusInvalid   = "invalid"
	statusRetry     = "retry"
)

const (
	submitAttempts = 6
	submitPause    = 50 * time.Millisecond // before the second attempt; it doubles
)

// submit has the gateway store the events of rows that can be mapped. Events
// that it asks to send again are sent again, a few times.
func (i *Importer) submit(ctx context.Context, outcomes []outcome) error {
	pending := make([]*outcome, 0, len(outcomes))
	for n := range outcomes {
		if outcomes[n].fault == nil {
			pending = append(pending, &outcomes[n])
		}
	}
	pause := submitPause
	for attempt := 1; len(pending) > 0; attempt++ {
		again, reason, err := i.submitOnce(ctx, pending)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if pending = again; len(pending) == 0 {
			break
		}
		if attempt == submitAttempts {
			return fmt.Errorf("%w: %d of %d events were not stored: %s", ErrUnavailable, len(pending), len(outcomes), reason)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		pause *= 2
	}
	return nil
}

// submitOnce sends runs of one source and returns the outcomes to be sent
// again. Once some are to be sent again, so are all that follow: a profile's
// rows keep their order.
func (i *Importer) submitOnce(ctx context.Context, pending []*outcome) (again []*outcome, reason string, err error) {
	for len(pending) > 0 && len(again) == 0 {
		source := pending[0].source
		var events []record.Event
		for _, o := range pending {
			if o.source != source {
				break
			}
			events = append(events, o.event)
		}
		results, err := i.o.Submit(ctx, source, events)
		if err != nil {
			return nil, "", err
		}
		if len(results) != len(events) {
			return nil, "", fmt.Errorf("%d results for %d events", len(results), len(events))
		}
		for n, result := range results {
			switch o := pending[n]; result.Status {
			case statusInvalid:
				o.fault = &fault{reason: result.Reason}
			case statusRetry:
				again, reason = append(again, o), result.Reason
			case statusDuplicate:
				o.duplicate = true
			}
		}
		pending = pending[len(events):]
	}
	if len(again) > 0 {
		again = append(again, pending...)
	}
	return again, reason, nil
}

// bury keeps the rows that failed as dead letters, each once.
func (i *Importer) bury(ctx context.Context, clean bool, progress *client.ImportProgress, outcomes []outcome) error {
	var buried map[uint64]bool
	for n := range outcomes {
		o := &outcomes[n]
		if o.fault == nil {
			continue
		}
		if buried == nil && !clean {
			// A process before this one may have died between a dead letter
			// and the progress that goes with it.
			var err error
			if buried, err = i.buried(ctx, progress); err != nil {
				return err
			}
		}
		if buried[o.number] {
			continue
		}
		if err := i.o.Bus.DeadLetter(ctx, letter(progress, o)); err != nil {
			return fmt.Errorf("%w: keep line %d as a dead letter: %w", ErrUnavailable, o.line, err)
		}
	}
	return nil
}

func letter(progress *client.ImportProgress, o *outcome) bus.DeadLetter {
	reason := fmt.Sprintf("%s:%d: ", progress.Name, o.line)
	if o.fault.column != "" {
		reason += fmt.Sprintf("column %s, value %q: ", o.fault.column, o.fault.value)
	}
	details := map[string]any{
		"mapping": progress.Mapping, "file": progress.File, "name": progress.Name,
		"pass": int64(progress.Pass), "row": int64(o.number), "line": int64(o.line),
	}
	if o.fault.column != "" {
		details["column"], details["value"] = o.fault.column, o.fault.value
	}
	return bus.DeadLetter{
		Origin: Origin, Reason: reason + o.fault.reason, Attempts: 1, Payload: o.row, Details: details,
	}
}

// buriedPage is how many dead letters are read at once.
const buriedPage = 1000

// buried lists the rows, from the next one on, that have a dead letter of
// this pass over the file.
func (i *Importer) buried(ctx context.Context, progress *client.ImportProgress) (map[uint64]bool, error) {
	rows := map[uint64]bool{}
	for after := uint64(0); ; {
		letters, err := i.o.Bus.DeadLetters(ctx, Origin, after, buriedPage)
		if err != nil {
			return nil, fmt.Errorf("%w: read the dead letters: %w", ErrUnavailable, err)
		}
		for n := range letters {
			after = letters[n].Seq
			d := letters[n].Details
			if d["mapping"] == progress.Mapping && d["file"] == progress.File && whole(d["pass"]) == progress.Pass {
				rows[whole(d["row"])] = true
			}
		}
		if len(letters) < buriedPage {
			return rows, nil
		}
	}
}

// whole reads a number of a dead letter's details, which have been JSON since.
func whole(v any) uint64 {
	switch v := v.(type) {
	case int64:
		return uint64(v)
	case float64:
		return uint64(v)
	}
	return 0
}
