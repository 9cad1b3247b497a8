package profile

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/cockroachdb/apd/v3"

	"github.com/tributary-bus/tributary/sdk"
)

// sums is decimal128's context: 34 significant digits, half to even. Amounts
// that clients send have at most 17, so a sum of them is exact up to a
// hundred thousand billions, whatever the order of its parts.
var sums = apd.Context{
	Precision: 34, MaxExponent: 6144, MinExponent: -6143, Rounding: apd.RoundHalfEven,
	Traps: apd.InvalidOperation | apd.Overflow | apd.DivisionByZero | apd.DivisionUndefined,
}

// add returns a+b (a−b where negate), exact to 34 significant digits. Nil
// counts as zero. Operands that are no numbers are errors.
func add(a, b any, negate bool) (any, error) {
	if a == nil {
		a = int64(0)
	}
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			if sum := x + y; !negate && (sum > x) == (y > 0) {
				return sum, nil
			}
			if difference := x - y; negate && (difference < x) == (y > 0) {
				return difference, nil
			}
		}
	}
	x, err := toDecimal(a)
	if err != nil {
		return nil, err
	}
	y, err := toDecimal(b)
	if err != nil {
		return nil, err
	}
	if negate {
		y.Negative = !y.Negative
	}
	var sum apd.Decimal
	if _, err := sums.Add(&sum, x, y); err != nil {
		return nil, fmt.Errorf("add %s and %s: %w", x, y, err)
	}
	return fromDecimal(&sum), nil
}

// isNumber tells whether v is a number.
func isNumber(v any) bool {
	switch v := v.(type) {
	case int64, json.Number:
		return true
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return false
}

func toDecimal(v any) (*apd.Decimal, error) {
	switch v := v.(type) {
	case int64:
		return apd.New(v, 0), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			break
		}
		// The shortest decimal that reads back as v: what the client wrote.
		d, _, err := apd.NewFromString(string(sdk.AppendValue(nil, v)))
		return d, err
	case json.Number:
		d, _, err := apd.NewFromString(string(v))
		if err != nil {
			return nil, fmt.Errorf("number %q: %w", v, err)
		}
		return d, nil
	}
	return nil, fmt.Errorf("want a number, got %s", sdk.TypeName(v))
}

func fromDecimal(d *apd.Decimal) any {
	if d.IsZero() {
		return int64(0)
	}
	var reduced apd.Decimal
	reduced.Reduce(d)
	text := reduced.Text('f')
	if reduced.Exponent > 30 || reduced.Exponent < -60 {
		text = reduced.Text('e')
	}
	return sdk.ParseNumber(text)
}
