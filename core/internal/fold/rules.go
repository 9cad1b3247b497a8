package fold

import (
	"fmt"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Rules are a configuration revision as the fold reads it.
type Rules struct {
	set *config.Set
	// fields are where identifiers are kept beside a profile's identities, by kind.
	fields map[string]sdk.Path
	// compliance is what keeps fields of events from being stored, by type; of
	// types that none names it is screenAll. Nil: nothing does.
	compliance map[string][]*config.Compliance
	screenAll  []*config.Compliance
}

// NewRules makes rules of a configuration.
func NewRules(set *config.Set) *Rules {
	r := &Rules{set: set, fields: map[string]sdk.Path{}}
	for _, i := range set.Identifications() {
		if i.Profile != nil {
			r.fields[i.ID] = i.Profile
		}
	}
	for _, c := range set.Compliances() {
		if c.Event == config.AnyEvent {
			r.screenAll = append(r.screenAll, c)
		}
	}
	for _, c := range set.Compliances() {
		if c.Event == config.AnyEvent {
			continue
		}
		if r.compliance == nil {
			r.compliance = map[string][]*config.Compliance{}
		}
		if r.compliance[c.Event] == nil {
			r.compliance[c.Event] = slices.Clone(r.screenAll)
		}
		r.compliance[c.Event] = append(r.compliance[c.Event], c)
	}
	return r
}

// screens lists what keeps fields of events of a type from being stored.
func (r *Rules) screens(eventType string) []*config.Compliance {
	if list, named := r.compliance[eventType]; named {
		return list
	}
	return r.screenAll
}

// Set is the configuration that the rules are of.
func (r *Rules) Set() *config.Set { return r.set }

// of returns the rules of an event's type, nil where it has none or their
// condition does not hold.
func (r *Rules) of(e *sdk.Event, vars *condition.Vars) (*config.EventType, error) {
	t := r.set.EventType(e.Type)
	if t == nil || t.When == nil {
		return t, nil
	}
	holds, err := t.When.Bool(vars)
	if err != nil {
		err = fmt.Errorf("event type %s: when: %w", t.ID, err)
	}
	if !holds {
		return nil, err
	}
	return t, err
}

// Fingerprint is how long the event's source knows people by what their browser looks
// like, 0 where it does not.
func (r *Rules) Fingerprint(e *record.Event) time.Duration {
	if e.Fingerprint == "" {
		return 0
	}
	source, ok := r.set.Source(e.Source)
	if !ok {
		return 0
	}
	return source.Fingerprint
}

// Ephemeral tells whether an event is of a source whose events are folded into their
// profiles and go on to flows, but belong to no session, open none and renew none,
// and are not taken into the query store. A session that one names still tells, where
// somebody has it, whom it is about. It is one where its source was ephemeral when the
// event was taken in, or is now: what was sent to pass stays out of the store also where
// its source is changed or deleted before it is processed.
func (r *Rules) Ephemeral(e *record.Event) bool {
	if e.Ephemeral {
		return true
	}
	source, ok := r.set.Source(e.Source)
	return ok && source.Ephemeral
}
