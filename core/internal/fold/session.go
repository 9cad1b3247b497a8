package fold

import (
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// inactivity ends a visit: the longest time between two of its events.
const inactivity = 30 * time.Minute

// sessionFields are the parts of an event's context that a session keeps from
// its first event.
var sessionFields = [...]string{"app", "device", "geo", "os", "utm"}

// visit enters an event into the session that it names and returns the session
// that this ended, if it did, and whether that is one which the query store does not
// have. An event without a session opens none; a transient one makes none known.
func visit(doc *record.Document, e *sdk.Event, transient bool) (ended *sdk.Session, unknown bool) {
	if e.Session == "" {
		return nil, false
	}
	s := doc.Session
	if s != nil && s.ID != e.Session && s.Status == sdk.SessionActive {
		old := *s
		old.Status, old.Ended = sdk.SessionEnded, old.Updated
		old.Revision++
		ended, unknown = &old, doc.TransientSession
	}
	doc.TransientSession = transient && (s == nil || s.ID != e.Session || doc.TransientSession)
	if s == nil || s.ID != e.Session {
		doc.Profile.Stats.Visits++
		// A session may move from one profile to another, so its revisions
		// start from the clock: those of the later profile are higher.
		s = &sdk.Session{
			ID: e.Session, Started: e.Time, Updated: e.Time, Context: firstContext(e),
			Revision: uint64(e.Received.UnixMilli()),
		}
	} else if e.Time.Sub(s.Updated) > inactivity {
		doc.Profile.Stats.Visits++
	}
	next := *s
	next.Profile, next.Status, next.Ended = doc.Profile.ID, sdk.SessionActive, time.Time{}
	next.Events++
	next.Revision++
	if e.Time.Before(next.Started) {
		next.Started = e.Time
	}
	if e.Time.After(next.Updated) {
		next.Updated = e.Time
	}
	doc.Session = &next
	return ended, unknown
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
