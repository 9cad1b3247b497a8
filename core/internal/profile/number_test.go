package profile

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestAdd(t *testing.T) {
	for _, c := range []struct {
		a, b   any
		negate bool
		want   any
	}{
		{nil, int64(1), false, int64(1)},
		{int64(1), int64(2), true, int64(-1)},
		{0.1, 0.2, false, 0.3},
		{int64(1), -1.0, false, int64(0)},
		{1.5, 1.5, false, int64(3)},
		{int64(math.MaxInt64), int64(1), false, json.Number("9223372036854775808")},
		{int64(math.MinInt64), int64(1), true, json.Number("-9223372036854775809")},
		{int64(0), int64(math.MinInt64), true, json.Number("9223372036854775808")},
		{json.Number("8911407.904000000000001"), 0.1, false, json.Number("8911408.004000000000001")},
		{1e300, 1e300, false, 2e300},
		{json.Number("1e5000"), int64(1), false, json.Number("1e+5000")},
	} {
		got, err := add(c.a, c.b, c.negate)
		if err != nil || got != c.want {
			t.Errorf("add(%v, %v, %v) = %v (%T), %v; want %v (%T)", c.a, c.b, c.negate, got, got, err, c.want, c.want)
		}
	}
	for _, v := range []any{"1", true, []any{}, math.NaN(), json.Number("1e9999999")} {
		if got, err := add(int64(1), v, false); err == nil {
			t.Errorf("add(1, %v) = %v, want an error", v, got)
		}
	}
}

// Amounts of up to 15 digits sum up to the exact decimal in every order.
func TestSumsDoNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.SliceOfN(rapid.Int64Range(-1e14, 1e14), 1, 50).Draw(t, "cents")
		want := new(big.Rat)
		var forward, backward any
		for i := range cents {
			want.Add(want, big.NewRat(cents[i], 1000))
			forward = plus(forward, float64(cents[i])/1000)
			backward = plus(backward, float64(cents[len(cents)-1-i])/1000)
		}
		a, err := toDecimal(forward)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := new(big.Rat).SetString(a.Text('f'))
		if forward != backward || got.Cmp(want) != 0 {
			t.Fatalf("forward %v, backward %v, want %s", forward, backward, want.FloatString(3))
		}
	})
}
