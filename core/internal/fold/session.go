package fold

import (
	"slices"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A profile has its sessions side by side: one for each of its devices. An event goes
// to the session that it names, and nothing that it does touches another one, but
// where too many would be kept.
//
// A visit is a part of a session without a pause of more than 30 minutes, by the times
// of its events. The pause is found at the session's next event, or by the command
// that does what is due. Only an event that is later than all of its session by more
// than that begins another visit. One that is earlier, or that comes when its visit has
// been found to be over, belongs to that visit: it is counted, and neither ends nor
// opens anything.

const (
	// sessionsKept is how many sessions a profile keeps: those that it used last.
	sessionsKept = 8
	// endedKept is how long one that has ended is kept where another is opened. After
	// so much time its id does not lead to the profile any more.
	endedKept = 48 * time.Hour
)

// sessionFields are the parts of an event's context that a session keeps from
// its first event.
var sessionFields = [...]string{"app", "device", "geo", "os", "utm"}

// attend enters the event at hand into the session that it names. What begins and
// what ends by that is told before the event. An event without a session opens none.
func (f *Fold) attend() {
	if f.event.Session == "" {
		return
	}
	at := f.happened()
	s := f.Doc.Find(f.event.Session)
	switch {
	case s == nil:
		s = f.open(at)
	case at.Sub(s.Updated) > profile.Inactivity:
		if s.Status == sdk.SessionActive {
			f.close(s, s.Updated.Add(profile.Inactivity), f.tellFirst)
		}
		f.visit(s, at)
		f.tellVisit(s, at, true)
	case s.Status == sdk.SessionEnded && at.Add(profile.Inactivity).After(f.event.Received):
		s.Status, s.Ended = sdk.SessionActive, time.Time{} // it was not over after all
	}
	s.Profile = f.Doc.Profile.ID
	s.Transient = s.Transient && f.transientSession
	s.Events++
	s.Revision++
	if at.Before(s.Visit) && (s.Visits == 1 || s.Visit.Sub(at) <= profile.Inactivity) {
		s.Visit = at
	}
	if at.Before(s.Started) {
		s.Started = at
	}
	if at.After(s.Updated) {
		s.Updated = at
		if s.Status == sdk.SessionEnded {
			s.Ended = at.Add(profile.Inactivity)
		}
	}
	f.Doc.Sessions = toFront(f.Doc.Sessions, s)
}

// happened is when the event at hand happened. A clock that is ahead must not keep
// what follows out.
func (f *Fold) happened() time.Time {
	if f.event.Time.After(f.event.Received) {
		return f.event.Received
	}
	return f.event.Time
}

// attending tells whether the event at hand goes on with a visit.
func (f *Fold) attending() bool {
	if !f.live() {
		return false
	}
	s := f.Doc.Find(f.event.Session)
	return s != nil && s.Status == sdk.SessionActive && f.happened().Sub(s.Updated) <= profile.Inactivity
}

// open begins a session with the event at hand.
func (f *Fold) open(at time.Time) *record.Session {
	doc := f.Doc
	doc.Sessions = slices.DeleteFunc(doc.Sessions, func(s *record.Session) bool {
		return s.Status == sdk.SessionEnded && at.Sub(s.Updated) > endedKept
	})
	f.bound(sessionsKept-1, f.tellFirst)
	s := &record.Session{
		// A session may move from one profile to another, so its revisions start
		// from the clock: those of the later profile are higher.
		Session: sdk.Session{
			ID: f.event.Session, Profile: doc.Profile.ID, Started: at, Updated: at, Status: sdk.SessionActive,
			Context: firstContext(&f.event), Revision: uint64(f.event.Received.UnixMilli()),
		},
		Transient: f.transientSession,
	}
	doc.Sessions = append(doc.Sessions, s)
	f.visit(s, at)
	f.tellFirst(at, s.ID, record.TypeSessionOpened, append(sessionProperty(s), '}'))
	f.tellVisit(s, at, false)
	return s
}

// visit begins a visit.
func (f *Fold) visit(s *record.Session, at time.Time) {
	s.Status, s.Ended, s.Updated = sdk.SessionActive, time.Time{}, at
	s.Visit, s.Earlier = at, s.Events
	s.Visits++
	f.Doc.Profile.Stats.Visits++ // before it is told: rules go by it
}

func (f *Fold) tellVisit(s *record.Session, at time.Time, reopened bool) {
	s.Revision++
	p := strconv.AppendInt(append(sessionProperty(s), `,"visit":`...), s.Visits, 10)
	p = strconv.AppendBool(append(p, `,"reopened":`...), reopened)
	f.tellFirst(at, s.ID, record.TypeVisitStarted, append(p, '}'))
}

// A teller tells, by a system event, what has happened at a time to a session.
type teller func(at time.Time, session, kind string, properties []byte)

// close ends a session, at a time.
func (f *Fold) close(s *record.Session, at time.Time, tell teller) {
	s.Profile = f.Doc.Profile.ID
	s.Status, s.Ended = sdk.SessionEnded, at
	s.Revision++
	p := strconv.AppendInt(append(sessionProperty(s), `,"visit":`...), s.Visits, 10)
	p = sdk.AppendTime(append(p, `,"started":`...), s.Visit)
	p = sdk.AppendTime(append(p, `,"ended":`...), at)
	p = sdk.AppendValue(append(p, `,"duration":`...), s.Updated.Sub(s.Visit).Seconds())
	p = strconv.AppendInt(append(p, `,"events":`...), s.Events-s.Earlier, 10)
	tell(at, s.ID, record.TypeVisitEnded, append(p, '}'))
}

// bound lets go of the sessions beyond so many. Those that are still open end.
func (f *Fold) bound(most int, tell teller) {
	for len(f.Doc.Sessions) > most {
		last := len(f.Doc.Sessions) - 1
		if s := f.Doc.Sessions[last]; s.Status == sdk.SessionActive {
			end := s.Updated.Add(profile.Inactivity)
			if end.After(f.Command.Received) {
				end = later(s.Updated, f.Command.Received)
			}
			f.close(s, end, tell)
		}
		f.Doc.Sessions = f.Doc.Sessions[:last] // of the document that there is now
	}
}

// endVisits ends the sessions that have had no event for too long.
func (f *Fold) endVisits() {
	for i := range f.Doc.Sessions {
		s := f.Doc.Sessions[i]
		if end := s.Updated.Add(profile.Inactivity); s.Status == sdk.SessionActive && !end.After(f.Command.Received) {
			f.close(s, end, f.tellOf)
			f.changed(0) // also where there was no room to count what was told
		}
	}
}

// visitsDue is when the first of the open sessions ends, if no event comes.
func visitsDue(doc *record.Document) (due int64) {
	for _, s := range doc.Sessions {
		if s.Status == sdk.SessionActive {
			due = sooner(due, s.Updated.Add(profile.Inactivity).UnixMilli())
		}
	}
	return due
}

func sessionProperty(s *record.Session) []byte {
	return sdk.AppendString(append(make([]byte, 0, 160), `{"session":`...), s.ID)
}

// toFront moves one to the front of a list.
func toFront(list []*record.Session, s *record.Session) []*record.Session {
	if list[0] != s {
		i := slices.Index(list, s)
		copy(list[1:i+1], list[:i])
		list[0] = s
	}
	return list
}

func firstContext(e *sdk.Event) map[string]any {
	if e.Context.IsEmpty() {
		return nil
	}
	kept := map[string]any{}
	for _, name := range sessionFields {
		if v, ok := e.Context.View()[name]; ok {
			kept[name] = v
		}
	}
	return kept
}
