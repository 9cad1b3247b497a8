package fold

import "github.com/tributary-bus/tributary/core/internal/record"

// The query store knows a session by its profile's id and its own. So that it has each
// session of a person once, a profile that becomes part of another says that its
// sessions are not its own any more, after all that it said of them; and the other says
// of each what has become of it. Each says so in its own partition, whose order readers
// keep. A session that the profile had let go of before has ended, and stays where it is.

// leaveSessions tells that the profile's sessions become another's.
func (f *Fold) leaveSessions() {
	if len(f.Doc.Sessions) == 0 {
		return
	}
	left := record.Left{Profile: f.Doc.Profile.ID}
	for _, s := range f.Doc.Sessions {
		left.Sessions = append(left.Sessions, s.ID)
	}
	f.tellBeside(left.AppendJSON(nil))
}

// sessionsOf are the profile's sessions that the other document has, too.
func (f *Fold) sessionsOf(other *record.Document) (list []*record.Session) {
	if other == nil {
		return nil
	}
	for _, s := range f.Doc.Sessions {
		if other.Find(s.ID) != nil {
			list = append(list, s)
		}
	}
	return list
}

// tellSessions tells how sessions are now, but for those that the query store is not to
// have.
func (f *Fold) tellSessions(list []*record.Session) {
	for _, s := range list {
		if !s.Transient {
			f.tellBeside(record.AppendMoved(nil, &s.Session))
		}
	}
}

// tellBeside sends what is no event.
func (f *Fold) tellBeside(data []byte) {
	f.result.Changes = append(f.result.Changes, record.Processed{Type: record.TypeChange, Data: data, Hops: f.Command.Hops})
}
