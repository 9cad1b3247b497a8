package record

import (
	"fmt"

	"github.com/tributary-bus/tributary/sdk"
)

// A Processed is an event, or a change without one, that a commit sends to EVENTS.
type Processed struct {
	Type string // the event's type, which names its subject, or [TypeChange]
	Data []byte // [ProcessedEvent], encoded, or what a change has instead
	// Hops counts how many commands caused the event, one by another.
	Hops uint8
	// Reply is where a caller takes what the event's flows answered; empty
	// where nobody waits for them.
	Reply string
}

// A ProcessedEvent is the payload of a message of EVENTS: a JSON object
//
//	{"event":{…},"revision":7,"config":3,"aside":true,"transient":true,"transient_session":true,"sender":"…","session":{…},"changes":{"traits.vip":true}}
//
// where revision is the profile's after the command that caused the event (absent for
// an event about nobody), config the configuration that the event was processed by,
// aside, transient and transient_session (absent where they are not) that the event
// left its profile as it was, and that the event and its session are not to be queried,
// sender the profile that a not valid event was sent to, which is about nobody,
// session the event's session after the event, and changes what the event changed in
// the profile, by path.
type ProcessedEvent struct {
	Event    sdk.Event
	Revision uint64
	Config   uint64
	Session  *sdk.Session
	Changes  map[string]any
	// Aside is true for an event that its profile does not count.
	Aside bool
	// Transient keeps the event out of the query store, and TransientSession what it
	// says of its session.
	Transient, TransientSession bool
	// Sender is empty for a valid event. The profile may never have come to be. It is
	// what a not valid event is found by when that profile is erased.
	Sender string
}

// AppendJSON appends the payload.
func (p *ProcessedEvent) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"event":`...)
	dst = p.Event.AppendJSON(dst)
	if p.Revision > 0 {
		dst = append(dst, `,"revision":`...)
		dst = sdk.AppendValue(dst, p.Revision)
	}
	dst = append(dst, `,"config":`...)
	dst = sdk.AppendValue(dst, p.Config)
	if p.Aside {
		dst = append(dst, `,"aside":true`...)
	}
	if p.Transient {
		dst = append(dst, `,"transient":true`...)
	}
	if p.TransientSession {
		dst = append(dst, `,"transient_session":true`...)
	}
	if p.Sender != "" {
		dst = append(dst, `,"sender":`...)
		dst = sdk.AppendString(dst, p.Sender)
	}
	if p.Session != nil {
		dst = append(dst, `,"session":`...)
		dst = p.Session.AppendJSON(dst)
	}
	if len(p.Changes) > 0 {
		dst = append(dst, `,"changes":`...)
		dst = sdk.AppendValue(dst, p.Changes)
	}
	return append(dst, '}')
}

// An Outcome answers a caller who waits for a command: what became of it.
type Outcome struct {
	Status    string // StatusAccepted or StatusDuplicate
	Profile   string // whom it was applied to, empty for nobody
	Session   string
	Valid     bool
	Errors    []sdk.FieldError
	Partition int
	C         uint64 // the commit that holds its effects
	N         int    // the event's number among those of the commit
	Revision  uint64 // the profile's revision after it
}

// The values of an outcome's status.
const (
	StatusAccepted  = "accepted"
	StatusDuplicate = "duplicate"
)

// AppendJSON appends the outcome.
func (o *Outcome) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"status":`...)
	dst = sdk.AppendString(dst, o.Status)
	dst = append(dst, `,"profile":`...)
	dst = sdk.AppendString(dst, o.Profile)
	dst = append(dst, `,"session":`...)
	dst = sdk.AppendString(dst, o.Session)
	dst = append(dst, `,"valid":`...)
	dst = sdk.AppendValue(dst, o.Valid)
	dst = append(dst, `,"errors":`...)
	dst = sdk.AppendValue(dst, fieldErrors(o.Errors))
	dst = append(dst, `,"partition":`...)
	dst = sdk.AppendValue(dst, int64(o.Partition))
	dst = append(dst, `,"c":`...)
	dst = sdk.AppendValue(dst, o.C)
	dst = append(dst, `,"n":`...)
	dst = sdk.AppendValue(dst, int64(o.N))
	dst = append(dst, `,"revision":`...)
	dst = sdk.AppendValue(dst, o.Revision)
	return append(dst, '}')
}

// ParseOutcome decodes what a waiting caller takes.
func ParseOutcome(text []byte) (Outcome, error) {
	object := sdk.RawObject(text)
	m := object.View()
	if len(m) == 0 {
		return Outcome{}, fmt.Errorf("%w: outcome: want an object with a status", ErrMalformed)
	}
	o := Outcome{}
	o.Status, _ = m["status"].(string)
	o.Profile, _ = m["profile"].(string)
	o.Session, _ = m["session"].(string)
	o.Valid, _ = m["valid"].(bool)
	list, _ := m["errors"].([]any)
	for _, e := range list {
		f, _ := e.(map[string]any)
		path, _ := f["path"].(string)
		message, _ := f["message"].(string)
		o.Errors = append(o.Errors, sdk.FieldError{Path: path, Message: message})
	}
	partition, _ := m["partition"].(int64)
	c, _ := m["c"].(int64)
	n, _ := m["n"].(int64)
	revision, _ := m["revision"].(int64)
	o.Partition, o.C, o.N, o.Revision = int(partition), uint64(c), int(n), uint64(revision)
	return o, nil
}

func fieldErrors(list []sdk.FieldError) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = map[string]any{"path": e.Path, "message": e.Message}
	}
	return out
}
