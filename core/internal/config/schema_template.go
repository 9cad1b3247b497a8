package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	finding "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A value with templates is held against a schema before they have values: what
// is wrong at a template, or could be right once it has its value, passes here
// and is found, if it is still wrong, when the node runs.

// A configFault is what a schema finds wrong with a config, and where: the
// names of fields and the places in lists on the way to it.
type configFault struct {
	at      []string
	message string
}

// faults lists what is certainly wrong with a config.
func (s *Schema) faults(config *NodeConfig) []configFault {
	value := config.literal
	if !config.Literal() {
		value = sources(config.parts)
	}
	if s.check.sure(value) {
		return nil
	}
	if path, ok := extreme(value, nil); ok {
		return []configFault{{path, fmt.Sprintf("has an exponent beyond ±%d, which a schema cannot judge", mostExponent)}}
	}
	var invalid *jsonschema.ValidationError
	if err := s.library.Validate(value); !errors.As(err, &invalid) {
		return nil
	}
	var list []configFault
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if config.excuses(e) {
			return
		}
		if len(e.Causes) == 0 {
			list = append(list, s.fault(e)...)
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	return list
}

// fault says what one finding of the library means. Fields that lack or are too
// many are named by their own paths.
func (s *Schema) fault(e *jsonschema.ValidationError) []configFault {
	var names []string
	var message string
	switch k := e.ErrorKind.(type) {
	case *finding.Required:
		names, message = k.Missing, "missing"
	case *finding.AdditionalProperties:
		names, message = k.Properties, "unknown field"
	default:
		return []configFault{{e.InstanceLocation, e.ErrorKind.LocalizedString(english)}}
	}
	known := slices.Sorted(maps.Keys(s.library.Properties))
	list := make([]configFault, 0, len(names))
	for _, name := range slices.Sorted(slices.Values(names)) {
		fault := configFault{append(slices.Clone(e.InstanceLocation), name), message}
		if message == "unknown field" && len(e.InstanceLocation) == 0 && len(known) > 0 {
			fault.message += "; " + Meant(name, known)
		}
		list = append(list, fault)
	}
	return list
}

// excuses tells whether a finding may come of a template: it is at one or below
// it, or weighs something that holds one.
func (c *NodeConfig) excuses(e *jsonschema.ValidationError) bool {
	if c.Literal() {
		return false
	}
	within, holds := c.templates(e.InstanceLocation)
	if within || depends(e.SchemaURL) {
		return true
	}
	excused := 0
	for _, cause := range e.Causes {
		if c.excuses(cause) {
			excused++
		}
	}
	some := excused > 0
	switch k := e.ErrorKind.(type) {
	case *finding.AnyOf, *finding.Contains, *finding.MinContains:
		return some // one of its branches, or elements, may turn out right
	case *finding.OneOf:
		return some || k.Subschemas != nil && holds
	case *finding.Not, *finding.Enum, *finding.Const, *finding.UniqueItems, *finding.MaxContains:
		return holds
	}
	return some && excused == len(e.Causes)
}

// templates tells whether a place is a template or within one, and whether it
// holds one.
func (c *NodeConfig) templates(at []string) (within, holds bool) {
	part := c.parts
	for _, name := range at {
		switch p := part.(type) {
		case *condition.Template:
			return true, true
		case ListParts:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(p) {
				return false, false
			}
			part = p[i]
		case ObjectParts:
			part = p[name]
		default:
			return false, false
		}
	}
	_, within = part.(*condition.Template)
	return within, templated(part)
}

// depends tells whether a part of a schema applies or not by what stands
// elsewhere in the value.
func depends(schemaURL string) bool {
	names := strings.Split(schemaURL, "/")
	for i, name := range names {
		declared := i > 0 && (names[i-1] == "properties" || names[i-1] == "$defs") // it is a name of somebody's own
		if !declared && slices.Contains([]string{"then", "else", "unevaluatedProperties", "unevaluatedItems"}, name) {
			return true
		}
	}
	return false
}
