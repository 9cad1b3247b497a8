package eventtype

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// maxReshaped bounds what an event becomes, in about bytes: a short template can
// name a large part of it many times.
const maxReshaped = 256 << 10

// Reshape replaces the parts of an event that its type makes anew. All of them
// see the event as it was. Faults are what makes the event invalid: a leaf
// without a value where none may be missing, or too much of it; the event is
// then as it was.
func Reshape(t *config.EventType, e *sdk.Event, vars *condition.Vars) (faults []sdk.FieldError, problems []error) {
	r := t.Reshape
	if r == nil {
		return nil, nil
	}
	if r.When != nil {
		holds, err := r.When.Bool(vars)
		if err != nil {
			problems = append(problems, fmt.Errorf("event type %s: reshape: when: %w", t.ID, err))
		}
		if !holds {
			return nil, problems
		}
	}
	s := shaping{missing: r.Missing, vars: vars, room: maxReshaped}
	made := make([]map[string]any, len(r.Parts))
	for i, p := range r.Parts {
		v, _ := s.value(p.Value.Parts(), sdk.Path{string(p.On)})
		made[i], _ = v.(map[string]any)
	}
	for _, err := range s.problems {
		problems = append(problems, fmt.Errorf("event type %s: reshape: %w", t.ID, err))
	}
	if s.room < 0 {
		s.faults = []sdk.FieldError{{Path: "event", Message: fmt.Sprintf("reshape: it becomes larger than %d KB", maxReshaped>>10)}}
	}
	if len(s.faults) > 0 {
		return s.faults, problems
	}
	for i, p := range r.Parts {
		*part(e, p.On) = sdk.NewObject(made[i])
	}
	return nil, problems
}

// A shaping is one event on its way into its new shape.
type shaping struct {
	missing  config.Missing
	vars     *condition.Vars
	room     int // bytes that are left; below 0: it became too large
	faults   []sdk.FieldError
	problems []error
}

// value makes what stands at a path; false where it is left out.
func (s *shaping) value(shape any, at sdk.Path) (any, bool) {
	if s.room < 0 {
		return nil, false
	}
	switch p := shape.(type) {
	case *condition.Template:
		return s.leaf(p, at)
	case config.ListParts:
		list := make([]any, 0, len(p))
		for i, item := range p {
			if v, there := s.value(item, below(at, strconv.Itoa(i))); there {
				list = append(list, v)
			}
		}
		return list, true
	case config.ObjectParts:
		m := make(map[string]any, len(p))
		for _, name := range slices.Sorted(maps.Keys(p)) { // faults have always the same order
			if v, there := s.value(p[name], below(at, name)); there {
				s.room -= len(name) + 4
				m[name] = v
			}
		}
		return m, true
	}
	return s.own(shape), true
}

// leaf renders a template. What stands in the event afterwards is no part of
// what it was read from.
func (s *shaping) leaf(t *condition.Template, at sdk.Path) (any, bool) {
	v, err := t.Value(s.vars)
	if err == nil && v != nil {
		return s.own(v), true
	}
	if s.missing == config.MissingStrict {
		if err == nil {
			err = errors.New("has no value; " + t.Source() + " is null")
		}
		if len(s.faults) < maxFaults {
			s.faults = append(s.faults, sdk.FieldError{Path: at.String(), Message: "reshape: " + err.Error()})
		}
		return nil, false
	}
	if err != nil {
		s.problems = append(s.problems, fmt.Errorf("%s: %w", at, err))
	}
	return nil, s.missing == config.MissingNull
}

// own copies a value, as JSON has it: a time is its text.
func (s *shaping) own(v any) any {
	if s.room -= 8; s.room < 0 {
		return nil
	}
	switch v := v.(type) {
	case string:
		s.room -= len(v)
	case time.Time:
		return sdk.FormatTime(v)
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = s.own(e)
		}
		return c
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, e := range v {
			s.room -= len(name)
			c[name] = s.own(e)
		}
		return c
	}
	return v
}

func below(at sdk.Path, name string) sdk.Path { return append(at[:len(at):len(at)], name) }
