package gateway

import (
	"bytes"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func FuzzNative(f *testing.F) {
	seed(f, typicalEvent(1), "["+typicalEvent(1)+","+typicalEvent(2)+"]", typicalEvent(1)+"\n"+typicalEvent(2)+"\r\n",
		`{"id":"a","type":"sign-up","ids":{"user":17850,"email":"A@b.example"},"traits":{"email":"a@b.example","n":1e400},"profile_less":true,"tags":["x"],"writeKey":"k"}`,
		`[{"type":"x"},{"type":"\u00e9"},7,null,{"type":"x","properties":{"a":{"b":[1,2,{"c":"\ud83d\ude00"}]}}}]`)
	f.Fuzz(func(t *testing.T, body []byte) { checkDialect(t, nativeDialect{}, bodyOf(string(body))) })
}

func FuzzTracardi(f *testing.F) {
	seed(f, trackerPayload,
		`{"source":{"id":"k"},"session":{"id":"s"},"events":[{"type":"page-view","properties":{"a":1},"context":{"b":2}}],"context":{"b":3},"options":{"async":true}}`,
		`{"events":[{"type":"x","time":"2026-01-01"}],"request":{"headers":{"a":"b"}},"profile_less":true}`)
	f.Fuzz(func(t *testing.T, body []byte) { checkDialect(t, tracardiDialect{}, bodyOf(string(body))) })
}

func FuzzCustomerConsent(f *testing.F) {
	seed(f, `{"source":{"id":"shop-key"},"session":{"id":"s"},"profile":{"id":"p"},"consents":{"marketing":true,"analytics":false}}`,
		`{"source":{"id":"k"},"consents":{"a":{"b":[1,2,{"c":"\ud83d\ude00"}]}},"profile":null}`, `{"consents":null}`, `{"consents":{"a\u0000":true,"a":1,"a":2}}`)
	f.Fuzz(func(t *testing.T, body []byte) { checkDialect(t, consentDialect{}, bodyOf(string(body))) })
}

func FuzzSegment(f *testing.F) {
	seed(f, nodeBatch,
		`{"messageId":"m","sentAt":"2026-01-01T00:00:00Z","context":{"library":{"name":"analytics-go"}},"batch":[{"type":"track","event":"Été  à Paris","userId":"1","timestamp":"2026-01-01T00:00:00.123Z"}]}`,
		`{"batch":[{"type":"page","anonymousId":"a","context":{"segment":1,"se\u0067ment":2},"originalTimestamp":"0001-01-01T00:00:00Z"}],"sentAt":"9999-12-31T23:59:59Z"}`,
		`{"batch":[{"type":"page","anonymousId":"a","timestamp":"2526-03-01T11:59:59.000Z"}],"sentAt":"2026-03-01T12:00:00.000Z"}`)
	f.Fuzz(func(t *testing.T, body []byte) { checkDialect(t, segmentBatch{}, bodyOf(string(body))) })
}

func FuzzSegmentSingle(f *testing.F) {
	seed(f, `{"timestamp":"2026-03-01T11:59:58.000Z","integrations":{},"userId":"u-1","anonymousId":"a-1","event":"Song Played","type":"track","properties":{"n":1},"context":{"page":{"path":"/"},"library":{"name":"analytics.js","version":"npm:next-1.84.0"}},"messageId":"ajs-next-1","writeKey":"shop-key","sentAt":"2026-03-01T11:59:59.000Z","_metadata":{"bundled":["Segment.io"],"unbundled":[],"bundledIds":[]}}`,
		`{"type":"group","groupId":"g","userId":"u-1","traits":{"email":"info@acme.example"},"properties":{"groupId":1}}`,
		`{"type":"alias","previousId":"a-1","userId":"u-1"} `)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, call := range []string{"", "track", "group", "alias"} {
			checkDialect(t, segmentSingle{call: call}, bodyOf(string(body)))
		}
	})
}

func FuzzJitsu(f *testing.F) {
	seed(f, `{"type":"track","event":"x","userId":"u","anonymousId":"a","traits":null,"groupId":null,"properties":{},"writeKey":"***","context":{}}`)
	f.Fuzz(func(t *testing.T, body []byte) { checkDialect(t, jitsuDialect{}, bodyOf(string(body))) })
}

func FuzzCloudEvents(f *testing.F) {
	seed(f, cloudOrder, "["+cloudOrder+"]", `{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJhIjogMX0K","writeKey":"k","session":"x"}`, `[1, {"a":"\u0000"}]`, "\xff\x00")
	f.Fuzz(func(t *testing.T, body []byte) {
		checkDialect(t, cloudEvents{}, bodyOf(string(body)))
		r := bodyOf(string(body))
		for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/s", "Ce-Type": "t"} {
			r.Header.Set(name, value)
		}
		checkDialect(t, cloudEvents{}, r)
	})
}

func FuzzWebhook(f *testing.F) {
	seed(f, `{"order":{"id":1}}`, `[1]`, "a.b=1&a[c][]=2&=&a=%ff", "--x\r\nContent-Disposition: form-data; name=\"a.b\"\r\n\r\n1\r\n--x--\r\n", "\xff")
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, media := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			r := bodyOf(string(body))
			r.SetPathValue("type", "paid")
			r.Header.Set("Content-Type", media)
			checkDialect(t, webhook{}, r)
		}
	})
}

func FuzzPixel(f *testing.F) {
	seed(f, "writeKey=k&type=x&ids.user=1&tags=a&properties.a=1&b[c]=2", "ids[user][x]=1&time=x&%ff=1")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := bodyOf("")
		r.query, _ = url.ParseQuery(string(body))
		checkDialect(t, pixel{}, r)
	})
}

func FuzzRedirect(f *testing.F) {
	for _, query := range []string{"from=a&e=A%40b.example", "from[x]=1&from.y=2", "from=%0d%0aSet-Cookie:a&e=%ff", "from=//evil.example/#"} {
		f.Add(query, []byte(`{"n":7}`))
		f.Add(query, []byte("n=7&n[a]=8"))
	}
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		r := bodyOf(string(body))
		r.URL.RawQuery = query
		r.SetPathValue("id", "mail")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		checkDialect(t, redirection{}, r)
		redirect, _ := fuzzRules(t).set.Redirect("mail")
		target := redirect.Target(clickOf(r, &testLimits), testNow)
		value, ok := strings.CutPrefix(target, "https://shop.example/sale?from=")
		if !ok || strings.ContainsAny(value, "\r\n&#=?/ ") {
			t.Fatalf("%q leads to %q", query, target)
		}
	})
}

func FuzzCommand(f *testing.F) {
	seed(f, `{"id":1,"connect":{"key":"shop-key","token":"t","session":"s"}}`, `{"id":2,"track":{"events":[{"type":"x"}],"wait":"processed"}}`,
		`{"id":3,"subscribe":{"channel":"events","filter":"event.type == \"x\"","recover":{"epoch":"e","offset":12}}}`, `{"pong":{}}`, `{"id":4,"unsubscribe":{"channel":"events"}}`,
		`{"id":5,"track":{"events":[`+typicalEvent(1)+`,7],"wait":"flows"}}`, `{"id":6,"refresh":{"token":"eyJhbGciOiJIUzI1NiJ9.eyJjaGFubmVscyI6WyJldmVudHMiXX0.c2ln"}}`)
	f.Fuzz(func(t *testing.T, line []byte) {
		p := parser{nesting: 64, arena: new([]byte)}
		c, refused := p.parseCommand(line)
		if refused == nil && (commandFields[c.name] == "" && c.name != "pong" || c.id <= 0 && c.name != "pong") {
			t.Errorf("%q is taken as %+v", line, c)
		}
		if refused == nil && c.name == "track" {
			limits := testLimits
			b := newBatch(testNow, &limits)
			refused = b.parseTrack(&track{id: c.id, events: c.events, wait: c.wait, session: "s"}, fuzzRules(t), &limits)
			if refused != nil && len(b.events) > 0 {
				t.Errorf("%q is refused, and leaves %d events", line, len(b.events))
			}
			if text := ackFrame(c.id, b.events); !bytes.HasPrefix(text, []byte("{")) {
				t.Errorf("%q is answered %s", line, text)
			}
		}
		if refused != nil {
			if _, err := sdk.ParseObject(errorFrame(c.id, refused)); err != nil {
				t.Errorf("%q is answered %s: %v", line, errorFrame(c.id, refused), err)
			}
		}
	})
}

func seed(f *testing.F, bodies ...string) {
	for _, body := range bodies {
		f.Add([]byte(body))
		f.Add([]byte(strings.ToUpper(body)))
		f.Add([]byte(body[:len(body)/2]))
	}
}

// checkDialect holds that whatever is sent, each event is either refused with
// a reason or can be stored, is read back as it was, and that the answer is
// JSON.
func checkDialect(t *testing.T, d dialect, r *request) {
	limits := testLimits
	rules := fuzzRules(t)
	b := newBatch(testNow, &limits)
	before := bytes.Clone(r.body)
	refused := d.parse(b, r, rules, &limits)
	if !bytes.Equal(before, r.body) {
		t.Fatal("the body was changed")
	}
	if refused != nil {
		if refused.status < 400 || refused.message == "" {
			t.Fatalf("refused with %+v", refused)
		}
		if _, err := sdk.ParseValue(refused.appendJSON(nil)); err != nil {
			t.Fatalf("refused with %s: %v", refused.appendJSON(nil), err)
		}
		return
	}
	b.name(shopSource)
	for i := range b.events {
		if e := &b.events[i]; e.status == accepted {
			if e.Time.IsZero() {
				e.Time = b.received
			}
			rules.compute(e, b.received)
		}
	}
	b.gather()
	b.findRepeated()
	if err := newRouter(nullBus{16}).route(t.Context(), b, rules, "shop"); err != nil {
		t.Fatal(err)
	}
	(&Gateway{}).encode(b, nil)
	stored := map[record.ID]*record.Event{}
	for _, text := range b.commit.commands[:len(b.commit.partitions)] {
		commands, err := record.ParseCommands(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range commands {
			stored[commands[i].ID] = commands[i].Event
		}
	}
	for i := range b.events {
		e := &b.events[i]
		if e.status == invalid && e.problem == nil || e.status != invalid && e.problem != nil {
			t.Fatalf("event %d is %v with problem %+v", i, e.status, e.problem)
		}
		if e.status == accepted {
			checkStored(t, &e.Event, stored[e.id], &limits)
		}
	}
	if _, err := sdk.ParseValue(appendReply(nil, b.events, replyForm{waited: true})); err != nil {
		t.Fatalf("the answer %s: %v", appendReply(nil, b.events, replyForm{waited: true}), err)
	}
}

func checkStored(t *testing.T, sent, stored *record.Event, limits *Limits) {
	t.Helper()
	if stored == nil {
		t.Fatalf("event %s is not stored", sent.ID)
	}
	for name, text := range map[string][]byte{"properties": stored.Properties, "traits": stored.Traits, "context": stored.Context} {
		if _, err := sdk.ParseObject(text); err != nil {
			t.Fatalf("%s are stored as %q: %v", name, text, err)
		}
	}
	if n := len([]rune(stored.Type)); n == 0 || n > maxType {
		t.Fatalf("type %q", stored.Type)
	}
	want, got := *sent, *stored
	for _, e := range []*record.Event{&want, &got} {
		for _, field := range []*[]byte{&e.Properties, &e.Traits, &e.Context} {
			if len(*field) == 0 {
				*field = nil
			}
		}
		if e.Time = e.Time.Round(0).UTC(); len(e.IDs) == 0 {
			e.IDs = nil
		}
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("stored %+v\nwant   %+v", got, want)
	}
}

var cachedRules *rules

func fuzzRules(t testing.TB) *rules {
	if cachedRules == nil {
		cachedRules = newRules(setOf(t, redirectResources))
	}
	return cachedRules
}
