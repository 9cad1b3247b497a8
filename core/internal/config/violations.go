package config

import (
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tributary-bus/tributary/sdk"
)

// maxViolations bounds what is told of one value's faults.
const maxViolations = 20

// Violations holds a value against the schema and lists what breaks it, at most
// so many faults, each at its path below that of the value. Nil: nothing.
func (s *Schema) Violations(value any, below string, most int) []sdk.FieldError {
	err := s.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []sdk.FieldError{{Path: below, Message: err.Error()}}
	}
	var at sdk.Path
	if below != "" {
		at = sdk.Path{below}
	}
	return violations(invalid, at, most, nil)
}

// violations lists the leaves of a validation error, each at its own path.
func violations(e *jsonschema.ValidationError, at sdk.Path, most int, list []sdk.FieldError) []sdk.FieldError {
	if len(e.Causes) == 0 && len(list) < most {
		path := append(at[:len(at):len(at)], e.InstanceLocation...)
		return append(list, sdk.FieldError{
			Path: path.String(), Message: strings.TrimSpace(e.ErrorKind.LocalizedString(english)),
		})
	}
	for _, cause := range e.Causes {
		list = violations(cause, at, most, list)
	}
	return list
}
