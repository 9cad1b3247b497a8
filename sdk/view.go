package sdk

import (
	"encoding/json"
	"iter"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A View is a JSON document to read from. It is kept as the text it came in,
// and a reader looks for no more than its path, so that a large document costs
// nothing until it is read.
//
// The path is one that [ParsePath] reads, such as "traits.name"; the empty one
// is the whole document. A reader says false where the path leads nowhere,
// where there is null, and where there is something of another type. The zero
// View is a document that is not there: everything in it is missing.
//
// A View is safe for concurrent use.
type View struct{ raw jsontext.Value }

// ViewOf is the document that v is written as, for testing an action. What
// cannot be written as JSON is a document that is not there.
func ViewOf(v any) View {
	text, err := encodeValue(v)
	if err != nil {
		return View{}
	}
	return View{text}
}

// RawView is the document of a text that is known to be valid JSON, such as one
// that was read from another View. The text must not change afterwards.
func RawView(text []byte) View { return View{text} }

// Exists tells whether something other than null is at the path.
func (v View) Exists(path string) bool { return !v.At(path).IsNull() }

// IsNull tells whether the document is not there or is null, such as the
// profile of an event about nobody.
func (v View) IsNull() bool { return v.raw.Kind() == 'n' || len(v.raw) == 0 }

// IsObject tells whether the document is an object.
func (v View) IsObject() bool { return v.raw.Kind() == '{' }

// At is what is at the path, as a document of its own.
func (v View) At(path string) View {
	raw := v.raw
	for rest := path; rest != "" && len(raw) > 0; {
		name, after, err := cutName(rest, len(rest) == len(path))
		if err != nil {
			return View{}
		}
		raw, rest = findMember(raw, name), after
	}
	return View{raw}
}

// Member is the member of an object by its name as it is, which need not be a
// path: a document that is not there where the object has none, or v is no object.
func (v View) Member(name string) View { return View{findMember(v.raw, name)} }

// Members goes through the members of an object, in the order of the text;
// there are none where v is no object.
func (v View) Members() iter.Seq2[string, View] {
	return func(yield func(string, View) bool) {
		for name, value := range members(v.raw) {
			if !yield(unquote(name), View{value}) {
				return
			}
		}
	}
}

// String reads a text.
func (v View) String(path string) (string, bool) {
	raw := v.At(path).raw
	if raw.Kind() != '"' {
		return "", false
	}
	return unquote(raw), true
}

// Int reads a number that is whole and fits 64 bits.
func (v View) Int(path string) (int64, bool) {
	n, ok := v.number(path)
	if !ok {
		return 0, false
	}
	switch n := n.(type) {
	case int64:
		return n, true
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<63 {
			return int64(n), true
		}
	}
	return 0, false
}

// Float reads a number. One that a float64 cannot hold is rounded.
func (v View) Float(path string) (float64, bool) {
	n, ok := v.number(path)
	if !ok {
		return 0, false
	}
	switch n := n.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}

// Bool reads a truth value.
func (v View) Bool(path string) (value, ok bool) {
	switch v.At(path).raw.Kind() {
	case 't':
		return true, true
	case 'f':
		return false, true
	}
	return false, false
}

// Time reads a text that is a time, as [ParseTime] does.
func (v View) Time(path string) (time.Time, bool) {
	s, ok := v.String(path)
	if !ok {
		return time.Time{}, false
	}
	t, err := ParseTime(s)
	return t, err == nil
}

// Value reads whatever is at the path: one of the types that the package's
// documentation lists. Of null it says nil and true.
func (v View) Value(path string) (any, bool) {
	at := v.At(path)
	if len(at.raw) == 0 {
		return nil, false
	}
	value, err := decodeChecked(at.raw)
	return value, err == nil
}

// List reads an array.
func (v View) List(path string) ([]any, bool) {
	at := v.At(path)
	if at.raw.Kind() != '[' {
		return nil, false
	}
	value, _ := at.Value("")
	list, ok := value.([]any)
	return list, ok
}

// Map reads an object.
func (v View) Map(path string) (map[string]any, bool) {
	at := v.At(path)
	if at.raw.Kind() != '{' {
		return nil, false
	}
	value, _ := at.Value("")
	m, ok := value.(map[string]any)
	return m, ok
}

// Decode decodes the document into what into points to, as [json.Unmarshal]
// does: a struct of the plugin's own, or a [Profile], [Session] or [Event]. A document
// that is not there is null.
func (v View) Decode(into any) error { return json.Unmarshal(v.Raw(), into) }

// Raw is the document's text: valid JSON, null where it is not there. It must
// not be changed.
func (v View) Raw() []byte {
	if len(v.raw) == 0 {
		return []byte("null")
	}
	return v.raw
}

// MarshalJSON implements json.Marshaler.
func (v View) MarshalJSON() ([]byte, error) { return v.Raw(), nil }

func (v View) number(path string) (any, bool) {
	raw := v.At(path).raw
	if raw.Kind() != '0' {
		return nil, false
	}
	return ParseNumber(string(raw)), true
}
