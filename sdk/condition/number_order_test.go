package condition

import (
	"cmp"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/sdk"
)

// The texts of any two numbers are ordered as the numbers are, equal ones are equal, and
// a text gives its number again.
func TestOrderedNumbers(t *testing.T) {
	literals := []string{
		"0", "-0", "0.0", "1", "-1", "9", "10", "11", "99", "100", "-9", "-10", "-99", "-100", "0.1", "0.09", "0.01", "-0.1", "-0.09",
		"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740992.0", "-9007199254740993", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "1e21", "1e22", "123456789012345678901234567890", "1e308", "1e400", "-1e400", "1e-400",
		"5e-324", "2.2250738585072014e-308", "1.5", "1.50", "15e-1", "0.30000000000000004", "0.3", "1e999999998", "-1e-999999998",
		"1234.5", "12345e2", "1e9", "1e10", "1e-9", "1e-10", "-1e9", "-1e10", "-1e-9", "-1e-10",
	}
	check := func(t interface{ Fatalf(string, ...any) }, a, b string) {
		x, y := sdk.ParseNumber(a), sdk.ParseNumber(b)
		want, _ := compareNumbers(x, y)
		s, ok := AppendOrdered(nil, x)
		u, also := AppendOrdered(nil, y)
		if !ok || !also {
			t.Fatalf("%s or %s has no text", a, b)
		}
		if got := cmp.Compare(string(s), string(u)); got != want {
			t.Fatalf("%s (%s) and %s (%s) compare %d, want %d", a, s, b, u, got, want)
		}
		back, ok := OrderedNumber(string(s))
		if c, _ := compareNumbers(sdk.ParseNumber(back), x); !ok || c != 0 {
			t.Fatalf("%s (%s) gives %s again", a, s, back)
		}
		if !json.Valid([]byte(back)) {
			t.Fatalf("%s gives %s, which is no JSON", a, back)
		}
	}
	for _, a := range literals {
		for _, b := range literals {
			check(t, a, b)
		}
	}
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) { check(t, number.Draw(t, "a"), number.Draw(t, "b")) })
}

// What has no bounded text is refused, not cut; what is no such text is no number.
func TestOrderedNumbersHaveBounds(t *testing.T) {
	for _, number := range []any{json.Number(strings.Repeat("7", 401)), json.Number("1e1000000001"), json.Number("-1e-1000000001"), "1", nil, true} {
		if text, ok := AppendOrdered(nil, number); ok {
			t.Errorf("%v has the text %s", number, text)
		}
	}
	for _, text := range []string{"", "2", "3p11", "2p", "2p1", "2p21", "0p185", "x"} {
		if literal, ok := OrderedNumber(text); ok {
			t.Errorf("%q is the number %s", text, literal)
		}
	}
}
