package fold

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// within is an event of a session, so many minutes after noon, that is received as it
// happens. An x behind the session keeps it out of the query store.
func within(session string, minute int) *record.Command {
	c := command("page-view", `{}`)
	at := noon.Add(time.Duration(minute) * time.Minute)
	c.Event.Session, c.Event.TransientSession = strings.TrimSuffix(session, "x"), strings.HasSuffix(session, "x")
	c.Event.ID = fmt.Sprint(session, minute)
	c.ID, c.Event.Time, c.Received = record.EventID(c.Event.Source, c.Event.ID), at, at
	c.Event.Context = []byte(`{"os":{"name":"Linux"},"page":{"url":"/"}}`)
	return c
}

// late is an event that is received later than it happened.
func late(session string, minute, received int) *record.Command {
	c := within(session, minute)
	c.Received = noon.Add(time.Duration(received) * time.Minute)
	return c
}

func due(minute int) *record.Command {
	at := noon.Add(time.Duration(minute) * time.Minute)
	return &record.Command{Kind: record.KindDue, ID: record.DueID("p1", at), Profile: "p1", Received: at}
}

// A teller's book is what commands told, in order, and the profile after them.
type book struct {
	doc  *record.Document
	told []*sent
}

// tellAll applies commands to one profile, one after another.
func tellAll(r *Rules, commands ...*record.Command) *book {
	b := &book{}
	for _, c := range commands {
		b.add(r, c)
	}
	return b
}

func (b *book) add(r *Rules, c *record.Command) {
	result := once(r, b.doc, c)
	b.doc = result.Doc
	for _, e := range result.Events {
		text := slices.Clone(e.Data)
		b.told = append(b.told, &sent{sdk.RawView(text), text})
	}
}

// String is each event with what tells it from others, the system's types shortened.
func (b *book) String() string {
	var list []string
	for _, e := range b.told {
		kind, _ := e.String("event.type")
		session, _ := e.String("event.session")
		switch kind {
		case record.TypeProfileCreated:
			kind = "created"
		case record.TypeSessionOpened:
			kind = "opened"
		case record.TypeVisitStarted:
			kind = "started" + e.at("event.properties.visit")
		case record.TypeVisitEnded:
			kind = "ended" + e.at("event.properties.visit")
		case "page-view":
			kind = "-"
		}
		list = append(list, strings.TrimSuffix(kind+" "+session, " "))
	}
	return strings.Join(list, ", ")
}

// sessions are those of a profile, the latest first: status, minutes from start to the
// latest event, events, visits.
func sessions(doc *record.Document) string {
	var list []string
	for _, s := range doc.Sessions {
		list = append(list, fmt.Sprintf("%s %s %v-%v %d/%d", s.ID, s.Status, s.Started.Sub(noon).Minutes(), s.Updated.Sub(noon).Minutes(), s.Events, s.Visits))
	}
	return strings.Join(list, ", ")
}

func TestVisits(t *testing.T) {
	r := compile(t, shop)
	for name, c := range map[string]struct {
		commands []*record.Command
		told     string
		sessions string
		due      int // minutes after noon, 0: nothing
	}{
		"a stranger": {
			[]*record.Command{within("a", 1)},
			"created, opened a, started1 a, - a", "a active 1-1 1/1", 31,
		},
		"without a session": {[]*record.Command{within("", 1), due(90)}, "created, -", "", 0},
		"one visit": {
			[]*record.Command{within("a", 1), within("a", 31), within("", 40), within("a", 61)},
			"created, opened a, started1 a, - a, - a, -, - a", "a active 1-61 3/1", 91,
		},
		"a pause": {
			[]*record.Command{within("a", 1), within("a", 2), within("a", 33)},
			"created, opened a, started1 a, - a, - a, ended1 a, started2 a, - a", "a active 1-33 3/2", 63,
		},
		"two devices": {
			[]*record.Command{within("a", 1), within("b", 2), within("a", 3), within("b", 4)},
			"created, opened a, started1 a, - a, opened b, started1 b, - b, - a, - b", "b active 2-4 2/1, a active 1-3 2/1", 33,
		},
		"it is over": {
			[]*record.Command{within("a", 1), due(31)},
			"created, opened a, started1 a, - a, ended1 a", "a ended 1-1 1/1", 0,
		},
		"not yet": {
			[]*record.Command{within("a", 1), due(30)},
			"created, opened a, started1 a, - a", "a active 1-1 1/1", 31,
		},
		"it went on": {
			[]*record.Command{within("a", 1), within("a", 20), due(31)},
			"created, opened a, started1 a, - a, - a", "a active 1-20 2/1", 50,
		},
		"twice due": {
			[]*record.Command{within("a", 1), due(31), due(31), due(32)},
			"created, opened a, started1 a, - a, ended1 a", "a ended 1-1 1/1", 0,
		},
		"both are over": {
			[]*record.Command{within("a", 1), within("b", 2), due(32)},
			"created, opened a, started1 a, - a, opened b, started1 b, - b, ended1 b, ended1 a", "b ended 2-2 1/1, a ended 1-1 1/1", 0,
		},
		"one of two is over": {
			[]*record.Command{within("a", 1), within("b", 2), due(31)},
			"created, opened a, started1 a, - a, opened b, started1 b, - b, ended1 a", "b active 2-2 1/1, a ended 1-1 1/1", 32,
		},
		"re-opened": {
			[]*record.Command{within("a", 1), due(31), within("a", 40)},
			"created, opened a, started1 a, - a, ended1 a, started2 a, - a", "a active 1-40 2/2", 70,
		},
		"re-opened and over again": {
			[]*record.Command{within("a", 1), due(31), within("a", 40), within("a", 41), due(71)},
			"created, opened a, started1 a, - a, ended1 a, started2 a, - a, - a, ended2 a", "a ended 1-41 3/2", 0,
		},
		"late, into the visit": {
			[]*record.Command{within("a", 10), within("a", 20), late("a", 15, 21)},
			"created, opened a, started1 a, - a, - a, - a", "a active 10-20 3/1", 50,
		},
		"late, before the session": {
			[]*record.Command{within("a", 50), late("a", 1, 51)},
			"created, opened a, started1 a, - a, - a", "a active 1-50 2/1", 80,
		},
		"late, when the visit is over": {
			[]*record.Command{within("a", 1), due(31), late("a", 20, 60)},
			"created, opened a, started1 a, - a, ended1 a, - a", "a ended 1-20 2/1", 0,
		},
		"late, and the visit is not over after all": {
			[]*record.Command{within("a", 1), due(31), late("a", 30, 32), within("a", 50), due(80)},
			"created, opened a, started1 a, - a, ended1 a, - a, - a, ended1 a", "a ended 1-50 3/1", 0,
		},
		"late, before the last visit": {
			[]*record.Command{within("a", 1), within("a", 60), late("a", 10, 61)},
			"created, opened a, started1 a, - a, ended1 a, started2 a, - a, - a", "a active 1-60 3/2", 90,
		},
		"of long ago": {
			[]*record.Command{late("a", 1, 600), late("a", 20, 600), late("a", 90, 600), due(600)},
			"created, opened a, started1 a, - a, - a, ended1 a, started2 a, - a, ended2 a", "a ended 1-90 3/2", 0,
		},
		"of long ago, with what is due between": {
			[]*record.Command{late("a", 1, 600), due(600), late("a", 20, 601), due(601), late("a", 90, 602), due(602)},
			"created, opened a, started1 a, - a, ended1 a, - a, started2 a, - a, ended2 a", "a ended 1-90 3/2", 0,
		},
		"a clock that is ahead": {
			[]*record.Command{late("a", 500, 1), within("a", 20)},
			"created, opened a, started1 a, - a, - a", "a active 1-20 2/1", 50,
		},
	} {
		b := tellAll(r, c.commands...)
		if got := b.String(); got != c.told {
			t.Errorf("%s: told %s\nwant %s", name, got, c.told)
		}
		if got := sessions(b.doc); got != c.sessions {
			t.Errorf("%s: sessions are %s\nwant %s", name, got, c.sessions)
		}
		want := int64(0)
		if c.due > 0 {
			want = noon.Add(time.Duration(c.due) * time.Minute).UnixMilli()
		}
		if b.doc.Due != want {
			t.Errorf("%s: due at %s, want %d minutes after noon", name, time.UnixMilli(b.doc.Due).UTC(), c.due)
		}
		if visits := int64(strings.Count(b.String(), "started")); b.doc.Profile.Stats.Visits != visits || b.doc.Profile.Stats.Events[record.TypeVisitStarted].Count != visits {
			t.Errorf("%s: %d visits are counted, %d told", name, b.doc.Profile.Stats.Visits, visits)
		}
		text := b.doc.AppendJSON(nil)
		if again, err := record.ParseDocument(text); err != nil || string(again.AppendJSON(nil)) != string(text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the sessions of a person become does not depend on how the events of one lie
// among those of the others, nor on the order of those of one visit.
func TestSessionsDoNotDependOnOneAnother(t *testing.T) {
	r := compile(t, shop)
	events := map[string][]int{"a": {0, 10, 25}, "b": {5, 50, 55}, "c": {20}}
	var want string
	seen := 0
	var try func(left map[string][]int, so []*record.Command)
	try = func(left map[string][]int, so []*record.Command) {
		ended := true
		for id, minutes := range left {
			if len(minutes) == 0 {
				continue
			}
			ended = false
			next := map[string][]int{}
			for other, m := range left {
				next[other] = m
			}
			next[id] = minutes[1:]
			try(next, append(so[:len(so):len(so)], late(id, minutes[0], 55)))
		}
		if !ended {
			return
		}
		seen++
		b := tellAll(r, append(so, due(100))...)
		list := strings.Split(sessions(b.doc), ", ")
		slices.Sort(list)
		got := fmt.Sprintln(list, b.doc.Profile.Stats.Visits, b.doc.Profile.Stats.Events[record.TypeVisitEnded].Count)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s\nbecomes %swant %s", b, got, want)
		}
	}
	try(events, nil)
	if !strings.Contains(want, "a ended 0-25 3/1 b ended 5-55 3/2 c ended 20-20 1/1") || seen != 140 {
		t.Errorf("%d orders: %s", seen, want)
	}
	for _, order := range [][]int{{0, 10, 25}, {0, 25, 10}, {10, 0, 25}, {10, 25, 0}, {25, 0, 10}, {25, 10, 0}} {
		var commands []*record.Command
		for _, minute := range order {
			commands = append(commands, late("a", minute, 26))
		}
		b := tellAll(r, append(commands, due(55))...)
		last := b.told[len(b.told)-1]
		if got := sessions(b.doc); got != "a ended 0-25 3/1" || last.at("event.properties.duration") != "1500" || last.at("event.properties.events") != "3" {
			t.Errorf("%v: %s, %s", order, got, last.text)
		}
	}
}

func TestWhatVisitsTell(t *testing.T) {
	r := compile(t, shop)
	b := tellAll(r, within("a", 1), within("a", 2), within("a", 60), within("a", 70), due(100))
	of := func(i int) *sent { return b.told[i] }
	if b.String() != "created, opened a, started1 a, - a, - a, ended1 a, started2 a, - a, - a, ended2 a" {
		t.Fatal(b)
	}
	for i, want := range map[int]string{
		0: `{"type":"profile-created","time":"2026-03-01T12:01:00.000Z","properties":{}}`,
		1: `{"type":"session-opened","time":"2026-03-01T12:01:00.000Z","properties":{"session":"a"}}`,
		2: `{"type":"visit-started","time":"2026-03-01T12:01:00.000Z","properties":{"session":"a","visit":1,"reopened":false}}`,
		5: `{"type":"visit-ended","time":"2026-03-01T12:32:00.000Z","properties":{"session":"a","visit":1,"started":"2026-03-01T12:01:00.000Z","ended":"2026-03-01T12:32:00.000Z","duration":60,"events":2}}`,
		6: `{"type":"visit-started","time":"2026-03-01T13:00:00.000Z","properties":{"session":"a","visit":2,"reopened":true}}`,
		9: `{"type":"visit-ended","time":"2026-03-01T13:40:00.000Z","properties":{"session":"a","visit":2,"started":"2026-03-01T13:00:00.000Z","ended":"2026-03-01T13:40:00.000Z","duration":600,"events":2}}`,
	} {
		e := of(i)
		got := fmt.Sprintf(`{"type":%s,"time":%s,"properties":%s}`, e.at("event.type"), e.at("event.time"), e.at("event.properties"))
		if got != want || e.at("event.source") != `"system"` || e.at("event.profile") != `"p1"` {
			t.Errorf("event %d is %s\nwant %s", i, got, want)
		}
	}
	// Each carries the session as it was then, in versions that grow; those that one
	// command tells share the profile's revision with its event.
	version, id := int64(0), map[string]bool{}
	for i, e := range b.told {
		if id[e.at("event.id")] {
			t.Errorf("event %d has the id of another", i)
		}
		id[e.at("event.id")] = true
		if i == 0 {
			continue
		}
		var s sdk.Session
		if err := s.UnmarshalJSON([]byte(e.at("session"))); err != nil {
			t.Fatal(err)
		}
		if int64(s.Revision) <= version {
			t.Errorf("event %d has version %d of the session after %d", i, s.Revision, version)
		}
		version = int64(s.Revision)
		if ended := e.at("event.type") == `"visit-ended"`; ended != (s.Status == sdk.SessionEnded) || ended == s.Ended.IsZero() {
			t.Errorf("event %d: session %s", i, e.at("session"))
		}
	}
	var revisions []string
	for _, e := range b.told {
		revisions = append(revisions, e.at("revision"))
	}
	if got := strings.Join(revisions, " "); got != "1 1 1 1 2 3 3 3 4 5" {
		t.Errorf("revisions %s", got)
	}
	stats := b.doc.Profile.Stats
	if !stats.LastSeen.Equal(noon.Add(70*time.Minute)) || stats.Visits != 2 {
		t.Errorf("stats %+v", stats)
	}
	// The same commands tell by the same events.
	again := tellAll(r, within("a", 1), within("a", 2), within("a", 60), within("a", 70), due(100))
	for i := range b.told {
		if string(again.told[i].text) != string(b.told[i].text) {
			t.Errorf("event %d is\n%s, then\n%s", i, b.told[i].text, again.told[i].text)
		}
	}
}

// A session that is gone back to is the same one: its context is that of its first event.
func TestASessionIsGoneBackTo(t *testing.T) {
	r := compile(t, shop)
	other := within("a", 3)
	other.Event.Context = []byte(`{"os":{"name":"Other"}}`)
	b := tellAll(r, within("a", 1), within("b", 2), other)
	s := b.doc.Sessions[0]
	if s.ID != "a" || s.Events != 2 || string(sdk.AppendValue(nil, s.Context)) != `{"os":{"name":"Linux"}}` || b.doc.Profile.Stats.Visits != 2 {
		t.Errorf("%s, %s, %d visits", s.ID, s.AppendJSON(nil), b.doc.Profile.Stats.Visits)
	}
}

func TestTheSessionsUsedLastAreKept(t *testing.T) {
	r := compile(t, shop)
	b := tellAll(r)
	for i := range sessionsKept {
		b.add(r, within(fmt.Sprint("s", i), i))
	}
	b.add(r, within("s0", 9)) // s1 is now the one that was not used for longest
	b.told = nil
	b.add(r, within("new", 10))
	if got := b.String(); got != "ended1 s1, opened new, started1 new, - new" {
		t.Errorf("told %s", got)
	}
	if at := b.told[0].at("event.time"); at != `"2026-03-01T12:10:00.000Z"` { // not half an hour later
		t.Errorf("the one that had to go ended at %s", at)
	}
	if len(b.doc.Sessions) != sessionsKept || b.doc.Find("s1") != nil || b.doc.Sessions[0].ID != "new" || b.doc.Sessions[1].ID != "s0" {
		t.Errorf("kept are %s", sessions(b.doc))
	}
	// What ended long ago makes room, and is told of no more.
	b.add(r, due(60))
	b.told = nil
	b.add(r, within("later", 60*72))
	if got := b.String(); got != "opened later, started1 later, - later" || sessions(b.doc) != "later active 4320-4320 1/1" {
		t.Errorf("told %s, kept are %s", got, sessions(b.doc))
	}
	if ids := identifiersOf(tellAll(r, within("a", 1), within("b", 2)).doc); len(ids) != 2 || ids[0].Value != "b" || ids[1].Value != "a" {
		t.Errorf("the keys of %v lead to the profile", ids)
	}
}

// What an event does not want stored of its session is not stored, and the end of a
// visit is known where the session is: whatever ends it.
func TestTheEndOfASessionIsKnownWhereTheSessionIs(t *testing.T) {
	r := compile(t, shop)
	for name, c := range map[string]struct {
		events string // sessions of events in turn; with an x they are not to be stored
		want   string // the sessions that ended, in order; with an x those that the store does not have
	}{
		"kept":                   {"a", "a"},
		"transient":              {"ax", "ax"},
		"side by side":           {"ax b cx", "ax b cx"},
		"it became known later":  {"ax a", "a"},
		"it was known before":    {"a ax", "a"},
		"gone back to":           {"ax b ax", "ax b"},
		"gone back to and known": {"ax b a", "a b"},
	} {
		for _, by := range []string{"due", "an event"} {
			b := &book{}
			minute := 0
			for _, of := range strings.Fields(c.events) {
				b.add(r, within(of, minute))
				minute++
				last := b.told[len(b.told)-1]
				if last.Exists("transient_session") != strings.HasSuffix(of, "x") {
					t.Errorf("%s: of %s: %s", name, of, last.text)
				}
			}
			b.told = nil
			if by == "due" {
				b.add(r, due(90))
			} else {
				for _, id := range []string{"a", "b", "c"} {
					if strings.Contains(c.events, id) {
						b.add(r, within(id+"x", 90))
					}
				}
			}
			var ends []string
			for _, e := range b.told {
				if id, _ := e.String("event.session"); e.at("event.type") == `"visit-ended"` {
					ends = append(ends, id+map[bool]string{true: "x"}[e.Exists("transient_session")])
					if e.Exists("transient") || e.at("session.status") != `"ended"` {
						t.Errorf("%s: %s", name, e.text)
					}
				}
			}
			slices.Sort(ends)
			if got := strings.Join(ends, " "); got != c.want {
				t.Errorf("%s, ended by %s: %s, want %s", name, by, got, c.want)
			}
		}
	}
}

// What an event that is not to be queried begins is not to be queried either; what it
// ends is.
func TestWhatATransientEventBeginsIsTransient(t *testing.T) {
	r := compile(t, shop)
	first, again := within("ax", 1), within("bx", 60)
	first.Event.Transient, again.Event.Transient = true, true
	b := tellAll(r, first, within("b", 2), again)
	var got []string
	for _, e := range b.told {
		mark := ""
		if e.Exists("transient") {
			mark += "e"
		}
		if e.Exists("transient_session") {
			mark += "s"
		}
		got = append(got, mark)
	}
	// created, opened a, started a, a; opened b, started b, b; ended b, started b, b
	if fmt.Sprintf("%q", got) != `["es" "es" "es" "es" "" "" "" "" "es" "es"]` {
		t.Errorf("%s: %q", b, got)
	}
}

// What a flow sends belongs to a visit that is going on, and neither opens nor
// re-opens one.
func TestWhatAFlowSendsOpensNothing(t *testing.T) {
	r := compile(t, shop)
	for name, c := range map[string]struct {
		before []*record.Command
		minute int
		want   string
	}{
		"going on":  {[]*record.Command{within("a", 1)}, 20, "- a"},
		"another":   {[]*record.Command{within("b", 1)}, 20, "-"},
		"ended":     {[]*record.Command{within("a", 1), due(31)}, 32, "-"},
		"after all": {[]*record.Command{within("a", 1)}, 32, "-"},
	} {
		b := tellAll(r, c.before...)
		b.told = nil
		e := within("a", c.minute)
		e.Hops = 1
		b.add(r, e)
		if b.String() != c.want || b.doc.Profile.Stats.Visits != 1 {
			t.Errorf("%s: %s, %d visits", name, b, b.doc.Profile.Stats.Visits)
		}
	}
}

// The rules of a system event's type see the session that it is about.
func TestRulesOfVisitsSeeTheirSession(t *testing.T) {
	r := compile(t, `
kind: event-type
id: visit-ended
spec:
  when: session.status == "ended"
  copy:
    - {to: counters.seconds, from: event.properties.duration, op: increment}
    - {to: traits.last_os, from: session.os.name, op: set}
  tags: [over]
---
kind: event-type
id: profile-created
spec: {copy: [{to: traits.stage, from: '"new"', op: set-if-missing}]}
---
kind: event-type
id: session-opened
spec: {copy: [{to: data.visits, from: profile.stats.visits, op: append}]}
`)
	b := tellAll(r, within("a", 1), within("a", 3), within("b", 4), due(60))
	p := b.doc.Profile
	if visits := string(sdk.AppendValue(nil, p.Data["visits"])); visits != "[1,2]" {
		t.Errorf("what is told of the sessions goes by %s visits", visits)
	}
	if fmt.Sprint(p.Counters["seconds"]) != "120" || p.Traits["last_os"] != "Linux" || p.Traits["stage"] != "new" {
		t.Errorf("profile %s", p.AppendJSON(nil))
	}
	if last := b.told[len(b.told)-1]; last.at("event.tags") != `["over"]` || last.at("changes") == "null" {
		t.Errorf("told %s", last.text)
	}
}

// An event that its profile has no room for begins nothing.
func TestAnEventWithoutRoomBeginsNothing(t *testing.T) {
	r := compile(t, shop)
	b := tellAll(r, within("", 1))
	b.doc.Profile.Traits["much"] = strings.Repeat("x", MaxDocument-len(b.doc.AppendJSON(nil))-300)
	before := string(b.doc.AppendJSON(nil))
	b.told = nil
	result := func() *Result {
		var f Fold
		c := within("a", 2)
		f.Begin(Input{Rules: r, Command: c, Doc: b.doc, Size: len(before)})
		return f.Apply(f.Route())
	}()
	if len(result.Events) != 1 || string(result.Doc.AppendJSON(nil)) != before || own(t, result).at("event.valid") != "false" {
		t.Errorf("%d events, the profile is as before: %t; %s", len(result.Events), string(result.Doc.AppendJSON(nil)) == before, result.Events[0].Data)
	}
}

// A visit ends also where the profile has no room to count that.
func TestAVisitOfAFullProfileEnds(t *testing.T) {
	r := compile(t, shop)
	b := tellAll(r, within("a", 1))
	b.doc.Profile.Traits["much"] = strings.Repeat("x", MaxDocument-len(b.doc.AppendJSON(nil))-100)
	var f Fold
	f.Begin(Input{Rules: r, Command: due(60), Doc: b.doc, Size: len(b.doc.AppendJSON(nil))})
	result := f.Apply(f.Route())
	if s := result.Doc.Find("a"); !result.Changed || s.Status != sdk.SessionEnded || result.Doc.Due != 0 || len(result.Doc.AppendJSON(nil)) > MaxDocument {
		t.Errorf("changed: %t, due %d, session %s, %d bytes", result.Changed, result.Doc.Due, s.AppendJSON(nil), len(result.Doc.AppendJSON(nil)))
	}
	v := sdk.RawView(result.Events[0].Data)
	if text := string(v.At("event.valid").Raw()) + string(v.At("session.status").Raw()) + string(v.At("event.profile").Raw()); len(result.Events) != 1 || text != `false"ended""p1"` {
		t.Errorf("told %s", result.Events[0].Data)
	}
}

// A profile that was merged into another, or erased, has nothing that is due.
func TestNothingIsDueWhereNobodyIs(t *testing.T) {
	r := compile(t, shop)
	for name, doc := range map[string]*record.Document{
		"nobody":   nil,
		"erased":   {State: record.StateErased, ErasedAt: noon, IDs: []string{"p1"}},
		"redirect": {State: record.StateRedirect, To: "p0"},
	} {
		result := once(r, doc, due(60))
		if result.Changed || result.Applied || len(result.Events)+len(result.Commands) > 0 || result.Dead != "" {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

// A profile that absorbs another has the sessions of both, not more than are kept, and
// ends them when they are due; their keys come along.
func TestAnAbsorbedProfileBringsItsSessions(t *testing.T) {
	r := compile(t, shop)
	mine, theirs := &book{}, &book{}
	for i := range 5 {
		mine.add(r, within(fmt.Sprint("m", i), 2*i))
		c := within(fmt.Sprint("t", i), 2*i+1)
		c.Profile = "p2"
		theirs.add(r, c)
	}
	absorb := &record.Command{Kind: record.KindAbsorb, ID: record.DerivedID(0, 1, 1), Profile: "p1", Received: noon.Add(20 * time.Minute)}
	absorb.Body = record.AppendAbsorb(nil, &record.Absorb{From: "p2", Document: theirs.doc.AppendJSON(nil), Shared: []record.Identifier{{Kind: "user", Value: "1"}}})
	var f Fold
	f.Begin(Input{Rules: r, Command: absorb, Doc: mine.doc})
	var keys []string
	for _, id := range f.Wants() {
		keys = append(keys, id.Value)
	}
	if got := strings.Join(keys, " "); got != "1 t4 t3 t2 t1 t0" {
		t.Errorf("the keys %s come along", got)
	}
	mine.told = nil
	mine.add(r, absorb)
	if got := mine.String(); got != "profile-merged, ended1 m0, ended1 t0" {
		t.Errorf("told %s", got)
	}
	var ids []string
	for _, s := range mine.doc.Sessions {
		ids = append(ids, s.ID)
	}
	if got := strings.Join(ids, " "); got != "t4 m4 t3 m3 t2 m2 t1 m1" || mine.doc.Due != noon.Add(32*time.Minute).UnixMilli() {
		t.Errorf("kept are %s, due at %s", got, time.UnixMilli(mine.doc.Due).UTC())
	}
	mine.add(r, due(90))
	for _, e := range mine.told {
		if e.at("event.profile") != `"p1"` || e.Exists("session") && e.at("session.profile") != `"p1"` {
			t.Errorf("told %s", e.text)
		}
	}
	if p := mine.doc.Profile; p.Stats.Events[record.TypeVisitEnded].Count != 10 || p.Stats.Visits != 10 || mine.doc.Due != 0 {
		t.Errorf("profile %s, due %d", p.AppendJSON(nil), mine.doc.Due)
	}
}
