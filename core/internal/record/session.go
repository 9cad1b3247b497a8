package record

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// A Session is a session as its profile's document keeps it.
type Session struct {
	sdk.Session
	// Visits is how many visits it was: more than one where it was re-opened.
	Visits int64
	// Visit is when the latest of them began; Earlier is how many events the session
	// had before.
	Visit   time.Time
	Earlier int64
	// Transient is true while all its events said that the query store is not to have
	// it: then the store does not get its end either.
	Transient bool
}

// Find returns the session with the id, nil where it is not kept.
func (d *Document) Find(session string) *Session {
	for _, s := range d.Sessions {
		if s.ID == session {
			return s
		}
	}
	return nil
}

// appendJSON appends the session in its public form, with what is kept beside it.
func (s *Session) appendJSON(dst []byte) []byte {
	dst = s.AppendJSON(dst)
	dst = append(dst[:len(dst)-1], `,"visits":`...)
	dst = strconv.AppendInt(dst, s.Visits, 10)
	if !s.Visit.Equal(s.Started) {
		dst = sdk.AppendTime(append(dst, `,"visit":`...), s.Visit)
	}
	if s.Earlier > 0 {
		dst = strconv.AppendInt(append(dst, `,"earlier":`...), s.Earlier, 10)
	}
	if s.Transient {
		dst = append(dst, `,"transient":true`...)
	}
	return append(dst, '}')
}

func parseSessions(text []byte) ([]*Session, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	sessions := make([]*Session, len(list))
	for i, one := range list {
		s := &Session{}
		if err := s.UnmarshalJSON(one); err != nil {
			return nil, err
		}
		beside := struct {
			Visits, Earlier int64
			Visit           time.Time
			Transient       bool
		}{Visit: s.Started}
		if err := json.Unmarshal(one, &beside); err != nil {
			return nil, err
		}
		s.Visits, s.Visit, s.Earlier, s.Transient = beside.Visits, beside.Visit, beside.Earlier, beside.Transient
		sessions[i] = s
	}
	return sessions, nil
}
