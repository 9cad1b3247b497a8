package condition

import (
	"encoding/json"
	"math"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

var (
	overflow     = &fault{message: "the result does not fit: whole numbers have 64 bits, durations 292 years, times the years 1 to 9999"}
	divideByZero = &fault{message: "division by zero"}
)

// calculate does arithmetic on two values; null with anything is null.
func calculate(f *frame, op string, a, b any) any {
	if a == nil || b == nil {
		return nil
	}
	switch x := a.(type) {
	case int64:
		switch y := b.(type) {
		case int64:
			return integers(op, x, y)
		case float64, json.Number:
			return doubles(op, x, y)
		}
	case float64, json.Number:
		switch b.(type) {
		case int64, float64, json.Number:
			return doubles(op, a, b)
		}
	case string:
		switch y := b.(type) {
		case string:
			if op == opAdd {
				if !f.spend((len(x) + len(y)) / 8) {
					return tooMuch
				}
				return x + y
			}
		case time.Time:
			if t, err := sdk.ParseTime(x); err == nil && op == opSubtract {
				return between(t, y)
			}
		}
	case []any:
		if y, is := b.([]any); is && op == opAdd {
			if !f.spend(len(x) + len(y)) {
				return tooMuch
			}
			return append(append(make([]any, 0, len(x)+len(y)), x...), y...)
		}
	case time.Time:
		switch y := b.(type) {
		case time.Duration:
			switch op {
			case opAdd:
				return shift(x, y)
			case opSubtract:
				if y == math.MinInt64 {
					return overflow
				}
				return shift(x, -y)
			}
		case time.Time:
			if op == opSubtract {
				return between(x, y)
			}
		case string:
			if t, err := sdk.ParseTime(y); err == nil && op == opSubtract {
				return between(x, t)
			}
		}
	case time.Duration:
		switch y := b.(type) {
		case time.Duration:
			switch op {
			case opAdd, opSubtract:
				sum := integers(op, int64(x), int64(y))
				if n, is := sum.(int64); is {
					return time.Duration(n)
				}
				return sum
			}
		case time.Time:
			if op == opAdd {
				return shift(y, x)
			}
		}
	}
	return faultf("%s is not made for %s and %s", symbols[op], typeName(a), typeName(b))
}

func integers(op string, a, b int64) any {
	switch op {
	case opAdd:
		if s := a + b; (s > a) == (b > 0) {
			return s
		}
	case opSubtract:
		if d := a - b; (d < a) == (b > 0) {
			return d
		}
	case opMultiply:
		if a == 0 || b == 0 {
			return int64(0)
		}
		if p := a * b; p/b == a && (a != -1 || b != math.MinInt64) && (b != -1 || a != math.MinInt64) {
			return p
		}
	case opDivide, opModulo:
		switch {
		case b == 0:
			return divideByZero
		case a == math.MinInt64 && b == -1:
			return overflow
		case op == opDivide:
			return a / b
		}
		return a % b
	}
	return overflow
}

func doubles(op string, a, b any) any {
	x, okX := toFloat(a)
	y, okY := toFloat(b)
	if !okX || !okY {
		return faultf("%s is not made for %s and %s", symbols[op], typeName(a), typeName(b))
	}
	switch op {
	case opAdd:
		return x + y
	case opSubtract:
		return x - y
	case opMultiply:
		return x * y
	case opDivide:
		return x / y
	}
	return faultf("%% is made for whole numbers; int(x) makes one")
}

// shift moves a time and keeps milliseconds.
func shift(t time.Time, d time.Duration) any {
	t = t.Add(d).Truncate(time.Millisecond)
	if y := t.Year(); y < 1 || y > 9999 {
		return overflow
	}
	return t
}

func between(a, b time.Time) any {
	d := a.Sub(b)
	if d == math.MaxInt64 || d == math.MinInt64 {
		return overflow
	}
	return d
}
