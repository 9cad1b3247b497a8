package condition

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
)

// Numbers are compared as the decimals that they are written as: a float64
// stands for the shortest decimal that reads back as it, which is how it is
// written. So a number compares alike before and after it was stored.

// exactFloat is the magnitude below which every integer is a float64.
const exactFloat = 1 << 53

// compareNumbers orders two values of int64, float64 or json.Number; ok is
// false where one is no number or not a number.
func compareNumbers(a, b any) (c int, ok bool) {
	switch x := a.(type) {
	case int64:
		switch y := b.(type) {
		case int64:
			return cmp.Compare(x, y), true
		case float64:
			return compareIntFloat(x, y)
		}
	case float64:
		switch y := b.(type) {
		case float64:
			return compareFloats(x, y)
		case int64:
			c, ok = compareIntFloat(y, x)
			return -c, ok
		}
	}
	y, ok := decimalOf(b)
	if !ok {
		return 0, false
	}
	x, ok := decimalOf(a)
	if !ok {
		return 0, false
	}
	return x.compare(y), true
}

func compareFloats(a, b float64) (int, bool) {
	if a != a || b != b {
		return 0, false
	}
	return cmp.Compare(a, b), true
}

func compareIntFloat(i int64, f float64) (int, bool) {
	if f != f {
		return 0, false
	}
	if math.Abs(f) < exactFloat || math.IsInf(f, 0) {
		return compareFloats(float64(i), f)
	}
	x, _ := decimalOf(i)
	y, _ := decimalOf(f)
	return x.compare(y), true
}

// whole makes a number of a document that is whole an integer: JSON writes 10.0
// as 10, so that the document would say another thing once it was stored. same is
// the number itself, or nil.
func whole(f float64, same any) any {
	switch abs := math.Abs(f); {
	case f != math.Trunc(f) || abs >= 1e21: // what is written with an exponent
	case abs < exactFloat:
		return int64(f)
	default:
		return sdk.ParseNumber(strconv.FormatFloat(f, 'f', -1, 64))
	}
	if same == nil {
		return f
	}
	return same
}

// normalNumber is normal of a number that was parsed, and of nothing else.
func normalNumber(v any) any {
	if f, is := v.(float64); is {
		return whole(f, v)
	}
	return v
}

// A decimal is ±0.digits × 10^point, digits without zeros at either end; zero
// has no digits. Exponents are clamped: no literal of a bounded document gets
// near the clamp by its digits alone.
type decimal struct {
	negative bool
	digits   string
	point    int
}

const maxExponent = 1 << 40

// decimalOf reads a finite number; an infinity is beyond every literal.
func decimalOf(v any) (decimal, bool) {
	switch x := v.(type) {
	case int64:
		return parseDecimal(strconv.FormatInt(x, 10))
	case float64:
		if x != x {
			return decimal{}, false
		}
		if math.IsInf(x, 0) {
			return decimal{negative: x < 0, digits: "1", point: 2 * maxExponent}, true
		}
		return parseDecimal(strconv.FormatFloat(x, 'e', -1, 64))
	case json.Number:
		return parseDecimal(string(x))
	}
	return decimal{}, false
}

func parseDecimal(s string) (d decimal, ok bool) {
	if rest, found := strings.CutPrefix(s, "-"); found {
		d.negative, s = true, rest
	}
	exponent := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.ParseInt(s[i+1:], 10, 64)
		if err != nil && !isRange(err) {
			return decimal{}, false
		}
		exponent, s = int(max(-maxExponent, min(maxExponent, n))), s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return decimal{}, false
	}
	significant := strings.TrimLeft(digits, "0")
	d.point = exponent + len(whole) - (len(digits) - len(significant))
	d.digits = strings.TrimRight(significant, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

func (d decimal) compare(o decimal) int {
	if c := cmp.Compare(d.sign(), o.sign()); c != 0 || d.digits == "" {
		return c
	}
	c := cmp.Compare(d.point, o.point)
	if c == 0 {
		c = cmp.Compare(d.digits, o.digits)
	}
	return c * d.sign()
}

// toFloat is the nearest float64 of a number, for arithmetic.
func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	case json.Number:
		f, err := strconv.ParseFloat(string(x), 64)
		return f, err == nil || isRange(err)
	}
	return 0, false
}
