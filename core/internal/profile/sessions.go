package profile

import (
	"cmp"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// Inactivity ends a visit: the longest time between two of its events.
const Inactivity = 30 * time.Minute

// uniteSessions makes one of the sessions that both profiles have, and keeps the
// others side by side, the latest first. A visit that went from one profile to the
// other is not counted twice. How many may be kept is the caller's to say.
//
// Each that the other has is this profile's from then on, by a revision that neither had.
func uniteSessions(into, other *record.Document) {
	for _, theirs := range other.Sessions {
		i := slices.IndexFunc(into.Sessions, func(s *record.Session) bool { return s.ID == theirs.ID })
		if i < 0 {
			theirs.Profile = into.Profile.ID
			theirs.Revision++
			into.Sessions = append(into.Sessions, theirs)
			continue
		}
		both, shared := uniteSession(into.Sessions[i], theirs)
		both.Profile = into.Profile.ID
		into.Sessions[i] = both
		into.Profile.Stats.Visits -= shared
	}
	slices.SortStableFunc(into.Sessions, func(a, b *record.Session) int {
		return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.ID, b.ID))
	})
}

// uniteSession makes one session of two with the same id, and says how many of their
// visits both have counted.
func uniteSession(a, b *record.Session) (*record.Session, int64) {
	first, second := a, b
	if b.Started.Before(a.Started) {
		first, second = b, a
	}
	shared := sharedVisits(first, second)
	last, before := second, first
	if first.Updated.After(second.Updated) {
		last, before = first, second
	}
	both := *last
	both.Started, both.Context = first.Started, first.Context
	both.Events += before.Events
	both.Visits += before.Visits - shared
	both.Earlier += before.Events
	if shared > 0 && !last.Visit.After(before.Updated.Add(Inactivity)) {
		// Their latest visits are one.
		both.Earlier = a.Earlier + b.Earlier
		if before.Visit.Before(both.Visit) {
			both.Visit = before.Visit
		}
	}
	both.Revision = max(a.Revision, b.Revision) + 1
	both.Transient = a.Transient && b.Transient
	return &both, shared
}

// sharedVisits is how many visits of a session two profiles have both counted, as far
// as can be told, of which first has the earlier event. Usually the session went from
// one to the other, in the midst of a visit or between two; else it went to and fro.
func sharedVisits(first, second *record.Session) int64 {
	switch {
	case second.Started.After(first.Updated.Add(Inactivity)):
		return 0
	case second.Started.Before(first.Visit):
		return min(first.Visits, second.Visits)
	}
	return 1
}
