package sdk

import (
	"time"
)

// An Event is something that happened, as it stands after processing.
type Event struct {
	ID     string // the client's, or made by the gateway; known together with Source
	Type   string // 1–128 characters
	Source string // id of the source that sent it
	// Session is the client's session id, empty where it sent none.
	Session string
	// Profile is the profile the event was applied to, empty for an event
	// about nobody and for one that is not valid.
	Profile    string
	Time       time.Time // when it happened
	Received   time.Time // when the gateway took it in
	Properties Object
	Traits     Object
	Context    Object
	Tags       []string
	// Valid is false where Properties broke the schema of the event's type:
	// such an event is kept and marked, but changed nothing.
	Valid  bool
	Errors []FieldError
}

// A FieldError says what is wrong at one place of a document.
type FieldError struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// AppendJSON appends the event in the form of the contract. Fields without a
// value are left out, but for profile, which is null.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, e.ID)
	dst = append(dst, `,"type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"source":`...)
	dst = AppendString(dst, e.Source)
	if e.Session != "" {
		dst = append(dst, `,"session":`...)
		dst = AppendString(dst, e.Session)
	}
	dst = append(dst, `,"profile":`...)
	if e.Profile != "" {
		dst = AppendString(dst, e.Profile)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"time":`...)
	dst = AppendTime(dst, e.Time)
	dst = append(dst, `,"received":`...)
	dst = AppendTime(dst, e.Received)
	dst = append(dst, `,"properties":`...)
	dst = e.Properties.AppendJSON(dst)
	if !e.Traits.IsEmpty() {
		dst = append(dst, `,"traits":`...)
		dst = e.Traits.AppendJSON(dst)
	}
	if !e.Context.IsEmpty() {
		dst = append(dst, `,"context":`...)
		dst = e.Context.AppendJSON(dst)
	}
	if len(e.Tags) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = AppendValue(dst, e.Tags)
	}
	if e.Valid {
		return append(dst, `,"valid":true}`...)
	}
	dst = append(dst, `,"valid":false,"errors":`...)
	dst = AppendValue(dst, e.Errors)
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// Field returns a field by its name in the contract: what a condition sees
// below `event`. It is false for a name that events do not have.
func (e *Event) Field(name string) (any, bool) {
	switch name {
	case "id":
		return e.ID, true
	case "type":
		return e.Type, true
	case "source":
		return e.Source, true
	case "session":
		return orNull(e.Session), true
	case "profile":
		return orNull(e.Profile), true
	case "time":
		return e.Time, true
	case "received":
		return e.Received, true
	case "properties":
		return e.Properties.View(), true
	case "traits":
		return e.Traits.View(), true
	case "context":
		return e.Context.View(), true
	case "tags":
		return anyList(e.Tags), true
	case "valid":
		return e.Valid, true
	case "errors":
		list := make([]any, len(e.Errors))
		for i, x := range e.Errors {
			list[i] = map[string]any{"path": x.Path, "message": x.Message}
		}
		return list, true
	}
	return nil, false
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
