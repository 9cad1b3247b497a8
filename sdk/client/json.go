package client

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/sdk"
)

func decode(text []byte, into any) error { return json.Unmarshal(text, into) }

// A Time is written in UTC with milliseconds, as everywhere in the API.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return sdk.AppendTime(nil, t.Time), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(text []byte) error {
	var s string
	if err := decode(text, &s); err != nil {
		return err
	}
	var err error
	t.Time, err = sdk.ParseTime(s)
	return err
}
