// Package eventtype is what an event's type says of the event and of its profile,
// as pure functions: an event is held against validators, made anew, described
// with traits and tags, a sign of the customer's journey, and copied from. There
// is no clock and no I/O here. A rule that fails on an event is a problem, which
// is counted and shown; the others go on.
package eventtype

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// maxFaults bounds what an invalid event carries of its own faults.
const maxFaults = 20

// Check holds an event against the validators of its type and lists what breaks
// them; nil: nothing does. A validator whose condition fails does not apply. It
// changes nothing.
func Check(t *config.EventType, e *sdk.Event, vars *condition.Vars) (faults []sdk.FieldError, problems []error) {
	for i := range t.Validators {
		v := &t.Validators[i]
		if v.When != nil {
			holds, err := v.When.Bool(vars)
			if err != nil {
				problems = append(problems, fmt.Errorf("event type %s: %s: when: %w", t.ID, v, err))
			}
			if !holds {
				continue
			}
		}
		if len(faults) < maxFaults {
			faults = append(faults, violations(v, e, maxFaults-len(faults))...)
		}
	}
	return faults, problems
}

// CheckAlone is Check as far as the event alone can tell, before it is known
// whose it is: what depends on its profile or session is passed over.
func CheckAlone(t *config.EventType, e *sdk.Event, vars *condition.Vars) []sdk.FieldError {
	if !holdsAlone(t.When, vars) {
		return nil
	}
	var faults []sdk.FieldError
	for i := range t.Validators {
		v := &t.Validators[i]
		if len(faults) < maxFaults && holdsAlone(v.When, vars) {
			faults = append(faults, violations(v, e, maxFaults-len(faults))...)
		}
	}
	return faults
}

// holdsAlone tells whether a condition holds whosever the event is.
func holdsAlone(when *condition.Program, vars *condition.Vars) bool {
	if when == nil {
		return true
	}
	for _, variable := range when.Variables() {
		if variable != "event" {
			return false
		}
	}
	holds, err := when.Bool(vars)
	return err == nil && holds
}

func violations(v *config.Validator, e *sdk.Event, most int) []sdk.FieldError {
	faults := v.Violations(part(e, v.On).View(), string(v.On), most)
	if v.Name != "" {
		for i := range faults {
			faults[i].Message = v.String() + ": " + faults[i].Message
		}
	}
	return faults
}

// part is one of the open objects of an event.
func part(e *sdk.Event, on config.Part) *sdk.Object {
	switch on {
	case config.PartTraits:
		return &e.Traits
	case config.PartContext:
		return &e.Context
	}
	return &e.Properties
}
