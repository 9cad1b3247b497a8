package flow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

type keeping interface {
	FlowPosition(ctx context.Context, partition int) (data []byte, revision uint64, err error)
	PutFlowPosition(ctx context.Context, partition int, data []byte, expect uint64) (revision uint64, err error)
	PutRun(ctx context.Context, run string, data []byte, expect uint64) (revision uint64, err error)
	DeleteRun(ctx context.Context, run string, revision uint64) error
	Runs(ctx context.Context, each func(run string, data []byte, revision uint64) error) error
	EraseRuns(ctx context.Context, revisions []uint64) error
	SyncRuns(ctx context.Context) error
}

// A stored run is the entry of the journal: a run that takes long, as far as it
// has come, with the event that it is for.
type storedRun struct {
	Flow      string          `json:"flow"`
	Partition int             `json:"partition"`
	Place     place           `json:"place"`
	Type      string          `json:"type"`
	Hops      uint8           `json:"hops,omitempty"`
	Reply     string          `json:"reply,omitempty"`
	Begun     time.Time       `json:"begun"`
	Held      bool            `json:"held"` // the trigger has held
	Progress  storedProgress  `json:"progress"`
	Event     json.RawMessage `json:"event"` // as EVENTS has it
}

// journal writes the run's entry, if it has not ended, and takes it from what a
// restart has to go back to.
func (r *run) journal(ctx context.Context) error {
	r.mu.Lock()
	err := error(nil)
	if !r.over && r.revision == 0 {
		if err = r.write(ctx); err == nil {
			r.lane.session.engine.metrics.journalled.Inc()
		}
	}
	journalled := r.revision > 0
	r.mu.Unlock()
	if !journalled {
		return err
	}
	s := r.lane.session
	s.mu.Lock()
	defer s.mu.Unlock()
	r.lane.settle(r)
	return nil
}

// write writes the entry as the run stands; r.mu is held.
func (r *run) write(ctx context.Context) error {
	e := r.event.stored
	text, err := json.Marshal(storedRun{
		Flow: r.flow.ID, Partition: e.Partition, Place: placeOf(e), Type: e.Type, Hops: e.Hops, Reply: e.Reply, Begun: r.begun.UTC(),
		Held: r.held, Progress: r.progress.store(), Event: e.Data,
	})
	if err != nil {
		return fmt.Errorf("encode run %s: %w", r.id, err)
	}
	revision, err := r.lane.session.engine.bus.PutRun(ctx, r.id, text, r.revision)
	if err == nil {
		r.revision = revision
		r.lane.session.unsynced.Store(true)
	}
	return err
}

// resume takes up the runs of the journal that are of this node's partitions, in
// the order in which they came. It is called before anything is read.
func (s *session) resume(ctx context.Context) error {
	// Of a run that was written as the server was killed the latest entry counts.
	type entry struct {
		text     []byte
		revision uint64
	}
	entries := map[string]entry{}
	err := s.engine.bus.Runs(ctx, func(id string, text []byte, revision uint64) error {
		if revision > entries[id].revision {
			entries[id] = entry{text, revision}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the journal of runs: %w", err)
	}
	var runs []*run
	for id, e := range entries {
		r, err := s.restore(ctx, id, e.text, e.revision)
		if err != nil {
			return fmt.Errorf("take up run %s of the journal: %w", id, err)
		}
		if r != nil {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b *run) int {
		x, y := a.event.stored, b.event.stored
		return cmp.Or(cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.C, y.C), cmp.Compare(x.N, y.N))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range runs {
		r.lane = s.lane(r.flow.ID)
		r.settled = true
		s.resumed[r.id] = struct{}{}
		r.lane.enter(r)
	}
	return nil
}

// restore makes a run of its entry; nil where it is another node's. One that
// cannot be made any more, since its flow is another, becomes a dead letter.
func (s *session) restore(ctx context.Context, id string, text []byte, revision uint64) (*run, error) {
	var stored storedRun
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, s.giveUp(ctx, id, text, revision, fmt.Errorf("%w: %w", record.ErrMalformed, err))
	}
	if p := stored.Partition; p < 0 || p >= len(s.owned) || !s.owned[p] {
		return nil, nil
	}
	e, err := parseEvent(&bus.StoredEvent{
		Seq: stored.Place.Seq, Partition: stored.Partition, C: stored.Place.C, N: stored.Place.N, Type: stored.Type,
		Hops: stored.Hops, Reply: stored.Reply, Data: stored.Event,
	})
	if err != nil {
		return nil, s.giveUp(ctx, id, text, revision, err)
	}
	set, err := s.engine.options.Resources.At(ctx, e.config)
	if err != nil {
		return nil, err
	}
	f, ok := set.Flow(stored.Flow)
	if !ok {
		return nil, s.giveUp(ctx, id, stored.Event, revision, fmt.Errorf("the flow %s is no longer kept", stored.Flow))
	}
	progress, err := stored.Progress.restore(f)
	if err != nil {
		return nil, s.giveUp(ctx, id, stored.Event, revision, err)
	}
	return &run{id: id, flow: f, event: e, begun: time.Now(), progress: progress, held: stored.Held, revision: revision}, nil
}

// giveUp makes an entry of the journal a dead letter.
func (s *session) giveUp(ctx context.Context, id string, payload []byte, revision uint64, cause error) error {
	s.engine.log.Error("a run of the journal cannot go on", "run", id, "error", cause)
	err := s.engine.bus.DeadLetter(ctx, bus.DeadLetter{
		Origin: origin, Reason: cause.Error(), Attempts: 1, Payload: payload, Details: map[string]any{"run": id},
	})
	if err != nil {
		return err
	}
	return s.engine.bus.DeleteRun(ctx, id, revision)
}
