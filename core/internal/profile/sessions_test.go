package profile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// kept is a session from one minute after noon to another, of which the latest visit
// began at a third.
func kept(id string, started, visit, updated, visits, events int) *record.Session {
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	return &record.Session{
		Session: sdk.Session{
			ID: id, Profile: "old", Started: at(started), Updated: at(updated), Status: sdk.SessionActive, Events: int64(events), Revision: uint64(updated),
			Context: map[string]any{"os": fmt.Sprint(started)},
		},
		Visits: int64(visits), Visit: at(visit), Earlier: int64(visits) - 1,
	}
}

// A visit that two profiles have both counted is counted once when they become one,
// whichever of them absorbs the other.
func TestVisitsAreNotCountedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		mine, theirs []*record.Session
		visits       int64  // of both together
		want         string // sessions: from, latest visit, to; visits, events
	}{
		"none": {nil, nil, 0, ""},
		"one each": {
			[]*record.Session{kept("a", 0, 0, 10, 1, 3)}, []*record.Session{kept("b", 1, 1, 20, 1, 2)},
			2, "b 1-1-20 1/2, a 0-0-10 1/3",
		},
		"one alone": {nil, []*record.Session{kept("b", 1, 1, 20, 1, 2)}, 1, "b 1-1-20 1/2"},
		"it went over within a visit": {
			[]*record.Session{kept("a", 0, 0, 10, 1, 3)}, []*record.Session{kept("a", 12, 12, 20, 1, 2)},
			1, "a 0-0-20 1/5",
		},
		"and there was another visit since": {
			[]*record.Session{kept("a", 0, 0, 10, 1, 3)}, []*record.Session{kept("a", 12, 90, 95, 2, 4)},
			2, "a 0-90-95 2/7",
		},
		"it went over between two visits": {
			[]*record.Session{kept("a", 0, 0, 10, 1, 3)}, []*record.Session{kept("a", 60, 60, 70, 1, 2)},
			2, "a 0-60-70 2/5",
		},
		"in the last of three visits": {
			[]*record.Session{kept("a", 0, 100, 110, 3, 6)}, []*record.Session{kept("a", 112, 112, 120, 1, 2)},
			3, "a 0-100-120 3/8",
		},
		"to and fro": {
			[]*record.Session{kept("a", 0, 60, 75, 2, 6)}, []*record.Session{kept("a", 5, 62, 70, 2, 4)},
			2, "a 0-60-75 2/10",
		},
		"several": {
			[]*record.Session{kept("b", 30, 30, 40, 1, 1), kept("a", 0, 0, 10, 1, 3)}, []*record.Session{kept("c", 20, 20, 50, 1, 1), kept("a", 12, 12, 20, 1, 2)},
			3, "c 20-20-50 1/1, b 30-30-40 1/1, a 0-0-20 1/5",
		},
	} {
		for _, turned := range []bool{false, true} {
			into, other := emptyDocument(), emptyDocument()
			other.Profile.ID = "q"
			copied := func(list []*record.Session) (out []*record.Session) {
				for _, s := range list {
					one := *s
					out = append(out, &one)
				}
				return out
			}
			into.Sessions, other.Sessions = copied(c.mine), copied(c.theirs)
			if turned {
				into.Sessions, other.Sessions = copied(c.theirs), copied(c.mine)
			}
			newest := uint64(0)
			for _, d := range []*record.Document{into, other} {
				for _, s := range d.Sessions {
					d.Profile.Stats.Visits += s.Visits
					if s.ID == "a" {
						newest = max(newest, s.Revision)
					}
				}
			}
			both := len(c.mine) > 0 && len(c.theirs) > 0 && strings.Count(c.want, "a ") == 1 && c.mine[len(c.mine)-1].ID == "a" && c.theirs[len(c.theirs)-1].ID == "a"
			Unite(into, other, nil, noon)
			var got []string
			for _, s := range into.Sessions {
				m := func(t time.Time) int { return int(t.Sub(noon).Minutes()) }
				got = append(got, fmt.Sprintf("%s %d-%d-%d %d/%d", s.ID, m(s.Started), m(s.Visit), m(s.Updated), s.Visits, s.Events))
				if s.Context["os"] != fmt.Sprint(m(s.Started)) {
					t.Errorf("%s: the context of %s is not that of its first event", name, s.ID)
				}
				if s.ID == "a" && both && s.Revision <= newest {
					t.Errorf("%s: version %d of what both have, after %d", name, s.Revision, newest)
				}
			}
			if text := strings.Join(got, ", "); text != c.want || into.Profile.Stats.Visits != c.visits {
				t.Errorf("%s, turned %t: %s with %d visits, want %s with %d", name, turned, text, into.Profile.Stats.Visits, c.want, c.visits)
			}
		}
	}
}
