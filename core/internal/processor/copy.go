package processor

import (
	"fmt"
	"reflect"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// copyRule carries out one copy rule of an event type on a profile and says
// what it set, for the record of changes; changed is false where it had
// nothing to do. An error leaves the profile as it was.
func copyRule(p *sdk.Profile, rule *config.CopyRule, vars *condition.Vars) (value any, changed bool, err error) {
	section, ok := p.Section(rule.To[0])
	if !ok || len(rule.To) < 2 {
		return nil, false, fmt.Errorf("%s is no place that can be copied to", rule.To)
	}
	path := rule.To[1:]
	if rule.Op == config.OpDelete {
		if _, ok := path.Get(section); !ok {
			return nil, false, nil
		}
		path.Delete(section)
		return nil, true, nil
	}
	operand, err := copyOperand(rule, vars)
	if err != nil {
		return nil, false, err
	}
	old, had := path.Get(section)
	var v any
	switch rule.Op {
	case config.OpSet:
		v = operand
	case config.OpSetIfMissing:
		if had && old != nil {
			return nil, false, nil
		}
		v = operand
	case config.OpIncrement, config.OpDecrement:
		if operand == nil {
			return nil, false, nil
		}
		if v, err = add(old, operand, rule.Op == config.OpDecrement); err != nil {
			return nil, false, err
		}
	case config.OpAppend:
		v = appendTo(old, operand)
	case config.OpRemove:
		v = removeFrom(old, operand)
	default:
		return nil, false, fmt.Errorf("unknown op %q", rule.Op)
	}
	if rule.To[0] == "counters" && !isNumber(v) {
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

func copyOperand(rule *config.CopyRule, vars *condition.Vars) (any, error) {
	if rule.From == nil {
		return rule.By, nil
	}
	v, err := rule.From.Value(vars)
	if err != nil {
		return nil, err
	}
	// What the profile keeps must not be part of the event.
	return sdk.Clone(v), nil
}

// appendTo adds v, or the elements of v, to a list, those that it lacks.
func appendTo(old, v any) any {
	list := asList(old)
	out := append(make([]any, 0, len(list)+1), list...)
	for _, e := range asList(v) {
		if !contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// removeFrom takes v, or the elements of v, out of a list.
func removeFrom(old, v any) any {
	out := []any{}
	drop := asList(v)
	for _, e := range asList(old) {
		if !contains(drop, e) {
			out = append(out, e)
		}
	}
	return out
}

func asList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func contains(list []any, v any) bool {
	for _, e := range list {
		if reflect.DeepEqual(e, v) {
			return true
		}
	}
	return false
}
