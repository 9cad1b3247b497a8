package profile

import (
	"encoding/json"
	"reflect"

	"github.com/tributary-bus/tributary/sdk"
)

// appendTo adds v, or the elements of v, to a list, those that it lacks.
func appendTo(old, v any) any {
	list, add := asList(old), asList(v)
	out := append(make([]any, 0, len(list)+len(add)), list...)
	there := newMembers(list, len(add))
	for _, e := range add {
		if !there.has(e) {
			out = append(out, e)
			there.add(e)
		}
	}
	return out
}

// removeFrom takes v, or the elements of v, out of a list.
func removeFrom(old, v any) any {
	out := []any{}
	list := asList(old)
	drop := newMembers(asList(v), len(list))
	for _, e := range list {
		if !drop.has(e) {
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

// members are the elements of a list, to be asked whether something is among
// them. A long list that is asked often is indexed: looking through it each time
// would hold up a partition for minutes.
type members struct {
	list    []any
	indexed bool
	scalars map[any]struct{}
	others  map[string][]any // by their text, which equal ones share
}

const (
	// fewQuestions do not pay for an index.
	fewQuestions = 16
	// fewComparisons are done without one.
	fewComparisons = 4096
)

func newMembers(list []any, questions int) *members {
	m := &members{list: list[:len(list):len(list)]}
	if questions <= fewQuestions || (len(list)+questions)*questions <= fewComparisons {
		return m
	}
	m.indexed, m.scalars, m.others = true, map[any]struct{}{}, map[string][]any{}
	for _, e := range list {
		m.add(e)
	}
	return m
}

func (m *members) add(v any) {
	switch {
	case !m.indexed:
		m.list = append(m.list, v)
	case isScalar(v):
		m.scalars[v] = struct{}{}
	default:
		text := string(sdk.AppendValue(nil, v))
		m.others[text] = append(m.others[text], v)
	}
}

func (m *members) has(v any) bool {
	switch {
	case !m.indexed:
		return contains(m.list, v)
	case isScalar(v):
		_, ok := m.scalars[v]
		return ok
	}
	return contains(m.others[string(sdk.AppendValue(nil, v))], v)
}

func contains(list []any, v any) bool {
	for _, e := range list {
		if reflect.DeepEqual(e, v) {
			return true
		}
	}
	return false
}

// isScalar tells whether == compares values of v's type as DeepEqual does.
func isScalar(v any) bool {
	switch v.(type) {
	case nil, bool, string, int64, float64, json.Number:
		return true
	}
	return false
}
