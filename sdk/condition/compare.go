package condition

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// order compares two values; ok is false where they have no order: null, other
// types, lists and maps.
func order(a, b any) (c int, ok bool) {
	switch x := a.(type) {
	case int64, float64, json.Number:
		return compareNumbers(a, b)
	case string:
		switch y := b.(type) {
		case string:
			return strings.Compare(x, y), true
		case time.Time:
			t, err := sdk.ParseTime(x)
			return t.Compare(y), err == nil
		}
	case time.Time:
		switch y := b.(type) {
		case time.Time:
			return x.Compare(y), true
		case string:
			t, err := sdk.ParseTime(y)
			return x.Compare(t), err == nil
		}
	case bool:
		if y, is := b.(bool); is {
			return boolRank(x) - boolRank(y), true
		}
	case time.Duration:
		if y, is := b.(time.Duration); is {
			return cmp.Compare(x, y), true
		}
	}
	return 0, false
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// equal compares by value, whatever the types. Composite values count against
// the budget of f, which may be nil.
func equal(f *frame, a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) || !f.spend(len(x)) {
			return false
		}
		for i := range x {
			if !equal(f, normal(x[i]), normal(y[i])) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) || !f.spend(len(x)) {
			return false
		}
		for k, e := range x {
			o, ok := y[k]
			if !ok || !equal(f, normal(e), normal(o)) {
				return false
			}
		}
		return true
	}
	c, ok := order(a, b)
	return ok && c == 0
}

// member tells whether v is an element of a list or a key of a map; null is
// empty, anything else a fault.
func member(f *frame, v, in any) any {
	switch x := in.(type) {
	case nil:
		return false
	case []any:
		if !f.spend(len(x)) {
			return tooMuch
		}
		for _, e := range x {
			if equal(f, v, normal(e)) {
				return true
			}
		}
		return false
	case map[string]any:
		key, is := v.(string)
		if !is {
			return false
		}
		_, found := x[key]
		return found
	}
	return faultf("in looks into a list or a map, not into %s", typeName(in))
}

// typeName names the type of a value, for messages.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64, float64, json.Number:
		return "a number"
	case string:
		return "a string"
	case time.Time:
		return "a time"
	case time.Duration:
		return "a duration"
	case []any:
		return "a list"
	case map[string]any, Fielder:
		return "a map"
	}
	return sdk.TypeName(v)
}
