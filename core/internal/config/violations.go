package config

import (
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tributary-bus/tributary/sdk"
)

// Violations holds an event's properties against the schema of its type, and
// lists what breaks it. No type, or one without a schema, lets anything pass.
func (t *EventType) Violations(properties *sdk.Object) []sdk.FieldError {
	if t == nil || t.Schema == nil {
		return nil
	}
	err := t.Schema.Validate(properties.View())
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
