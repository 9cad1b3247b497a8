package processor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// TestEventsThatLeaveTheirProfile has events that leave their profile as it is: of
// somebody known, of somebody by a new session and address, and of a stranger.
func TestEventsThatLeaveTheirProfile(t *testing.T) {
	n, _ := startEnriching(t)
	profile := n.bus.DerivedProfile(record.KindUser, "ann", 0)
	holder := func(kind, value string) string {
		id, _, _ := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(kind, value)) // none: nobody
		return id.Profile
	}
	n.send(n.of("test", "s1", "a", "ann", "1"))
	n.outcome("1")
	before := n.document(profile)

	leaving := func(session, id, user, token string, more ...record.Identifier) *record.Command {
		c := n.of("test", session, id, user, token)
		c.Event.TransientProfile, c.Event.IDs = true, append(c.Event.IDs, more...)
		return c
	}
	n.send(leaving("s1", "b", "ann", "2"))
	n.send(leaving("s2", "c", "ann", "3", record.Identifier{Kind: record.KindEmail, Value: "ann@mail.example"}))
	for _, token := range []string{"2", "3"} {
		if o := n.outcome(token); o.Status != record.StatusAccepted || !o.Valid || o.Profile != profile || o.Revision != before.Profile.Revision {
			t.Errorf("outcome %s is %+v", token, o)
		}
	}
	n.send(leaving("s1", "b", "ann", "4"))
	if o := n.outcome("4"); o.Status != record.StatusDuplicate {
		t.Errorf("a repetition is %+v", o)
	}
	n.send(leaving("s3", "d", "bob", "5"))
	if o := n.outcome("5"); o.Status != record.StatusAccepted || !o.Valid || o.Profile != "" {
		t.Errorf("a stranger's is %+v", o)
	}

	if after := n.document(profile); string(after.AppendJSON(nil)) != string(before.AppendJSON(nil)) {
		t.Errorf("the profile is %s, was %s", after.AppendJSON(nil), before.AppendJSON(nil))
	}
	if n.document(n.bus.DerivedProfile(record.KindUser, "bob", 0)) != nil {
		t.Error("a stranger has a profile")
	}
	for kind, value := range map[string]string{record.KindEmail: "ann@mail.example", record.KindSessionID: "s2", record.KindUser: "bob"} {
		if who := holder(kind, value); who != "" {
			t.Errorf("the %s %s is held by %s", kind, value, who)
		}
	}
	told := 0
	sessions := map[string]string{}
	for _, e := range n.events() {
		event := sdk.RawView(e.Data)
		if id, _ := event.String("event.id"); id == "a" {
			continue
		}
		told++
		name, _ := event.String("event.id")
		sessions[name] = string(event.At("session.events").Raw())
		text := string(e.Data)
		if !strings.Contains(text, `"transient_session":true`) || strings.Contains(text, `"changes"`) || strings.Contains(text, `"ended"`) {
			t.Errorf("%s", e.Data)
		}
	}
	if told != 3 {
		t.Errorf("%d events, want 3", told)
	}
	// They speak of a session as it was, and of none that has not begun.
	if got := fmt.Sprint(sessions); got != "map[b:1 c:null d:null]" {
		t.Errorf("their sessions have so many events: %s", got)
	}
	// What comes after them goes on from what was there.
	n.send(n.of("test", "s1", "e", "ann", "6"))
	if o := n.outcome("6"); o.Revision != before.Profile.Revision+1 || o.Session != "s1" {
		t.Errorf("the next one is %+v", o)
	}
}
