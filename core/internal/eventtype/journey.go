package eventtype

import (
	"fmt"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Where the journey is told: of an event and of a profile.
const trait = "journey"

var (
	statePath = sdk.Path{"data", "journey", "state"}
	sincePath = sdk.Path{"data", "journey", "since"}
)

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

// Enter moves a profile to a state of the journey as of a time, and notes what it
// changed by its path. A profile that is there already, or that something later
// has moved, stays as it is.
func Enter(p *sdk.Profile, state string, at time.Time, changes map[string]any) error {
	if state == "" {
		return nil
	}
	if journey, ok := p.Data[trait].(map[string]any); ok {
		if journey["state"] == state {
			return nil
		}
		text, _ := journey["since"].(string)
		if since, err := sdk.ParseTime(text); err == nil && at.Before(since) {
			return nil
		}
	}
	since := sdk.FormatTime(at)
	if _, _, err := profile.Change(p, statePath, config.OpSet, state); err != nil {
		return fmt.Errorf("journey: %w", err)
	}
	if _, _, err := profile.Change(p, sincePath, config.OpSet, since); err != nil {
		return fmt.Errorf("journey: %w", err)
	}
	changes["data.journey.state"], changes["data.journey.since"] = state, since
	return nil
}
