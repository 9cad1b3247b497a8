package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An event is one of EVENTS on its way through flows. It is not changed: the
// runs of several flows share it.
type event struct {
	stored    *bus.StoredEvent
	raw       jsontext.Value // in its public form
	source    string
	profile   string // empty: about nobody
	valid     bool
	revision  uint64         // of the profile, after the event
	config    uint64         // the configuration that it was processed by
	fields    map[string]any // what conditions see below event
	session   map[string]any // and below session: the session after the event, nil where it has none
	sessioned jsontext.Value // the session as text
}

func parseEvent(stored *bus.StoredEvent) (*event, error) {
	members, err := sdk.ParseObject(stored.Data)
	if err != nil {
		return nil, fmt.Errorf("event at %d: %w", stored.Seq, err)
	}
	e := &event{stored: stored}
	e.fields, _ = members["event"].(map[string]any)
	e.session, _ = members["session"].(map[string]any)
	e.source, _ = e.fields["source"].(string)
	e.profile, _ = e.fields["profile"].(string)
	e.valid, _ = e.fields["valid"].(bool)
	revision, _ := members["revision"].(int64)
	config, _ := members["config"].(int64)
	e.revision, e.config = uint64(revision), uint64(config)
	if e.raw, err = field(stored.Data, "event"); err != nil {
		return nil, fmt.Errorf("event at %d: %w", stored.Seq, err)
	}
	if e.session != nil {
		if e.sessioned, err = field(stored.Data, "session"); err != nil {
			return nil, fmt.Errorf("event at %d: %w", stored.Seq, err)
		}
	}
	return e, nil
}

// vars are what a condition sees that reads the event alone.
func (e *event) vars(now time.Time) *condition.Vars {
	vars := &condition.Vars{Event: e.fields, Now: now}
	if e.session != nil {
		vars.Session = e.session
	}
	return vars
}

// A scout finds the flows of events. It belongs to one reader.
type scout struct {
	engine *Engine
	// revisions is the configuration of each partition's last decoded event. They
	// only grow, so where it is the current one, an event of a type that no flow
	// of that asks for need not be decoded.
	revisions []uint64
}

func newScout(e *Engine, partitions int) *scout {
	return &scout{engine: e, revisions: make([]uint64, partitions)}
}

// candidates returns the flows that are to be run for an event, as far as the
// event alone tells, by the configuration that it was processed by. The event is
// nil where it has none.
func (s *scout) candidates(ctx context.Context, stored *bus.StoredEvent) (*event, []*config.Flow, error) {
	set := s.engine.options.Resources.Current()
	if s.revisions[stored.Partition] == set.Revision() && len(set.FlowsOf(stored.Type)) == 0 {
		return nil, nil, nil
	}
	e, err := parseEvent(stored)
	if err != nil {
		s.engine.metrics.unreadable.Inc()
		s.engine.log.Error("an event cannot be decoded; no flow is run for it", "error", err)
		return nil, nil, nil
	}
	s.revisions[stored.Partition] = e.config
	if !e.valid {
		return nil, nil, nil
	}
	if set.Revision() != e.config {
		if set, err = s.engine.options.Resources.At(ctx, e.config); err != nil {
			return nil, nil, err
		}
	}
	var flows []*config.Flow
	for _, f := range set.FlowsOf(stored.Type) {
		if f.Trigger.Condition != nil && f.Trigger.OfEvent {
			// One that fails on an event does not hold for it.
			if holds, _ := f.Trigger.Condition.Bool(e.vars(s.engine.options.Now())); !holds {
				continue
			}
		}
		flows = append(flows, f)
	}
	return e, flows, nil
}
