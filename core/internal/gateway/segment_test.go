package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// nodeBatch is what @segment/analytics-node sends.
const nodeBatch = `{"batch":[` +
	`{"userId":"u-17850","timestamp":"2026-03-01T11:59:58.000Z","type":"track","event":"Order Completed","properties":{"total":12.5},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},"integrations":{},"messageId":"node-next-1","_metadata":{"nodeVersion":"22"}},` +
	`{"anonymousId":"a-1","timestamp":"2026-03-01T11:59:59.000Z","type":"page","name":"Home","category":"Docs","properties":{"url":"https://x.example/"},"messageId":"node-next-2"},` +
	`{"userId":17850,"anonymousId":"a-1","type":"identify","traits":{"email":"A@b.example","plan":"pro"},"messageId":"node-next-3","context":{"segment":"mine"}}` +
	`],"writeKey":"shop-key","sentAt":"2026-03-01T12:00:00.000Z"}`

func TestSegmentBatch(t *testing.T) {
	// The client's clock is ten minutes slow.
	received := time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)
	f := newFixture(t, func(o *Options) { o.Now = func() time.Time { return received } })
	a := f.send(t, "POST", "/v1/batch", nodeBatch, "Content-Type", "text/plain", "Authorization", basic("shop-key:"))
	if a.status != 200 || a.text != `{"success":true}` {
		t.Fatalf("%d %s", a.status, a.text)
	}
	byID := map[string]*record.Event{}
	for _, c := range f.commands(t) {
		byID[c.Event.ID] = c.Event
		if c.ID != record.EventID("shop", c.Event.ID) {
			t.Errorf("%s is not known by its messageId", c.Event.ID)
		}
	}
	for id, want := range map[string]struct{ kind, ids, time, properties, traits, context string }{
		"node-next-1": {"order-completed", "user=u-17850", "12:09:58", `{"total":12.5}`, "",
			`{"segment":{"type":"track","event":"Order Completed"},"library":{"name":"@segment/analytics-node","version":"3.1.0"}}`},
		"node-next-2": {"page-view", "anonymous=a-1", "12:09:59", `{"url":"https://x.example/"}`, "",
			`{"segment":{"type":"page","name":"Home","category":"Docs"}}`},
		"node-next-3": {"identify", "user=17850 email=a@b.example anonymous=a-1", "12:10:00", "", `{"email":"A@b.example","plan":"pro"}`,
			`{"segment":{"type":"identify"}}`},
	} {
		e := byID[id]
		if e == nil {
			t.Errorf("%s is missing", id)
			continue
		}
		got := []string{e.Type, list(e.IDs), e.Time.Format(time.TimeOnly), string(e.Properties), string(e.Traits), string(e.Context)}
		for i, w := range []string{want.kind, want.ids, want.time, want.properties, want.traits, want.context} {
			if got[i] != w {
				t.Errorf("%s: %q, want %q", id, got[i], w)
			}
		}
	}
}

func TestSegmentRefusals(t *testing.T) {
	for name, c := range map[string]struct{ event, message string }{
		"nobody":            {`{"type":"track","event":"x"}`, "needs a userId or an anonymousId"},
		"empty ids":         {`{"type":"track","event":"x","userId":"","anonymousId":null}`, "needs a userId or an anonymousId"},
		"no type":           {`{"event":"x","userId":"1"}`, "type: want track, identify, page, screen, group or alias, got "},
		"unknown type":      {`{"type":"dance","userId":"1"}`, "type: want track, identify, page, screen, group or alias, got dance"},
		"track of nothing":  {`{"type":"track","userId":"1"}`, "event: track needs an event"},
		"track of signs":    {`{"type":"track","event":"?!","userId":"1"}`, "event: track needs an event with letters or digits"},
		"properties":        {`{"type":"page","userId":"1","properties":"x"}`, "properties: want an object"},
		"timestamp":         {`{"type":"page","userId":"1","timestamp":"x"}`, "timestamp: \"x\" is not a time"},
		"name twice":        {`{"type":"page","userId":"1","properties":{"a":1,"a":1}}`, "duplicate object member name"},
		"not UTF-8":         {"{\"type\":\"page\",\"userId\":\"1\",\"properties\":{\"a\":\"\xfe\"}}", "invalid UTF-8"},
		"no object":         {`"page"`, "want an event as an object"},
		"too large":         {`{"type":"page","userId":"1","properties":{"a":"` + strings.Repeat("x", 33<<10) + `"}}`, "is larger than the 32768"},
		"too long a userId": {`{"type":"page","userId":"` + strings.Repeat("x", 257) + `"}`, "userId: 257 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(testNow, &testLimits)
			body := `{"batch":[{"type":"page","userId":"1","messageId":"before"},` + c.event + `,{"type":"page","userId":"1","messageId":"after"}]}`
			if refused := (segmentBatch{}).parse(b, bodyOf(body), newRules(testSet(t)), &testLimits); refused != nil {
				t.Fatal(refused.message)
			}
			if len(b.events) != 3 || b.events[0].problem != nil || b.events[2].problem != nil || b.events[2].ID != "after" {
				t.Fatalf("events %+v", b.events)
			}
			if p := b.events[1].problem; p == nil || !strings.Contains(p.message, c.message) {
				t.Errorf("problem %+v, want %q", p, c.message)
			}
		})
	}
}

func TestSegmentRequests(t *testing.T) {
	f := newFixture(t, nil)
	event := `{"type":"page","userId":"1"}`
	for name, c := range map[string]struct {
		body   string
		header []string
		status int
	}{
		"key in body":            {`{"batch":[` + event + `],"writeKey":"shop-key"}`, nil, 200},
		"key in event":           {`{"batch":[{"type":"page","userId":"1","writeKey":"shop-key"}]}`, nil, 200},
		"header wins":            {`{"batch":[` + event + `],"writeKey":"nobody"}`, []string{"X-Write-Key", "shop-key"}, 200},
		"masked":                 {`{"batch":[` + event + `],"writeKey":"shop-key:***"}`, nil, 401},
		"all of it masked":       {`{"batch":[{"type":"page","userId":"1","writeKey":"shop-key"}],"writeKey":"***"}`, nil, 200},
		"no key":                 {`{"batch":[` + event + `]}`, nil, 401},
		"wrong key":              {`{"batch":[` + event + `],"writeKey":"nobody"}`, nil, 401},
		"poison":                 {`{"batch":[{"type":"track"},` + event + `],"writeKey":"shop-key"}`, nil, 200},
		"nothing but poison":     {`{"batch":[{"type":"track"}],"writeKey":"shop-key"}`, nil, 200},
		"nothing":                {`{"batch":[],"writeKey":"shop-key"}`, nil, 200},
		"no batch":               {`{"writeKey":"shop-key"}`, nil, 400},
		"batch of wrong type":    {`{"batch":{},"writeKey":"shop-key"}`, nil, 400},
		"no object":              {`[` + event + `]`, []string{"X-Write-Key", "shop-key"}, 400},
		"cut":                    {`{"batch":[` + event, []string{"X-Write-Key", "shop-key"}, 400},
		"goes on":                {`{"batch":[` + event + `]}x`, []string{"X-Write-Key", "shop-key"}, 400},
		"too many":               {`{"batch":[` + strings.Repeat(event+",", 1000) + event + `]}`, []string{"X-Write-Key", "shop-key"}, 413},
		"shared context, broken": {`{"batch":[` + event + `],"context":{"a":1,"a":2}}`, []string{"X-Write-Key", "shop-key"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.send(t, "POST", "/v1/batch", c.body, c.header...); a.status != c.status {
				t.Errorf("%d %s, want %d", a.status, a.text, c.status)
			}
		})
	}
}

func TestSegmentTimes(t *testing.T) {
	at := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(duration(s))
	}
	for name, c := range map[string]struct{ original, stamp, sent, received, want string }{
		"nothing known":       {"", "", "", "12h", ""},
		"no sentAt":           {"", "10h", "", "12h", "10h"},
		"clock is right":      {"", "11h", "12h", "12h", "11h"},
		"clock is slow":       {"", "1h", "2h", "12h", "11h"},
		"clock is fast":       {"", "23h", "24h", "12h", "11h"},
		"original alone":      {"1h", "", "2h", "12h", "11h"},
		"the caller's own":    {"2h", "5h", "2h", "12h", "5h"}, // beside the time of the call, as RudderStack's clients write it
		"sent, without event": {"", "", "2h", "12h", ""},
	} {
		t.Run(name, func(t *testing.T) {
			call := segmentCall{original: at(c.original), stamp: at(c.stamp), sent: at(c.sent)}
			if got := call.happened(at(c.received)); !got.Equal(at(c.want)) {
				t.Errorf("%v, want %v", got, at(c.want))
			}
		})
	}
}

func TestSegmentTimesBeyondWhatADurationHolds(t *testing.T) {
	sent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	event := sent.AddDate(500, 0, 0)
	call := segmentCall{stamp: event, sent: sent}
	if got, want := call.happened(sent.Add(time.Hour)), event.Add(time.Hour); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestTypeName(t *testing.T) {
	for name, want := range map[string]string{
		"Order Completed":      "order-completed",
		"  Order -- Completed": "order-completed",
		"orderCompleted":       "ordercompleted",
		"Ünïcode Größe":        "ünïcode-größe",
		"ﬁle ＡＢＣ":              "file-abc",
		"e\u0301te\u0301":      "été",
		"v2.0_final":           "v2-0-final",
		"日本 語":                 "日本-語",
		"!?":                   "",
		"":                     "",
	} {
		if got := typeName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestSharedContext(t *testing.T) {
	shared := `{"a":"` + strings.Repeat("x", 20<<10) + `"}`
	event := `{"type":"page","userId":"1","context":{"b":1}}`
	events := strings.TrimSuffix(strings.Repeat(event+",", 250), ",")
	for name, c := range map[string]struct {
		d    dialect
		body string
	}{
		"Segment":  {segmentBatch{}, `{"context":` + shared + `,"batch":[` + events + `]}`},
		"Tracardi": {tracardiDialect{}, `{"context":` + shared + `,"events":[` + events + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(testNow, &testLimits)
			if refused := c.d.parse(b, bodyOf(c.body), newRules(testSet(t)), &testLimits); refused != nil {
				t.Fatal(refused.message)
			}
			total := 0
			for i := range b.events {
				total += len(b.events[i].Context)
			}
			if b.events[0].problem != nil || b.events[249].problem == nil || total > testLimits.Inflated+1<<20 {
				t.Errorf("%d events hold %d bytes of context; %+v, %+v", len(b.events), total, b.events[0].problem, b.events[249].problem)
			}
			limits := testLimits
			limits.Event = 20 << 10
			b = newBatch(testNow, &limits)
			if refused := c.d.parse(b, bodyOf(c.body), newRules(testSet(t)), &limits); refused != nil {
				t.Fatal(refused.message)
			}
			if p := b.events[0].problem; p == nil || p.code != codeTooLarge {
				t.Errorf("an event that is too large with what it shares: %+v", p)
			}
		})
	}
}
