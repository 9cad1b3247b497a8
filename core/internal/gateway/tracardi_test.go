package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// trackerPayload is what Tracardi's JavaScript client sends.
const trackerPayload = `{"source":{"id":"shop-key"},"session":{"id":"s-1"},"profile":{"id":null},
	"context":{"page":{"url":"https://x.example/"},"utm":{"source":"mail"}},"properties":{"theme":"dark"},"request":{},
	"events":[
		{"id":"e-1","type":"page-view","time":{"insert":"2026-02-01T10:00:00Z"},"properties":{"title":"Home"},"context":{"page":{"url":"https://x.example/home"}},"tags":["web"],"options":{"save":true}},
		{"type":"purchase","time":{"create":"2026-02-01T10:00:01Z","insert":"2026-02-01T10:00:09Z"}},
		{"type":"now"}],
	"options":{"saveSession":true,"debugger":false},"profile_less":false,"debug":false}`

func TestTrack(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	a := f.send(t, "POST", "/track", trackerPayload)
	profile := f.bus.DerivedProfile("session", "s-1", 0)
	if a.status != 200 || a.header.Get("X-Process-Time") == "" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	want := `,"ux":[],"response":{},"profile":{"id":"` + profile + `"},"session":{"id":"s-1"},"errors":[],"warnings":[]}`
	if !strings.HasPrefix(a.text, `{"task":"`) || !strings.HasSuffix(a.text, want) {
		t.Errorf("%s, want it to end with %s", a.text, want)
	}
	commands := f.commands(t)
	if len(commands) != 3 {
		t.Fatalf("%d commands, want 3", len(commands))
	}
	context := `{"page":{"url":"https://x.example/home"},"session":{"theme":"dark"},"utm":{"source":"mail"}}`
	for i, want := range []struct{ id, kind, time, context string }{
		{"e-1", "page-view", "2026-02-01T10:00:00Z", context},
		{"", "purchase", "2026-02-01T10:00:01Z", `{"session":{"theme":"dark"},"page":{"url":"https://x.example/"},"utm":{"source":"mail"}}`},
		{"", "now", "", ""},
	} {
		e := commands[i].Event
		if want.id != "" && e.ID != want.id || e.Type != want.kind || e.Session != "s-1" || commands[i].Profile != profile || e.Source != "shop" {
			t.Errorf("command %+v %+v", commands[i], e)
		}
		if want.time != "" && e.Time.Format(time.RFC3339) != want.time {
			t.Errorf("%s happened %v, want %s", want.kind, e.Time, want.time)
		}
		if want.context != "" && string(e.Context) != want.context {
			t.Errorf("%s: context %s, want %s", want.kind, e.Context, want.context)
		}
	}
}

func TestTrackReplies(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Wait = time.Second })
	f.fold(t, func(c *record.Command) *record.Outcome {
		o := applied(c)
		switch c.Event.Type {
		case "broken":
			o.Valid, o.Profile, o.Errors = false, "", []sdk.FieldError{{Path: "properties.a", Message: "want a number"}}
		case "unanswered":
			return nil
		}
		return o
	})
	for name, c := range map[string]struct {
		path, body, header string
		status             int
		contains           string
	}{
		"no events":          {"/track", `{"source":{"id":"shop-key"},"events":[]}`, "", 200, "null"},
		"events missing":     {"/track", `{"source":{"id":"shop-key"}}`, "", 200, "null"},
		"no source":          {"/track", `{"events":[{"type":"x"}]}`, "", 401, codeUnauthorized},
		"header":             {"/track", `{"events":[{"type":"x"}]}`, "shop-key", 200, `"errors":[]`},
		"strange header":     {"/track", `{"source":{"id":"shop-key"},"events":[{"type":"x"}]}`, "a-token", 200, `"errors":[]`},
		"unknown source":     {"/track", `{"source":{"id":"nobody"},"events":[{"type":"x"}]}`, "", 401, codeUnauthorized},
		"disabled":           {"/track", `{"source":{"id":"old-key"},"events":[{"type":"x"}]}`, "", 401, codeUnauthorized},
		"source's id":        {"/track", `{"source":{"id":"shop"},"events":[{"type":"x"}]}`, "", 401, codeUnauthorized},
		"keyless":            {"/track", `{"source":{"id":"hook"},"events":[{"type":"x"}]}`, "", 200, `"errors":[]`},
		"no JSON":            {"/track", `{`, "", 422, codeMalformed},
		"no object":          {"/track", `[]`, "", 422, codeMalformed},
		"session":            {"/track", `{"source":{"id":"shop-key"},"session":"s","events":[{"type":"x"}]}`, "", 422, "session: want an object with an id"},
		"events":             {"/track", `{"source":{"id":"shop-key"},"events":{}}`, "", 422, "events: want an array"},
		"only numbers":       {"/track", `{"source":{"id":"shop-key"},"events":[1]}`, "", 422, "want an event as an object"},
		"empty type":         {"/track", `{"source":{"id":"shop-key"},"events":[{"type":""},{"type":"x"}]}`, "", 226, `"errors":["event 0: type: an event needs a type"]`},
		"schema":             {"/track", `{"source":{"id":"shop-key"},"events":[{"type":"broken","id":"b"}]}`, "", 226, `"profile":null,"session":null,"errors":["event b: properties.a: want a number"]`},
		"late":               {"/track", `{"source":{"id":"shop-key"},"events":[{"type":"unanswered"}]}`, "", 200, `"warnings":["the events are stored, but`},
		"async":              {"/track", `{"source":{"id":"shop-key"},"session":{"id":"s"},"events":[{"type":"unanswered"}],"options":{"async":true}}`, "", 200, `"profile":{"id":"` + f.bus.DerivedProfile("session", "s", 0) + `"},"session":{"id":"s"},"errors":[],"warnings":[]`},
		"profile_less":       {"/track", `{"source":{"id":"shop-key"},"session":{"id":"s"},"events":[{"type":"x"}],"profile_less":true}`, "", 200, `"profile":null,"session":{"id":"s"}`},
		"reserved":           {"/track", `{"source":{"id":"@internal"},"events":[{"type":"x"}]}`, "shop-key", 401, "reserved"},
		"saveProfile":        {"/track", `{"source":{"id":"shop-key"},"events":[{"type":"x"}],"options":{"saveProfile":false}}`, "", 200, `"warnings":[]`},
		"saveProfile, async": {"/track", `{"source":{"id":"shop-key"},"session":{"id":"t"},"events":[{"type":"x"}],"options":{"saveProfile":false,"async":true}}`, "", 200, `"profile":null,"session":{"id":"t"}`},
		"saveProfile, late":  {"/track", `{"source":{"id":"shop-key"},"session":{"id":"t"},"events":[{"type":"unanswered"}],"options":{"saveProfile":false}}`, "", 200, `"profile":null,"session":{"id":"t"}`},
		"wrong option":       {"/track", `{"source":{"id":"shop-key"},"events":[{"type":"x"}],"options":{"saveEvents":"no"}}`, "", 422, "options.saveEvents: want true or false"},
		"in the query":       {"/track?profile_less=true", `{"source":{"id":"shop-key"},"session":{"id":"s"},"events":[{"type":"x"}]}`, "", 200, `"profile":null,"session":{"id":"s"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if c.header != "" {
				header = []string{"Authorization", "Bearer " + c.header}
			}
			a := f.send(t, "POST", c.path, c.body, header...)
			if a.status != c.status || !strings.Contains(a.text, c.contains) {
				t.Errorf("%d %s, want %d %s", a.status, a.text, c.status, c.contains)
			}
		})
	}
}

// What a payload does not want to be kept takes its effect and is marked.
func TestTrackOptions(t *testing.T) {
	for options, want := range map[string]string{
		`{}`:                                     "---,e--,---",
		`null`:                                   "---,e--,---",
		`{"saveEvents":null,"saveSession":true}`: "---,e--,---",
		`{"saveEvents":false}`:                   "e--,e--,e--",
		`{"saveSession":false}`:                  "-s-,es-,-s-",
		`{"saveEvents":false,"saveSession":false}`: "es-,es-,es-",
		`{"saveProfile":false}`:                    "--p,e-p,--p",
	} {
		b := newBatch(testNow, &testLimits)
		body := `{"options":` + options + `,"events":[{"type":"a"},{"type":"b","options":{"save":false}},{"type":"c","options":{"saveEvent":true}}]}`
		if refused := (tracardiDialect{}).parse(b, bodyOf(body), newRules(testSet(t)), &testLimits); refused != nil {
			t.Fatal(refused.message)
		}
		var got []string
		for i := range b.events {
			marks := []byte("---")
			if b.events[i].Transient {
				marks[0] = 'e'
			}
			if b.events[i].TransientSession {
				marks[1] = 's'
			}
			if b.events[i].TransientProfile {
				marks[2] = 'p'
			}
			got = append(got, string(marks))
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: %v, want %s", options, got, want)
		}
	}
}

// The document of a profile is told to whom it may be told.
func TestTrackOptionProfile(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	f.exist(t, "p-known")
	for key, want := range map[string]bool{"shop-key": true, "web-key": false} {
		a := f.send(t, "POST", "/track", `{"source":{"id":"`+key+`"},"profile":{"id":"p-known"},"events":[{"type":"x"}],"options":{"profile":true}}`)
		profile, _ := a.body["profile"].(map[string]any)
		_, whole := profile["identities"]
		if a.status != 200 || profile["id"] != "p-known" || whole != want {
			t.Errorf("%s: %d %s", key, a.status, a.text)
		}
	}
}

// hold makes a profile the holder of an identifier.
func (f *fixture) hold(t *testing.T, kind, value string, identity record.Identity) {
	t.Helper()
	if _, err := f.bus.CreateIdentity(t.Context(), f.bus.IdentityKey(kind, value), identity); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) exist(t *testing.T, profile string) {
	t.Helper()
	document := record.Document{State: record.StateLive, C: 1, Profile: &sdk.Profile{ID: profile}}
	if _, err := f.bus.PutDocuments(t.Context(), []bus.DocumentPut{{Profile: profile, Data: document.AppendJSON(nil)}}); err != nil {
		t.Fatal(err)
	}
}

func TestTrackIdentity(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	f.exist(t, "p-known")
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	fresh := f.bus.DerivedProfile("session", "s-new", 0)
	for name, c := range map[string]struct{ session, profile, want string }{
		"new session, no profile":     {"s-new", "", fresh},
		"new session, known profile":  {"s-new2", "p-known", "p-known"},
		"new session, forged profile": {"s-new", "p-forged", fresh},
		"known session, no profile":   {"s-known", "", "p-of-session"},
		"known session wins":          {"s-known", "p-known", "p-of-session"},
		"no session, known profile":   {"", "p-known", "p-known"},
		"spaces around ids":           {"  ", " p-known ", "p-known"},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"source":{"id":"shop-key"},"session":{"id":"` + c.session + `"},"profile":{"id":"` + c.profile + `"},"events":[{"type":"x"}]}`
			a := f.send(t, "POST", "/track", body)
			profile, _ := a.body["profile"].(map[string]any)
			if a.status != 200 || profile["id"] != c.want {
				t.Errorf("%d %s, want profile %s", a.status, a.text, c.want)
			}
		})
	}
}

// A source with static ids says itself who its people are.
func TestTrackStaticIDs(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Resources = fixedResources{setOf(t, testResources+"---\nkind: source\nid: crm\nspec: {keys: [crm-key], keyless: true, static_ids: user}\n")}
	})
	f.fold(t, applied)
	f.exist(t, "p-known")
	f.hold(t, "user", "17850", record.Identity{Profile: "p-of-user"})
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	for name, c := range map[string]struct{ session, profile, want string }{
		"somebody known":                {"s1", "17850", "p-of-user"},
		"before the session":            {"s-known", "17850", "p-of-user"},
		"somebody new":                  {"s2", "17851", f.bus.DerivedProfile("user", "17851", 0)},
		"not by an id of this server":   {"s3", "p-known", f.bus.DerivedProfile("user", "p-known", 0)},
		"nobody":                        {"s4", "", ""},
		"nobody, though the session is": {"s-known", " ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send(t, "POST", "/track", `{"source":{"id":"crm-key"},"session":{"id":"`+c.session+`"},"profile":{"id":"`+c.profile+`"},"events":[{"type":"x"}]}`)
			profile, _ := a.body["profile"].(map[string]any)
			switch {
			case c.want == "" && a.status == 226 && strings.Contains(a.text, "an event of source crm has to name its profile"):
			case c.want != "" && a.status == 200 && profile["id"] == c.want:
			default:
				t.Errorf("%d %s, want profile %q", a.status, a.text, c.want)
			}
		})
	}
	for body, want := range map[string]string{
		`{"type":"x","profile":"17850"}`:                                       `"accepted":1`,
		`{"type":"x","ids":{"user":"17850"}}`:                                  `"accepted":1`,
		`{"type":"x","ids":{"email":"a@b.de"}}`:                                `"accepted":1`,
		`{"type":"x","traits":{"email":"a@b.de"}}`:                             `"accepted":1`, // identified by an identification
		`{"type":"x","profile_less":true}`:                                     `"accepted":1`,
		`{"type":"x"}`:                                                         "has to name its profile",
		`{"id":"again","type":"x"}{"id":"again","type":"x","profile":"17850"}`: `"accepted":1`, // it repeats nothing
	} {
		if a := f.send(t, "POST", "/v1/events", body, "X-Write-Key", "crm-key"); !strings.Contains(a.text, want) {
			t.Errorf("%s: %s", body, a.text)
		}
	}
}

// The id that a link passes on is one of this server: a source with static ids has
// not named it.
func TestTrackStaticIDsAreNotPassed(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Resources = fixedResources{setOf(t, "kind: source\nid: crm\nspec: {keys: [crm-key], static_ids: user}\n")}
	})
	f.fold(t, applied)
	f.exist(t, "p-there")
	for profile, want := range map[string]string{"": "an event of source crm has to name its profile", "17850": f.bus.DerivedProfile("user", "17850", 0)} {
		a := f.send(t, "POST", "/track", `{"source":{"id":"crm-key"},"profile":{"id":"`+profile+`"},"context":{"tracardi":{"pass":{"profile":"p-there","source":"crm-key"}}},"events":[{"type":"x"}]}`)
		if !strings.Contains(a.text, want) {
			t.Errorf("%q: %d %s, want %s", profile, a.status, a.text, want)
		}
	}
}

// An unknown static id makes a profile, whoever holds the session and identifiers
// that are stronger.
func TestTrackStaticIDsGoBeforeOthers(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Resources = fixedResources{setOf(t, testResources+"---\nkind: source\nid: crm\nspec: {keys: [crm-key], static_ids: card}\n")}
	})
	f.fold(t, applied)
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	f.hold(t, "email", "a@b.example", record.Identity{Profile: "p-of-mail"})
	f.hold(t, "card", "1", record.Identity{Profile: "p-of-card"})
	for name, c := range map[string]struct{ session, card, want string }{
		"session of another":          {"s-known", "2", f.bus.DerivedProfile("card", "2", 0)},
		"the same again":              {"s-known", "2", f.bus.DerivedProfile("card", "2", 0)},
		"somebody known":              {"s-known", "1", "p-of-card"},
		"e-mail address of another's": {"s-new", "3", f.bus.DerivedProfile("card", "3", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send(t, "POST", "/track", `{"source":{"id":"crm-key"},"session":{"id":"`+c.session+`"},"profile":{"id":"`+c.card+`"},"events":[{"type":"x","traits":{"email":"a@b.example"}}]}`)
			if profile, _ := a.body["profile"].(map[string]any); profile["id"] != c.want {
				t.Errorf("%d %s, want profile %s", a.status, a.text, c.want)
			}
		})
	}
	for _, c := range f.commands(t) {
		if !c.Event.Static || c.Event.IDs[0].Kind != "card" || c.Settled {
			t.Errorf("static %v, settled %v, %v", c.Event.Static, c.Settled, c.Event.IDs)
		}
	}
}

// A link from another site of the same owner, which we know, tells whom its visitor is
// there. Who is nobody yet here becomes that one; the event of another tells the fold.
func TestTrackAdoptsAPassedProfile(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	f.exist(t, "p-there")
	f.exist(t, "p-here")
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	for name, c := range map[string]struct{ session, profile, pass, want string }{
		"an unknown profile here":  {"s0", "p-forged", `{"profile":"p-there","source":"web-key"}`, "p-there"},
		"nobody yet":               {"s1", "", `{"profile":" p-there ","source":"web-key"}`, "p-there"},
		"by a source's id":         {"s2", "", `{"profile":"p-there","source":"hook"}`, "p-there"},
		"without a session":        {"", "", `{"profile":"p-there","source":"web-key"}`, "p-there"},
		"somebody here":            {"s3", "p-here", `{"profile":"p-there","source":"web-key"}`, "p-here"},
		"a known session":          {"s-known", "", `{"profile":"p-there","source":"web-key"}`, "p-of-session"},
		"from an unknown site":     {"s4", "", `{"profile":"p-there","source":"elsewhere"}`, f.bus.DerivedProfile("session", "s4", 0)},
		"from a disabled one":      {"s5", "", `{"profile":"p-there","source":"old-key"}`, f.bus.DerivedProfile("session", "s5", 0)},
		"from nowhere":             {"s6", "", `{"profile":"p-there"}`, f.bus.DerivedProfile("session", "s6", 0)},
		"a profile that is not":    {"s7", "", `{"profile":"p-forged","source":"web-key"}`, f.bus.DerivedProfile("session", "s7", 0)},
		"a profile that is a list": {"s8", "", `{"profile":["p-there"],"source":"web-key"}`, f.bus.DerivedProfile("session", "s8", 0)},
		"a long one":               {"s9", "", `{"profile":"` + strings.Repeat("p", maxID+1) + `","source":"web-key"}`, f.bus.DerivedProfile("session", "s9", 0)},
		"no pass":                  {"s10", "", `7`, f.bus.DerivedProfile("session", "s10", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"source":{"id":"shop-key"},"session":{"id":"` + c.session + `"},"profile":{"id":"` + c.profile + `"},"context":{"tracardi":{"pass":` + c.pass + `}},"events":[{"type":"x"}]}`
			a := f.send(t, "POST", "/track", body)
			profile, _ := a.body["profile"].(map[string]any)
			if a.status != 200 || profile["id"] != c.want {
				t.Errorf("%d %s, want profile %s", a.status, a.text, c.want)
			}
		})
	}
}

// What a link says goes on with the events of whoever has a profile here, so that the
// two are united; not what it says of nobody, nor by an unknown site.
func TestTrackPassesAProfileOn(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Resources = fixedResources{setOf(t, testResources+"---\nkind: source\nid: crm\nspec: {keys: [crm-key], static_ids: user}\n")}
	})
	f.fold(t, applied)
	f.exist(t, "p-there")
	f.exist(t, "p-here")
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	f.hold(t, "email", "ann@mail.example", record.Identity{Profile: "p-of-mail"})
	want := map[string]string{}
	for name, c := range map[string]struct{ key, session, profile, mail, pass, goes, passed string }{
		"by a session":              {"shop-key", "s-known", "", "", `{"profile":"p-there","source":"web-key"}`, "p-of-session", "p-there"},
		"by the same session":       {"shop-key", "s-known", "", "", `{"profile":"p-there","source":"web-key"}`, "p-of-session", "p-there"},
		"by a profile":              {"shop-key", "", "p-here", "", `{"profile":"p-there","source":"web-key"}`, "p-here", "p-there"},
		"by an identifier":          {"shop-key", "", "", "ann@mail.example", `{"profile":"p-there","source":"web-key"}`, "p-of-mail", "p-there"},
		"a profile that is not":     {"shop-key", "s-known", "", "", `{"profile":"p-forged","source":"web-key"}`, "p-of-session", ""},
		"the same again":            {"shop-key", "s-known", "", "", `{"profile":"p-forged","source":"web-key"}`, "p-of-session", ""},
		"from an unknown site":      {"shop-key", "s-known", "", "", `{"profile":"p-there","source":"elsewhere"}`, "p-of-session", ""},
		"from a disabled one":       {"shop-key", "s-known", "", "", `{"profile":"p-there","source":"old-key"}`, "p-of-session", ""},
		"to a source of static ids": {"crm-key", "", "17850", "", `{"profile":"p-there","source":"web-key"}`, f.bus.DerivedProfile("user", "17850", 0), ""},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		want[id] = c.goes + " " + c.passed
		a := f.send(t, "POST", "/track", `{"source":{"id":"`+c.key+`"},"session":{"id":"`+c.session+`"},"profile":{"id":"`+c.profile+`"},"context":{"tracardi":{"pass":`+c.pass+`}},"events":[{"id":"`+id+`","type":"x","traits":{"email":"`+c.mail+`"}}]}`)
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	for _, c := range f.commands(t) {
		if got := c.Profile + " " + c.Event.Passed; got != want[c.Event.ID] {
			t.Errorf("%s: %s, want %s", c.Event.ID, got, want[c.Event.ID])
		}
	}
}

const recognising = testResources + `
---
kind: source
id: site
spec: {keys: [site-key], fingerprint: 15m}
---
kind: source
id: other
spec: {keys: [other-key], fingerprint: 15m}
`

// A fingerprint tells whom a payload is about where it would be somebody new, of sources
// that go by it.
func TestTrackByFingerprint(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Resources = fixedResources{setOf(t, recognising)} })
	f.fold(t, applied)
	f.exist(t, "p-there")
	f.exist(t, "p-here")
	f.hold(t, "fingerprint", "site/f-known", record.Identity{Profile: "p-of-browser", TTL: time.Hour})
	f.hold(t, "session", "s-known", record.Identity{Profile: "p-of-session"})
	derived := func(kind, value string) string { return f.bus.DerivedProfile(kind, value, 0) }
	want := map[string]string{}
	for name, c := range map[string]struct{ key, rest, context, mail, goes, print string }{
		"somebody new":          {"site-key", `"session":{"id":"s1"}`, `{"fingerprint":"f-known"}`, "", "p-of-browser", "f-known"},
		"of a device":           {"site-key", `"session":{"id":"s2"}`, `{"device":{"fingerprint":" f-known "}}`, "", "p-of-browser", "f-known"},
		"without a session":     {"site-key", `"session":{}`, `{"fingerprint":"f-known"}`, "", "p-of-browser", "f-known"},
		"a forged profile":      {"site-key", `"profile":{"id":"p-forged"}`, `{"fingerprint":"f-known"}`, "", "p-of-browser", "f-known"},
		"a known session":       {"site-key", `"session":{"id":"s-known"}`, `{"fingerprint":"f-known"}`, "", "p-of-session", "f-known"},
		"a known profile":       {"site-key", `"profile":{"id":"p-here"}`, `{"fingerprint":"f-known"}`, "", "p-here", "f-known"},
		"a new address":         {"site-key", `"session":{"id":"s3"}`, `{"fingerprint":"f-known"}`, "new@mail.example", derived("email", "new@mail.example"), "f-known"},
		"by a link":             {"site-key", `"session":{"id":"s4"}`, `{"fingerprint":"f-known","tracardi":{"pass":{"profile":"p-there","source":"web-key"}}}`, "", "p-there", "f-known"},
		"by a link to nobody":   {"site-key", `"session":{"id":"s5"}`, `{"fingerprint":"f-known","tracardi":{"pass":{"profile":"p-forged","source":"web-key"}}}`, "", "p-of-browser", "f-known"},
		"one that is new":       {"site-key", `"session":{"id":"s6"}`, `{"fingerprint":"f-new"}`, "", derived("session", "s6"), "f-new"},
		"of another source":     {"other-key", `"session":{"id":"s7"}`, `{"fingerprint":"f-known"}`, "", derived("session", "s7"), "f-known"},
		"of one that has none":  {"shop-key", `"session":{"id":"s8"}`, `{"fingerprint":"f-known"}`, "", derived("session", "s8"), ""},
		"one that is too long":  {"site-key", `"session":{"id":"s9"}`, `{"fingerprint":"` + strings.Repeat("f", maxFingerprint+1) + `"}`, "", derived("session", "s9"), ""},
		"one that is none":      {"site-key", `"session":{"id":"s11"}`, `{"fingerprint":"undefined"}`, "", derived("session", "s11"), ""},
		"one that is an object": {"site-key", `"session":{"id":"s10"}`, `{"fingerprint":{"x":"f-known"}}`, "", derived("session", "s10"), ""},
		"of nobody on purpose":  {"site-key", `"profile_less":true`, `{"fingerprint":"f-known"}`, "", "", ""},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		want[id] = c.goes + " " + c.print
		a := f.send(t, "POST", "/track", `{"source":{"id":"`+c.key+`"},`+c.rest+`,"context":`+c.context+`,"events":[{"id":"`+id+`","type":"x","traits":{"email":"`+c.mail+`"}}]}`)
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	for _, c := range f.commands(t) {
		if got := c.Profile + " " + c.Event.Fingerprint; got != want[c.Event.ID] {
			t.Errorf("%s: %s, want %s", c.Event.ID, got, want[c.Event.ID])
		}
	}
}

// A fingerprint whose time is up tells nothing, whatever the bus still has.
func TestTrackByAFingerprintForItsTime(t *testing.T) {
	for ahead, want := range map[time.Duration]string{59 * time.Minute: "p-of-browser", time.Hour + time.Second: ""} {
		f := newFixture(t, func(o *Options) {
			o.Resources = fixedResources{setOf(t, recognising)}
			o.Now = func() time.Time { return time.Now().Add(ahead) }
		})
		f.fold(t, applied)
		f.hold(t, "fingerprint", "site/f", record.Identity{Profile: "p-of-browser", TTL: time.Hour})
		if want == "" {
			want = f.bus.DerivedProfile("session", "s", 0)
		}
		a := f.send(t, "POST", "/track", `{"source":{"id":"site-key"},"session":{"id":"s"},"context":{"fingerprint":"f"},"events":[{"type":"x"}]}`)
		if profile, _ := a.body["profile"].(map[string]any); profile["id"] != want {
			t.Errorf("after %s: %d %s, want profile %s", ahead, a.status, a.text, want)
		}
	}
}

// The events of a payload are about one profile, also where nothing says whose.
func TestTrackEventsAreAboutOneProfile(t *testing.T) {
	first := func(f *fixture) string { return f.bus.DerivedProfile("event", "shop/1", 0) }
	ann := func(f *fixture) string { return f.bus.DerivedProfile("email", "a@b.example", 0) }
	for name, c := range map[string]struct {
		bodies []string // events, one payload after another
		want   func(f *fixture) string
		events int
	}{
		"of strangers":               {[]string{`{"id":"1","type":"x"},{"id":"2","type":"x"},{"id":"3","type":"x"}`}, first, 3},
		"the first is not taken in":  {[]string{`{"id":"0","type":""},{"id":"1","type":"x"},{"id":"3","type":"x"}`}, first, 2},
		"the first was there before": {[]string{`{"id":"1","type":"x"}`, `{"id":"1","type":"x"},{"id":"2","type":"x"}`}, first, 2},
		"a later one names somebody": {[]string{`{"id":"1","type":"x"},{"id":"2","type":"x","traits":{"email":"a@b.example"}},{"id":"3","type":"x"}`}, ann, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.fold(t, applied)
			for _, events := range c.bodies {
				a := f.send(t, "POST", "/track", `{"source":{"id":"shop-key"},"events":[`+events+`]}`)
				if profile, _ := a.body["profile"].(map[string]any); profile["id"] != c.want(f) {
					t.Errorf("%d %s, want profile %s", a.status, a.text, c.want(f))
				}
			}
			seen := map[string]bool{}
			for _, command := range f.commands(t) {
				seen[command.Event.ID] = true
				if command.Profile != c.want(f) {
					t.Errorf("event %s is about %s, want %s", command.Event.ID, command.Profile, c.want(f))
				}
			}
			if len(seen) != c.events {
				t.Errorf("%d events, want %d", len(seen), c.events)
			}
		})
	}
}
