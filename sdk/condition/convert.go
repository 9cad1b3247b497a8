package condition

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// The conversions read an empty text as null: that is how a table writes it.

func blank(s string) bool { return strings.TrimSpace(s) == "" }

func callDouble(_ *frame, v any) any {
	switch x := v.(type) {
	case float64:
		return x
	case int64, json.Number:
		if f, ok := toFloat(x); ok && !math.IsInf(f, 0) {
			return f
		}
		return overflow
	case string:
		if blank(x) {
			return nil
		}
		text := strings.TrimSpace(x)
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
			return faultf("%q is not a number", clip(x))
		}
		return f
	}
	return faultf("double takes a number or a text, not %s", typeName(v))
}

func callInt(_ *frame, v any) any {
	switch x := v.(type) {
	case int64:
		return x
	case json.Number:
		if strings.ContainsAny(string(x), ".eE") {
			f, _ := toFloat(x)
			return truncate(f)
		}
		return x
	case float64:
		return truncate(x)
	case time.Time:
		return x.Unix()
	case string:
		if blank(x) {
			return nil
		}
		text := strings.TrimSpace(x)
		digits := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+"), "0")
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err == nil:
			return n
		case isRange(err) && text[0] == '-':
			return json.Number("-" + digits)
		case isRange(err):
			return json.Number(digits)
		}
		return faultf("%q is not a whole number; double(x) reads fractions", clip(x))
	}
	return faultf("int takes a number, a time or a text, not %s", typeName(v))
}

func truncate(f float64) any {
	if f >= -math.MaxInt64 && f < math.MaxInt64 {
		return int64(f)
	}
	return overflow
}

func callString(f *frame, v any) any {
	switch x := v.(type) {
	case string:
		return x
	case bool, int64, float64, json.Number:
		return string(sdk.AppendValue(nil, x))
	case time.Time:
		return sdk.FormatTime(x)
	case time.Duration:
		return x.String()
	}
	return faultf("string takes one value, not %s", typeName(v))
}

func callBool(_ *frame, v any) any {
	switch x := v.(type) {
	case bool:
		return x
	case string:
		switch strings.ToLower(strings.TrimSpace(x)) {
		case "":
			return nil
		case "true", "t", "1":
			return true
		case "false", "f", "0":
			return false
		}
		return faultf("%q is neither true nor false", clip(x))
	}
	return faultf("bool takes a text, not %s", typeName(v))
}

func callTimestamp(_ *frame, v any) any {
	switch x := v.(type) {
	case time.Time:
		return x
	case int64: // seconds since 1970, as in CEL
		if x < -62135596800 || x > 253402300799 {
			return overflow
		}
		return time.Unix(x, 0).UTC()
	case string:
		if blank(x) {
			return nil
		}
		t, err := sdk.ParseTime(strings.TrimSpace(x))
		if err != nil {
			return faultf("%q is not a time: want RFC 3339, such as 2026-01-31T12:00:00Z, or a date", clip(x))
		}
		return t
	}
	return faultf("timestamp takes a text, not %s", typeName(v))
}

func callDuration(_ *frame, v any) any {
	switch x := v.(type) {
	case time.Duration:
		return x
	case string:
		if blank(x) {
			return nil
		}
		d, err := ParseDuration(strings.TrimSpace(x))
		if err != nil {
			return faultf("%v", err)
		}
		return d
	}
	return faultf("duration takes a text, not %s", typeName(v))
}

// clip shortens a value of a document for a message.
func clip(s string) string {
	if runes := []rune(s); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return s
}
