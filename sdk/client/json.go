package client

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/sdk"
)

func decode(text []byte, into any) error { return json.Unmarshal(text, into) }

// A Time is written in UTC with milliseconds, as everywhere in the API.
type Time struct{ time.Time }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(sdk.FormatTime(t.Time)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(text []byte) (err error) {
	t.Time, err = sdk.ParseTime(string(text))
	return err
}
