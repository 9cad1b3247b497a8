package processor

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// rules is a configuration revision as the fold reads it.
type rules struct {
	set *config.Set
	// aggregates are the windows that stored conditions read, by event type.
	aggregates map[string][]condition.Aggregate
}

func newRules(set *config.Set) *rules {
	r := &rules{set: set, aggregates: map[string][]condition.Aggregate{}}
	for _, a := range set.Aggregates() {
		r.aggregates[a.Type] = append(r.aggregates[a.Type], a)
	}
	return r
}

// of returns the rules of an event's type, nil where it has none or their
// condition does not hold.
func (r *rules) of(e *sdk.Event, vars *condition.Vars) (*config.EventType, error) {
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
