package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/profile"
)

// A state says how far the work is. It is kept on the bus.
type state struct {
	// Complete: windows that are kept since this revision or an earlier one are filled.
	Complete uint64 `json:"complete"`
	// Since is the revision whose windows are being filled, 0: none.
	Since uint64 `json:"since,omitzero"`
	// Type is the type of event that is searched; Finished is true when it has been.
	// Types are searched in their order.
	Type     string `json:"type,omitzero"`
	Finished bool   `json:"finished,omitzero"`
	// Horizon is up to when events are of no interest to any window of the type.
	Horizon time.Time `json:"horizon,omitzero"`
	// Chunk counts the chunks of the revision; the last one begins behind the event From.
	// It is no cursor: another store may answer when the search goes on.
	Chunk uint64 `json:"chunk,omitzero"`
	From  place  `json:"from,omitzero"`
	// Sending is true while the chunk is sent: it ends with End, and is the type's last
	// one where Last is true.
	Sending bool  `json:"sending,omitzero"`
	End     place `json:"end,omitzero"`
	Last    bool  `json:"last,omitzero"`
	// Read counts the events read, of Total.
	Read  uint64 `json:"read,omitzero"`
	Total uint64 `json:"total,omitzero"`
}

// A kept state is one as it stands on the bus.
type kept struct {
	state
	revision uint64
}

// key is where the state is kept among those of background jobs.
const key = "backfill"

func (b *Backfill) load(ctx context.Context) (*kept, error) {
	text, revision, err := b.o.Bus.GetJob(ctx, key)
	s := &kept{revision: revision}
	if errors.Is(err, bus.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.state); err != nil {
		return nil, fmt.Errorf("read how far back-filling is: %w", err)
	}
	return s, nil
}

// save keeps the state, durably, unless another node has done so.
func (b *Backfill) save(ctx context.Context, s *kept) error {
	text, err := json.Marshal(&s.state)
	if err != nil {
		return fmt.Errorf("keep how far back-filling is: %w", err)
	}
	if s.revision, err = b.o.Bus.PutJob(ctx, key, text, s.revision); err != nil {
		return err
	}
	return b.o.Bus.SyncJobs()
}

// A Progress says which windows are complete.
type Progress struct {
	// Complete: windows that are kept since this revision or an earlier one are complete.
	Complete uint64
	// Since is the revision whose windows are being filled, 0: none. Read of about
	// Total events have been looked at.
	Since, Read, Total uint64
}

// Progress tells how far the work is, whichever node does it.
func (b *Backfill) Progress(ctx context.Context) (Progress, error) {
	s, err := b.load(ctx)
	if err != nil {
		return Progress{}, err
	}
	return Progress{Complete: s.Complete, Since: s.Since, Read: s.Read, Total: max(s.Total, s.Read)}, nil
}

// Of tells whether all of the aggregates are complete and, where not, how many events
// have been read of how many; both are 0 where that has not begun.
func (p Progress) Of(list []profile.Aggregate) (complete bool, read, total uint64) {
	complete = true
	for _, a := range list {
		if a.Since <= p.Complete {
			continue
		}
		complete = false
		if a.Since == p.Since {
			read, total = p.Read, p.Total
		}
	}
	return complete, read, total
}
