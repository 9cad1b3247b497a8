// Package profile is what is done to a profile's document, as pure functions:
// places in it are changed, exact numbers added, events counted in windows, and
// conditions answered from what was counted. Whoever changes a profile, an event
// or a flow, does it by the same rules. There is no clock and no I/O here.
package profile

import (
	"fmt"
	"reflect"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// Change does what op says to one place of a profile, and tells what stands
// there since; changed is false where there was nothing to do. The path begins
// with one of the profile's sections. The operand of OpDelete is not looked at;
// any other becomes part of the profile, and must not be part of anything else.
// An error leaves the profile as it was.
func Change(p *sdk.Profile, path sdk.Path, op wire.Op, operand any) (value any, changed bool, err error) {
	if len(path) < 2 {
		return nil, false, fmt.Errorf("%s is no place in a profile; want a field of a section, such as traits.name", path)
	}
	section, ok := p.Section(path[0])
	if !ok {
		return nil, false, fmt.Errorf("a profile has no %s; want a path that begins with traits, data, counters, interests or consents", path[0])
	}
	counter := path[0] == "counters"
	path = path[1:]
	if op == wire.OpDelete {
		if _, ok := path.Get(section); !ok {
			return nil, false, nil
		}
		path.Delete(section)
		return nil, true, nil
	}
	old, had := path.Get(section)
	var v any
	switch op {
	case wire.OpSet:
		v = operand
	case wire.OpSetIfMissing:
		if had && old != nil {
			return nil, false, nil
		}
		v = operand
	case wire.OpIncrement, wire.OpDecrement:
		if operand == nil {
			return nil, false, nil
		}
		if v, err = add(old, operand, op == wire.OpDecrement); err != nil {
			return nil, false, err
		}
	case wire.OpAppend:
		v = appendTo(old, operand)
	case wire.OpRemove:
		v = removeFrom(old, operand)
	default:
		return nil, false, fmt.Errorf("unknown op %q", op)
	}
	if counter && !isNumber(v) {
		return nil, false, fmt.Errorf("a counter must be a number, got %s", sdk.TypeName(v))
	}
	if v == nil && !had || had && reflect.DeepEqual(old, v) {
		return nil, false, nil
	}
	if err := path.Set(section, v); err != nil {
		return nil, false, err
	}
	return v, true, nil
}
