package eventtype

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// trait is where an event tells of the journey.
const trait = "journey"

// stateTraits are the traits of an event that has no others, by state.
var stateTraits = func() map[string][]byte {
	texts := make(map[string][]byte, len(config.JourneyStates))
	for _, state := range config.JourneyStates {
		texts[state] = sdk.AppendValue(nil, map[string]any{trait: state})
	}
	return texts
}()

// Journey tells which state of the customer's journey an event is a sign of, and
// makes it a trait of the event; empty: of none.
func Journey(t *config.EventType, e *sdk.Event, vars *condition.Vars) (state string, err error) {
	switch {
	case t.Journey == nil:
		return "", nil
	case t.Journey.From == nil:
		state = t.Journey.State
	default:
		v, err := t.Journey.From.Value(vars)
		if err != nil {
			return "", fmt.Errorf("event type %s: journey: %w", t.ID, err)
		}
		if v == nil {
			return "", nil
		}
		text, ok := v.(string)
		if !ok || !slices.Contains(config.JourneyStates, text) {
			return "", fmt.Errorf("event type %s: journey: %.100s is no state of it; want one of %v, or null", t.ID, sdk.AppendValue(nil, v), config.JourneyStates)
		}
		state = text
	}
	if e.Traits.IsEmpty() {
		e.Traits = sdk.RawObject(stateTraits[state])
	} else {
		e.Traits.Map()[trait] = state
	}
	return state, nil
}
