package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// A position is up to where the flows of a partition are: At for all of them,
// but for those that Flows names, which are further back.
type position struct {
	At    place            `json:"at"`
	Flows map[string]place `json:"flows,omitempty"`
}

// A keeper writes the positions of a session, so that a restart goes back to the
// runs that had not ended and to no others.
type keeper struct {
	session   *session
	revisions []uint64 // of the positions, by partition
	written   [][]byte
}

func newKeeper(s *session) *keeper {
	return &keeper{session: s, revisions: make([]uint64, len(s.owned)), written: make([][]byte, len(s.owned))}
}

// load reads the positions of this node's partitions into the session and
// returns the sequence after which its reader has to begin.
func (k *keeper) load(ctx context.Context) (after uint64, err error) {
	s := k.session
	last, err := s.engine.bus.EventsLast(ctx)
	if err != nil {
		return 0, err
	}
	s.old = last
	// What lay above may have been lost with the power, and be stored again at
	// other sequences: the marks tell what is known of it.
	floor := s.engine.bus.Floor().Events
	seq := func(at place) uint64 {
		at.Seq = min(at.Seq, floor)
		if at.Seq > last {
			at.Seq = 0 // the stream was cut or made anew
		}
		return at.Seq
	}
	after = last
	back := make([]position, len(s.owned))
	for p, owned := range s.owned {
		if !owned {
			continue
		}
		text, revision, err := s.engine.bus.FlowPosition(ctx, p)
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			return 0, fmt.Errorf("position of flows in partition %d: %w", p, err)
		}
		if err == nil {
			if err := json.Unmarshal(text, &back[p]); err != nil {
				return 0, fmt.Errorf("position of flows in partition %d: %w", p, err)
			}
		}
		k.revisions[p], k.written[p] = revision, text
		s.cursor[p] = back[p].At
		after = min(after, seq(back[p].At))
		for id := range back[p].Flows {
			s.lane(id).behind = true
		}
	}
	for id, l := range s.lanes {
		l.cursor, l.read = make([]place, len(s.owned)), after
		for p, at := range back {
			l.cursor[p] = at.At
			if low, ok := at.Flows[id]; ok {
				l.cursor[p], l.read = low, min(l.read, seq(low))
			}
		}
	}
	return after, nil
}

// run keeps the positions until ctx ends.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.keep(ctx)
		}
	}
}

// keep writes the positions that have changed. What was journalled, or became a
// dead letter, before they were taken is made durable first: with the position the
// event's run would be forgotten. A failure is tried again at the next turn.
func (k *keeper) keep(ctx context.Context) {
	s := k.session
	due := k.due()
	if s.unsynced.Swap(false) {
		if err := s.engine.bus.SyncRuns(ctx); err != nil {
			if ctx.Err() == nil {
				s.engine.log.Warn("the journal of runs cannot be made durable; it is tried again", "error", err)
			}
			s.unsynced.Store(true)
			return
		}
	}
	for p, text := range due {
		revision, err := s.engine.bus.PutFlowPosition(ctx, p, text, k.revisions[p])
		if errors.Is(err, bus.ErrConflict) {
			// Another node worked on the partition meanwhile, or the answer to
			// an earlier attempt was lost.
			_, k.revisions[p], err = s.engine.bus.FlowPosition(ctx, p)
			if err == nil {
				continue
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				s.engine.log.Warn("the position of flows cannot be kept; it is tried again", "partition", p, "error", err)
			}
			return
		}
		k.revisions[p], k.written[p] = revision, text
	}
}

// due returns the positions that differ from what was written.
func (k *keeper) due() map[int][]byte {
	s := k.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil
	}
	due := map[int][]byte{}
	for p, owned := range s.owned {
		if !owned {
			continue
		}
		at := position{At: s.at(p)}
		for id, l := range s.lanes {
			if low := l.low(p); low != at.At {
				if at.Flows == nil {
					at.Flows = map[string]place{}
				}
				at.Flows[id] = low
			}
		}
		text, err := json.Marshal(at)
		if err == nil && !bytes.Equal(text, k.written[p]) {
			due[p] = text
		}
	}
	return due
}
