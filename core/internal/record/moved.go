package record

import (
	"encoding/json"
	"fmt"

	"github.com/tributary-bus/tributary/sdk"
)

// A Left says that sessions which the query store has under a profile's id are not that
// profile's any more: it became part of another one. Nothing of them is said under the
// id after it.
type Left struct {
	Profile  string
	Sessions []string // their ids
}

// AppendJSON appends the payload of its message, {"left":{"profile":"…","sessions":["…"]}}.
func (l *Left) AppendJSON(dst []byte) []byte {
	dst = sdk.AppendString(append(dst, `{"left":{"profile":`...), l.Profile)
	return append(sdk.AppendValue(append(dst, `,"sessions":`...), l.Sessions), '}', '}')
}

// ParseLeft decodes what stands under left.
func ParseLeft(text []byte) (Left, error) {
	var l struct {
		Profile  string   `json:"profile"`
		Sessions []string `json:"sessions"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return Left{}, fmt.Errorf("%w: left: %w", ErrMalformed, err)
	}
	if l.Profile == "" {
		return Left{}, fmt.Errorf("%w: left: no profile is named", ErrMalformed)
	}
	return Left(l), nil
}

// AppendMoved appends the payload of the message that says how a session is which came
// from another profile, {"session":{…}}.
func AppendMoved(dst []byte, s *sdk.Session) []byte {
	return append(s.AppendJSON(append(dst, `{"session":`...)), '}')
}
