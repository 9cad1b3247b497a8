package fold

import (
	"fmt"

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
}

// NewRules makes rules of a configuration.
func NewRules(set *config.Set) *Rules {
	r := &Rules{set: set, fields: map[string]sdk.Path{}}
	for _, i := range set.Identifications() {
		if i.Profile != nil {
			r.fields[i.ID] = i.Profile
		}
	}
	return r
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

// Ephemeral tells whether an event is of a source whose events are folded into their
// profiles and go on to flows, but belong to no session, open none and renew none,
// and are not taken into the query store. A session that one names still tells, where
// somebody has it, whom it is about.
func (r *Rules) Ephemeral(e *record.Event) bool {
	source, ok := r.set.Source(e.Source)
	return ok && source.Ephemeral
}
