package sdk

import "time"

// A Session is what a profile's events with the same session id make together: one
// visit, or several where more than 30 minutes lay between two of its events.
type Session struct {
	ID      string
	Profile string
	Started time.Time // time of its first event
	Updated time.Time // time of its latest event
	Ended   time.Time // 30 minutes after the latest one, zero while it is open
	Status  string    // "active" or "ended"
	Events  int64     // how many events it holds
	// Revision grows by one with each change; it is the document's external
	// version in the query store.
	Revision uint64
	// Context is what its first event said of device, os, app, utm and geo.
	Context map[string]any
}

// The values of a session's status.
const (
	SessionActive = "active"
	SessionEnded  = "ended"
)

// Duration is the time from the session's first event to its latest.
func (s *Session) Duration() time.Duration { return s.Updated.Sub(s.Started) }

// Field returns a field by its name in the contract: what a condition sees
// below `session`. device, os, app, utm and geo are those of the context.
func (s *Session) Field(name string) (any, bool) {
	switch name {
	case "id":
		return s.ID, true
	case "profile":
		return orNull(s.Profile), true
	case "started":
		return s.Started, true
	case "updated":
		return s.Updated, true
	case "ended":
		if s.Ended.IsZero() {
			return nil, true
		}
		return s.Ended, true
	case "duration":
		return s.Duration().Seconds(), true
	case "status":
		return s.Status, true
	case "events":
		return s.Events, true
	case "context":
		return s.Context, true
	case "device", "os", "app", "utm", "geo":
		return s.Context[name], true
	}
	return nil, false
}

// AppendJSON appends the session in the form of the contract; duration is in
// seconds.
func (s *Session) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, s.ID)
	dst = append(dst, `,"profile":`...)
	dst = AppendValue(dst, orNull(s.Profile))
	dst = append(dst, `,"started":`...)
	dst = AppendTime(dst, s.Started)
	dst = append(dst, `,"updated":`...)
	dst = AppendTime(dst, s.Updated)
	if !s.Ended.IsZero() {
		dst = append(dst, `,"ended":`...)
		dst = AppendTime(dst, s.Ended)
	}
	dst = append(dst, `,"duration":`...)
	dst = AppendValue(dst, s.Duration().Seconds())
	dst = append(dst, `,"status":`...)
	dst = AppendString(dst, s.Status)
	dst = append(dst, `,"events":`...)
	dst = AppendValue(dst, s.Events)
	dst = append(dst, `,"revision":`...)
	dst = AppendValue(dst, s.Revision)
	if len(s.Context) > 0 {
		for _, name := range [...]string{"app", "device", "geo", "os", "utm"} {
			if v, ok := s.Context[name]; ok {
				dst = append(dst, `,"`...)
				dst = append(dst, name...)
				dst = append(dst, `":`...)
				dst = AppendValue(dst, v)
			}
		}
		dst = append(dst, `,"context":`...)
		dst = AppendValue(dst, s.Context)
	}
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (s Session) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Session) UnmarshalJSON(text []byte) error {
	m, err := ParseObject(text)
	if err != nil {
		return err
	}
	d := fields{m: m}
	*s = Session{
		ID: d.str("id"), Profile: d.str("profile"), Status: d.str("status"),
		Started: d.time("started"), Updated: d.time("updated"), Ended: d.time("ended"),
		Events: d.integer("events"), Revision: uint64(d.integer("revision")), Context: d.object("context"),
	}
	return d.err
}
