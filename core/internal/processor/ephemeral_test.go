package processor

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const kinds = countingType + `
---
kind: source
id: passing
spec: {ephemeral: true}
---
kind: source
id: shy
spec: {ip: truncate}
---
kind: source
id: bare
spec: {enrich: false}
---
kind: source
id: seeing
spec: {fingerprint: 15m}
`

// startEnriching runs a processor that enriches, with the sources above. What
// ahead holds is how far its clock is ahead.
func startEnriching(t *testing.T) (n *node, ahead *atomic.Int64) {
	t.Helper()
	ahead = &atomic.Int64{}
	dir := t.TempDir()
	n, stopReplies := attach(t, openBus(t, dir, bus.DurabilityProcess), dir)
	resources, err := config.Parse("test.yaml", []byte(kinds))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	n.p, err = New(t.Context(), Options{
		Bus: n.bus, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
		Enrich: enrich.New(nil), Now: func() time.Time { return clock().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.run(stopReplies)
	n.configure()
	return n, ahead
}

// of is an event of a source and a session.
func (n *node) of(source, session, id, user, token string) *record.Command {
	c := n.adds(id, user, 1, token)
	c.ID, c.Event.Source, c.Event.Session = record.EventID(source, id), source, session
	return c
}

func TestEphemeralEvents(t *testing.T) {
	n, ahead := startEnriching(t)
	profile := n.bus.DerivedProfile(record.KindUser, "ann", 0)
	holder := func(session string) string {
		t.Helper()
		id, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(record.KindSessionID, session))
		if err != nil && id.Profile != "" {
			t.Fatal(err)
		}
		return id.Profile
	}
	n.send(n.of("test", "s1", "a", "ann", "1"), n.of("passing", "s1", "b", "ann", "2"), n.of("passing", "s2", "c", "ann", "3"))
	for i, session := range []string{"s1", "", ""} {
		if o := n.outcome(fmt.Sprint(i + 1)); o.Status != record.StatusAccepted || o.Profile != profile || o.Session != session || !o.Valid {
			t.Errorf("outcome %d is %+v", i+1, o)
		}
	}
	n.send(n.of("passing", "s1", "b", "ann", "4"))
	if o := n.outcome("4"); o.Status != record.StatusDuplicate {
		t.Errorf("a repetition is %+v", o)
	}
	doc := n.document(profile)
	if sum, _ := (sdk.Path{"sum"}).Get(doc.Profile.Counters); sdk.TypeName(sum) == "null" || fmt.Sprint(sum) != "3" {
		t.Errorf("the counter is %v", doc.Profile.Counters)
	}
	if len(doc.Sessions) != 1 || doc.Sessions[0].ID != "s1" || doc.Sessions[0].Events != 1 || doc.Profile.Stats.Visits != 1 {
		t.Errorf("sessions %+v, stats %+v", doc.Sessions, doc.Profile.Stats)
	}
	if got := holder("s2"); got != "" {
		t.Errorf("the session s2 is held by %q", got)
	}
	// The session of somebody else tells whom it is about, and stays theirs.
	n.send(n.of("passing", "s1", "d", "bob", "5"))
	n.outcome("5")
	if got := holder("s1"); got != profile {
		t.Errorf("the session s1 is held by %q", got)
	}
	// A session in use is written again once an hour, but not for these events.
	_, before, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(record.KindSessionID, "s1"))
	if err != nil {
		t.Fatal(err)
	}
	for i, source := range []string{"passing", "test"} {
		ahead.Add(int64(2 * time.Hour))
		token := fmt.Sprint(6 + i)
		n.send(n.of(source, "s1", token, "ann", token), n.of(source, "", token+"b", "ann", token+"b"))
		n.outcome(token + "b")
		_, now, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(record.KindSessionID, "s1"))
		if err != nil || now != before != (source == "test") {
			t.Errorf("after an event of %s the session's key has the revision %d, before %d; %v", source, now, before, err)
		}
	}
	marked := 0
	for _, e := range n.events() {
		if strings.Contains(string(e.Data), `"transient":true`) != strings.Contains(string(e.Data), `"source":"passing"`) {
			t.Errorf("%s", e.Data)
		}
		if strings.Contains(string(e.Data), `"transient":true`) {
			marked++
		}
	}
	if marked != 5 {
		t.Errorf("%d events are ephemeral", marked)
	}
}

// An event that was taken in from an ephemeral source stays one, where the source is
// deleted before it is processed, or is ephemeral no more.
func TestEphemeralEventsOutliveTheirSource(t *testing.T) {
	n, _ := startEnriching(t)
	profile := n.bus.DerivedProfile(record.KindUser, "ann", 0)
	marked := func(source, id string) *record.Command {
		c := n.of(source, "s-"+id, id, "ann", id)
		c.Event.Ephemeral = true
		return c
	}
	n.send(marked("deleted", "a"), marked("test", "b"), n.of("deleted", "s-c", "c", "ann", "c"))
	for id, session := range map[string]string{"a": "", "b": "", "c": "s-c"} {
		if o := n.outcome(id); o.Status != record.StatusAccepted || o.Profile != profile || o.Session != session {
			t.Errorf("the outcome of %s is %+v", id, o)
		}
	}
	if doc := n.document(profile); fmt.Sprint(doc.Profile.Counters["sum"]) != "3" || len(doc.Sessions) != 1 || doc.Sessions[0].ID != "s-c" {
		t.Errorf("the profile is %s", doc.AppendJSON(nil))
	}
	for _, session := range []string{"s-a", "s-b"} {
		if id, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(record.KindSessionID, session)); err == nil {
			t.Errorf("the session %s is held by %s", session, id.Profile)
		}
	}
	kept := 0
	for _, e := range n.events() {
		text := string(e.Data)
		if own := strings.Contains(text, `"id":"a"`) || strings.Contains(text, `"id":"b"`); own != strings.Contains(text, `"transient":true`) && !strings.Contains(text, `"source":"system"`) {
			t.Errorf("%s", text)
		} else if own {
			kept++
		}
	}
	if kept != 2 {
		t.Errorf("%d events are ephemeral, want 2", kept)
	}
}

func TestEventsAreEnrichedOnce(t *testing.T) {
	n, _ := startEnriching(t)
	sent := func(source, id, user string) {
		c := n.of(source, "s-"+id, id, user, id)
		c.Event.Context = []byte(`{"ip":"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"}`)
		n.send(c)
		n.outcome(id)
	}
	const firefox = `"device":{"type":"desktop"},"os":{"name":"Linux"},"app":{"name":"Firefox","version":"121.0","bot":false}`
	sent("test", "a", "ann")
	sent("shy", "b", "bob")
	sent("bare", "c", "cay")
	for _, e := range n.events() {
		switch text := string(e.Data); {
		case strings.Contains(text, `"source":"test"`) && strings.Contains(text, `"ip":"203.0.113.7"`) && strings.Count(text, `{"ip"`) == 1 && strings.Contains(text, firefox):
		case strings.Contains(text, `"source":"shy"`) && strings.Contains(text, `"ip":"203.0.113.0"`) && !strings.Contains(text, "113.7") && strings.Contains(text, firefox):
		case strings.Contains(text, `"source":"bare"`) && strings.Contains(text, `"ip":"203.0.113.7"`) && !strings.Contains(text, `"device"`):
		default:
			t.Errorf("%s", text)
		}
	}
	session := n.document(n.bus.DerivedProfile(record.KindUser, "ann", 0)).Sessions[0]
	if text := string(session.AppendJSON(nil)); !strings.Contains(text, `"app":{"bot":false,"name":"Firefox","version":"121.0"},"device":{"type":"desktop"},"os":{"name":"Linux"}`) {
		t.Errorf("%s", text)
	}
}
