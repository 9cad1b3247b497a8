package fold

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// An index is what the query store of a world has of sessions. It reads what commits
// tell, of each partition in order and each commit once.
type index struct {
	sessions map[string]sdk.Session // by profile and session
	last     map[int]uint64         // commit read, by partition
}

func newIndex() *index { return &index{sessions: map[string]sdk.Session{}, last: map[int]uint64{}} }

func (x *index) read(c *commitment) {
	if c.id.C <= x.last[c.id.Partition] {
		return
	}
	x.last[c.id.Partition] = c.id.C
	for i := range c.told {
		message := sdk.RawView(c.told[i].Data)
		if left := message.At("left"); left.IsObject() {
			profile, _ := left.String("profile")
			list, _ := left.List("sessions")
			for _, session := range list {
				delete(x.sessions, fmt.Sprint(profile, "/", session))
			}
			continue
		}
		text := message.At("session")
		if !text.IsObject() {
			continue
		}
		var s sdk.Session
		if err := s.UnmarshalJSON(text.Raw()); err != nil {
			panic(err)
		}
		if id := s.Profile + "/" + s.ID; x.sessions[id].Revision < s.Revision {
			x.sessions[id] = s
		}
	}
}

// check holds that the index has the sessions of a live profile as its document has
// them, and none of a profile that is one no more. Of one that was erased it is emptied
// by who erases.
func (x *index) check(documents map[string]*record.Document) error {
	for id, doc := range documents {
		if doc.State != record.StateLive {
			continue
		}
		for _, s := range doc.Sessions {
			there, ok := x.sessions[id+"/"+s.ID]
			if !ok || there.Revision != s.Revision || there.Status != s.Status || there.Events != s.Events {
				return fmt.Errorf("session %s of %s is %+v, the store has %+v", s.ID, id, s.Session, there)
			}
		}
	}
	for at, s := range x.sessions {
		doc := documents[s.Profile]
		if doc == nil || doc.State == record.StateRedirect || doc.State == record.StateLive && doc.Find(s.ID) == nil {
			return fmt.Errorf("the store has the session %s, which nobody has", at)
		}
	}
	return nil
}
