package sdk

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseNumberKeepsEveryDigit(t *testing.T) {
	for _, c := range []struct {
		literal string
		want    any
	}{
		{"0", int64(0)},
		{"-0", int64(0)},
		{"12", int64(12)},
		{"9223372036854775807", int64(math.MaxInt64)},
		{"9223372036854775808", json.Number("9223372036854775808")},
		{"-9223372036854775808", int64(math.MinInt64)},
		{"1.5", 1.5},
		{"1.10", 1.1},
		{"1e2", 100.0},
		{"0.1", 0.1},
		{"22.200000000000003", 22.200000000000003},
		{"22.2000000000000031", json.Number("22.2000000000000031")},
		{"0.12345678901234567890123", json.Number("0.12345678901234567890123")},
		{"1e400", json.Number("1e400")},
		{"1e-400", json.Number("1e-400")},
		{"0.0e-400", 0.0},
		{"123456789012345.6", 123456789012345.6},
	} {
		got := ParseNumber(c.literal)
		if got != c.want {
			t.Errorf("ParseNumber(%s) = %v (%T), want %v (%T)", c.literal, got, got, c.want, c.want)
		}
	}
}

// A number that is read and written again denotes the same decimal.
func TestNumbersSurviveARoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?(e-?[0-9]{1,3})?`).Draw(t, "literal")
		written := string(AppendValue(nil, ParseNumber(literal)))
		if !sameDecimal(literal, written) {
			t.Fatalf("%s was written as %s", literal, written)
		}
	})
}

func TestParseValueRefuses(t *testing.T) {
	for _, text := range []string{"", "{", `{"a":1,"a":2}`, "[1,]", "nul", "1 2", "[1]\x00", "{}}", "\"\xff\"", `{"a":}`} {
		if v, err := ParseValue([]byte(text)); err == nil {
			t.Errorf("ParseValue(%q) = %v, want an error", text, v)
		}
	}
}

func TestAppendValueIsCanonical(t *testing.T) {
	v := map[string]any{"b": []any{int64(1), nil, true}, "a": map[string]any{"\u2028": "x\ny\x00", "z": 1e21}}
	want := `{"a":{"z":1e+21,"` + "\u2028" + `":"x\ny\u0000"},"b":[1,null,true]}`
	got := string(AppendValue(nil, v))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := ParseValue([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if again := string(AppendValue(nil, back)); again != got {
		t.Errorf("written again: %s", again)
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2026, 1, 31, 12, 0, 0, 123e6, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-31T12:00:00.123Z":      want,
		"2026-01-31T12:00:00.123999Z":   want,
		"2026-01-31T14:00:00.123+02:00": want,
		"2026-01-31":                    time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2010-12-01 08:26:00":           time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC),
	} {
		if got, err := ParseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("ParseTime(%s) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "12:00", "2026-02-30"} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x",null,{"b":true}]}`, `-0.0`, `"\ud83d\ude00"`, `[[[[]]]]`, `1e999`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ParseValue(text)
		if err != nil {
			return
		}
		once := AppendValue(nil, v)
		back, err := ParseValue(once)
		if err != nil {
			t.Fatalf("%q was written as %q, which does not parse: %v", text, once, err)
		}
		if again := AppendValue(nil, back); string(again) != string(once) {
			t.Fatalf("%q was written as %q and then as %q", text, once, again)
		}
	})
}

// What AppendTime writes is what the library would.
func TestAppendTime(t *testing.T) {
	check := func(at time.Time) {
		t.Helper()
		want := `"` + at.UTC().Format(TimeLayout) + `"`
		if got := string(AppendTime(nil, at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	zone := time.FixedZone("", 5*3600+1800)
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(2026, 2, 9, 3, 4, 5, 6_999_999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2024, 2, 29, 0, 30, 0, 0, zone),
	} {
		check(at)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-62_167_219_200, 253_402_300_799).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
		if got, want := string(AppendTime(nil, at)), `"`+at.UTC().Format(TimeLayout)+`"`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
