package gateway

import (
	"bytes"

	"github.com/tributary-bus/tributary/sdk"
)

// withField returns the JSON object with one field more, in front. A field of
// that name which it has already gives way.
func withField(object []byte, name string, value []byte) []byte {
	quoted := sdk.AppendString(nil, name)
	if bytes.Contains(object, quoted) || bytes.IndexByte(object, '\\') >= 0 {
		if m, err := sdk.ParseObject(object); err == nil {
			delete(m, name)
			object = sdk.AppendValue(nil, m)
		}
	}
	dst := make([]byte, 0, len(object)+len(quoted)+len(value)+3)
	dst = append(dst, '{')
	dst = append(dst, quoted...)
	dst = append(dst, ':')
	dst = append(dst, value...)
	if len(object) <= len("{}") {
		return append(dst, '}')
	}
	dst = append(dst, ',')
	return append(dst, object[1:]...)
}

// merged returns an object with the fields of both; where both have one, that
// of the second counts.
func merged(first, second []byte) []byte {
	switch {
	case len(second) <= len("{}"):
		return first
	case len(first) <= len("{}"):
		return second
	}
	a, errA := sdk.ParseObject(first)
	b, errB := sdk.ParseObject(second)
	if errA != nil || errB != nil {
		return second // both have been checked
	}
	for name, v := range b {
		a[name] = v
	}
	return sdk.AppendValue(nil, a)
}
