package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A bound is a number of a schema, of any size and precision, prepared so that
// an int64 or a float64 is compared with it exactly and without allocating.
//
// A float64 stands for the shortest decimal that reads as it, the one that it
// is written as: 0.1 is a tenth, not 0.1000000000000000055. Since reading keeps
// the order of numbers, a float64 that is greater or less than the one that the
// bound reads as, stands for a decimal that is greater or less than the bound.
// Only that one must be looked at closely, and this can be done beforehand.
type bound struct {
	whole      int64 // the greatest integer that is not above the bound
	wholeOrder int   // of it to the bound: -1, 0 or, where all of int64 is above, 1
	float      float64
	floatOrder int // of its decimal to the bound
}

func newBound(number *big.Rat) bound {
	var b bound
	floor := new(big.Int).Div(number.Num(), number.Denom()) // Euclidean: it rounds down
	switch {
	case floor.IsInt64():
		b.whole = floor.Int64()
		b.wholeOrder = new(big.Rat).SetInt(floor).Cmp(number)
	case floor.Sign() > 0:
		b.whole, b.wholeOrder = math.MaxInt64, -1
	default:
		b.whole, b.wholeOrder = math.MinInt64, 1
	}
	b.float, _ = number.Float64()
	if decimal, ok := rational(b.float); ok { // not so where the bound is beyond all float64
		b.floatOrder = decimal.Cmp(number)
	}
	return b
}

// orderInt is -1 where n is less than the bound, 0 where they are equal, else 1.
func (b *bound) orderInt(n int64) int {
	if n == b.whole {
		return b.wholeOrder
	}
	return cmp.Compare(n, b.whole)
}

// orderFloat is orderInt for a finite float64.
func (b *bound) orderFloat(f float64) int {
	if f == b.float {
		return b.floatOrder
	}
	return cmp.Compare(f, b.float)
}

// A limit is a bound of one side.
type limit struct {
	bound
	least, most int // the orders to the bound that are allowed
}

func newLimits(s *jsonschema.Schema) []limit {
	var limits []limit
	add := func(number *big.Rat, least, most int) {
		if number != nil {
			limits = append(limits, limit{newBound(number), least, most})
		}
	}
	add(s.Minimum, 0, 1)
	add(s.ExclusiveMinimum, 1, 1)
	add(s.Maximum, -1, 0)
	add(s.ExclusiveMaximum, -1, -1)
	return limits
}

func (l *limit) allows(order int) bool { return order >= l.least && order <= l.most }

// rational reads a number as the library does, which takes no NaN, no infinity
// and no exponent in the millions.
func rational(number any) (*big.Rat, bool) {
	switch number.(type) {
	case int64, float64, json.Number:
		return new(big.Rat).SetString(fmt.Sprint(number))
	}
	return nil, false
}
