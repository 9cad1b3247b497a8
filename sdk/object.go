package sdk

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// An Object is a JSON object that is kept as the text it came in and decoded
// when it is first looked into. It is not safe for concurrent use.
type Object struct {
	raw []byte         // nil where m may have been changed
	m   map[string]any // nil where nothing was looked into
}

// RawObject wraps a text that is known to be a valid JSON object, or empty.
// The text must not change afterwards.
func RawObject(text []byte) Object { return Object{raw: text} }

// NewObject wraps a decoded object.
func NewObject(m map[string]any) Object { return Object{m: m} }

// Map returns the decoded object, never nil. Changes to it are changes to o.
func (o *Object) Map() map[string]any {
	o.View()
	o.raw = nil
	return o.m
}

// View returns the decoded object, never nil. It must not be changed.
func (o *Object) View() map[string]any {
	if o.m == nil {
		o.m = map[string]any{}
		if len(o.raw) == 0 {
			return o.m
		}
		// RawObject promises a valid text; what is not one reads as empty.
		switch v, err := decodeChecked(o.raw); m := v.(type) {
		case map[string]any:
			o.m = m
		default:
			if err != nil {
				o.raw = nil
			}
		}
	}
	return o.m
}

// Get reads the value at a path; it must not be changed.
func (o *Object) Get(path Path) (any, bool) { return path.Get(o.View()) }

// IsEmpty tells, without decoding, whether o holds no field.
func (o *Object) IsEmpty() bool {
	if o.m != nil {
		return len(o.m) == 0
	}
	return len(o.raw) == 0 || string(o.raw) == "{}" || string(o.raw) == "null"
}

// AppendJSON appends the text of o; an empty object is {}.
func (o *Object) AppendJSON(dst []byte) []byte {
	switch {
	case len(o.raw) > 0:
		return append(dst, o.raw...)
	case o.m != nil:
		return AppendValue(dst, o.m)
	}
	return append(dst, "{}"...)
}

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil), nil }

// UnmarshalJSON implements json.Unmarshaler; the text must be an object or null.
func (o *Object) UnmarshalJSON(text []byte) error {
	v := jsontext.Value(text)
	if k := v.Kind(); k != '{' && k != 'n' {
		return errors.New("want a JSON object")
	}
	raw := v.Clone()
	if err := raw.Compact(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)); err != nil {
		return err
	}
	if k := raw.Kind(); k == 'n' {
		raw = nil
	}
	o.raw, o.m = raw, nil
	return nil
}
