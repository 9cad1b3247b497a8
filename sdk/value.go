package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TimeLayout is how times are written: RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// ParseValue decodes one JSON text into a value. Duplicate names, invalid
// UTF-8 and anything after the text are errors that name the JSON pointer.
func ParseValue(text []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	v, err := ReadValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("text goes on after the JSON value, at byte %d", dec.InputOffset())
	}
	return v, nil
}

// ParseObject decodes a JSON text that must be an object. An empty text and
// null give an empty object.
func ParseObject(text []byte) (map[string]any, error) {
	if len(text) == 0 {
		return map[string]any{}, nil
	}
	v, err := ParseValue(text)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case nil:
		return map[string]any{}, nil
	}
	return nil, fmt.Errorf("want a JSON object, got %s", TypeName(v))
}

// ReadValue decodes the next value of dec.
func ReadValue(dec *jsontext.Decoder) (any, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return tok.String(), nil
	case '0':
		return ParseNumber(tok.String()), nil
	case '[':
		list := []any{}
		for dec.PeekKind() != ']' {
			v, err := ReadValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.ReadToken()
		return list, err
	case '{':
		object := map[string]any{}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if object[key], err = ReadValue(dec); err != nil {
				return nil, err
			}
		}
		_, err := dec.ReadToken()
		return object, err
	}
	return nil, fmt.Errorf("unexpected JSON token %q", tok.Kind())
}

// ParseNumber turns a JSON number literal into the value that holds it
// exactly: int64, float64 or json.Number.
func ParseNumber(literal string) any {
	digits, integer := 0, true
	for i := 0; i < len(literal); i++ {
		switch c := literal[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' || c == 'e' || c == 'E':
			integer = false
		}
	}
	if integer {
		if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
			return n
		}
		return json.Number(literal)
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || math.IsInf(f, 0) {
		return json.Number(literal)
	}
	// Up to 15 significant digits survive a float64, as long as it is a normal one.
	if digits <= 15 && (f == 0 || math.Abs(f) > 1e-290) {
		if f == 0 && strings.Trim(mantissa(literal), "-0.") != "" {
			return json.Number(literal)
		}
		return f
	}
	if sameDecimal(literal, strconv.FormatFloat(f, 'e', -1, 64)) {
		return f
	}
	return json.Number(literal)
}

// AppendValue appends v as compact JSON. Object names are sorted, so equal
// values have equal texts. Times are written in [TimeLayout].
func AppendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return AppendString(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case float64:
		return appendFloat(dst, v)
	case json.Number:
		return append(dst, v...)
	case time.Time:
		return AppendTime(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendValue(dst, e)
		}
		return append(dst, ']')
	case []string:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	case json.RawMessage:
		return append(dst, v...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, text...)
}

func appendObject(dst []byte, object map[string]any) []byte {
	var room [16]string
	names := room[:0]
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, name)
		dst = append(dst, ':')
		dst = AppendValue(dst, object[name])
	}
	return append(dst, '}')
}

// AppendString appends s as a JSON string; invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	// The error says only that bytes were replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// AppendTime appends t as a JSON string in [TimeLayout], UTC.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return append(t.AppendFormat(append(dst, '"'), TimeLayout), '"')
	}
	hour, minute, second := t.Clock()
	text := [26]byte([]byte(`"0000-00-00T00:00:00.000Z"`))
	for _, part := range [...]struct{ end, value int }{
		{5, year}, {8, int(month)}, {11, day}, {14, hour}, {17, minute}, {20, second}, {24, t.Nanosecond() / 1e6},
	} {
		for i, n := part.end-1, part.value; n > 0; i, n = i-1, n/10 {
			text[i] += byte(n % 10)
		}
	}
	return append(dst, text[:]...)
}

// FormatTime writes t in [TimeLayout], UTC.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }

// ParseTime reads RFC 3339 with any precision, or a date (midnight UTC), and
// keeps milliseconds.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			if y := t.UTC().Year(); y < 1 || y > 9999 {
				break
			}
			return t.UTC().Truncate(time.Millisecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want RFC 3339, such as 2026-01-31T12:00:00Z, or a date", s)
}

// Clone returns a deep copy of v.
func Clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, e := range v {
			c[name] = Clone(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = Clone(e)
		}
		return c
	}
	return v
}

// TypeName names the JSON type of v, for error messages.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case int64, float64, json.Number, int, uint64:
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case time.Time:
		return "a time"
	}
	return fmt.Sprintf("a %T", v)
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == 0 {
		return append(dst, '0')
	}
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

func mantissa(literal string) string {
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		return literal[:i]
	}
	return literal
}

// sameDecimal tells whether two number literals denote the same decimal.
func sameDecimal(a, b string) bool {
	aDigits, aExp, aNeg := decimal(a)
	bDigits, bExp, bNeg := decimal(b)
	return aDigits == bDigits && aExp == bExp && (aNeg == bNeg || aDigits == "")
}

// decimal splits a literal into its significant digits, without zeros at
// either end, and the exponent of the last of them.
func decimal(literal string) (digits string, exp int, neg bool) {
	if strings.HasPrefix(literal, "-") {
		neg, literal = true, literal[1:]
	}
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		exp, _ = strconv.Atoi(literal[i+1:])
		literal = literal[:i]
	}
	if i := strings.IndexByte(literal, '.'); i >= 0 {
		exp -= len(literal) - i - 1
		literal = literal[:i] + literal[i+1:]
	}
	trimmed := strings.TrimRight(literal, "0")
	exp += len(literal) - len(trimmed)
	digits = strings.TrimLeft(trimmed, "0")
	if digits == "" {
		return "", 0, neg
	}
	return digits, exp, neg
}
