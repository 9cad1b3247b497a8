package processor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

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

// validate holds an event's properties against its type's schema.
func validate(t *config.EventType, e *sdk.Event) []sdk.FieldError {
	if t == nil || t.Schema == nil {
		return nil
	}
	err := t.Schema.Validate(e.Properties.View())
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []sdk.FieldError{{Path: "properties", Message: err.Error()}}
	}
	return violations(invalid, nil)
}

// maxViolations bounds what an invalid event carries of its own faults.
const maxViolations = 20

// english renders the validator's messages.
var english = message.NewPrinter(language.English)

// violations lists the leaves of a validation error, each at its own path.
func violations(e *jsonschema.ValidationError, list []sdk.FieldError) []sdk.FieldError {
	if len(e.Causes) == 0 && len(list) < maxViolations {
		path := append(sdk.Path{"properties"}, e.InstanceLocation...)
		return append(list, sdk.FieldError{
			Path: path.String(), Message: strings.TrimSpace(e.ErrorKind.LocalizedString(english)),
		})
	}
	for _, cause := range e.Causes {
		list = violations(cause, list)
	}
	return list
}
