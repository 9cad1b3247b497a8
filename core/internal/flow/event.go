package flow

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An event is one of EVENTS on its way through flows. It is not changed: the
// runs of several flows share it.
type event struct {
	stored   *bus.StoredEvent
	raw      jsontext.Value // in its public form
	session  jsontext.Value // the session after the event; empty where it has none
	view     sdk.View       // raw, as conditions read it
	profile  string         // empty: about nobody
	valid    bool
	revision uint64 // of the profile, after the event
	config   uint64 // the configuration that it was processed by
}

func parseEvent(stored *bus.StoredEvent) (*event, error) {
	own := *stored // of a batch, which a run that takes long would keep whole
	e := &event{stored: &own}
	var revision, config jsontext.Value
	err := record.Members(stored.Data, func(name string) *jsontext.Value {
		switch name {
		case "event":
			return &e.raw
		case "session":
			return &e.session
		case "revision":
			return &revision
		case "config":
			return &config
		}
		return nil
	})
	if err == nil {
		e.revision, err = number(revision)
	}
	if err == nil {
		e.config, err = number(config)
	}
	if err != nil {
		return nil, fmt.Errorf("event at %d: %w", stored.Seq, err)
	}
	e.view = sdk.RawView(e.raw)
	e.profile, _ = e.view.String("profile")
	e.valid, _ = e.view.Bool("valid")
	return e, nil
}

// id is the event's own id.
func (e *event) id() string {
	id, _ := e.view.String("id")
	return id
}

// number reads an unsigned number; an empty text and null are 0.
func number(text jsontext.Value) (uint64, error) {
	if len(text) == 0 || text.Kind() == 'n' {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", record.ErrMalformed, err)
	}
	return n, nil
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
// nil where it has none, or none that the reader wants.
func (s *scout) candidates(ctx context.Context, stored *bus.StoredEvent, wants func(*config.Flow) bool) (*event, []*config.Flow, error) {
	set := s.engine.options.Resources.Current()
	if s.revisions[stored.Partition] == set.Revision() && !slices.ContainsFunc(set.FlowsOf(stored.Type), wants) {
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
		if !f.Trigger.Covers(e.view) {
			continue
		}
		if f.Trigger.Condition != nil && f.Trigger.OfEvent {
			holds, err := f.Trigger.Condition.Bool(&condition.Vars{Event: e.view, Now: s.engine.options.Now()})
			if err != nil { // it does not hold then
				s.engine.metrics.failing.Saw(triggerOf(f), err)
			}
			if !holds {
				continue
			}
		}
		flows = append(flows, f)
	}
	return e, flows, nil
}
