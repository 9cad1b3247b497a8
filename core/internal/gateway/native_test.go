package gateway

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestNativeEvent(t *testing.T) {
	f := newFixture(t, nil)
	a := f.post(t, "", `{"id":"e1","type":"order-completed","time":"2026-02-01T10:00:00.5+01:00","session":"s1",
		"ids":{"user":17850,"email":" A@B.Example "},"properties":{"total": 12.50, "list": [1, 2 ]},"traits":{"a":"b c"},
		"context":{"ip":"203.0.113.9"},"tags":["x","y"]}`)
	if a.status != 200 || a.text != `{"accepted":1,"results":[{"id":"e1","status":"accepted"}]}` {
		t.Fatalf("%d %s", a.status, a.text)
	}
	c := f.command(t)
	e := c.Event
	if c.Kind != record.KindEvent || c.ID != record.EventID("shop", "e1") || c.Reply != "" || c.Settled {
		t.Errorf("command %+v", c)
	}
	if want := f.bus.DerivedProfile("user", "17850", 0); c.Profile != want {
		t.Errorf("routed to %s, want %s", c.Profile, want)
	}
	got := []string{e.ID, e.Type, e.Source, e.Session, e.Time.Format("2006-01-02T15:04:05.000Z07:00"),
		string(e.Properties), string(e.Traits), string(e.Context), strings.Join(e.Tags, " ")}
	want := []string{"e1", "order-completed", "shop", "s1", "2026-02-01T09:00:00.500Z",
		`{"total":12.50,"list":[1,2]}`, `{"a":"b c"}`, `{"ip":"203.0.113.9"}`, "x y"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("field %d is %q, want %q", i, got[i], want[i])
		}
	}
	ids := []record.Identifier{{Kind: "user", Value: "17850"}, {Kind: "email", Value: "a@b.example"}}
	if len(e.IDs) != 2 || e.IDs[0] != ids[0] || e.IDs[1] != ids[1] {
		t.Errorf("ids %v, want %v", e.IDs, ids)
	}
}

func TestNativeRefusesEvents(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct{ event, code, message string }{
		"no type":            {`{"id":"a"}`, codeInvalid, "type: an event needs a type"},
		"null type":          {`{"type":null}`, codeInvalid, "type: an event needs a type"},
		"empty type":         {`{"type":""}`, codeInvalid, "type: an event needs a type"},
		"long type":          {`{"type":"` + strings.Repeat("é", 129) + `"}`, codeInvalid, "type: 129 characters are more than the 128"},
		"control characters": {`{"type":"a\u0007b"}`, codeInvalid, "type: control characters are not allowed"},
		"type of wrong type": {`{"type":["a"]}`, codeMalformed, "type: want a string, got an array"},
		"unknown field":      {`{"type":"a","propertes":{}}`, codeUnknownField, "propertes: unknown field; an event has id, type"},
		"unknown kind":       {`{"type":"a","ids":{"passport":"1"}}`, codeUnknownKind, "ids.passport: no such kind of identifier; there are anonymous, card, email, phone, user;"},
		"session as kind":    {`{"type":"a","ids":{"session":"1"}}`, codeUnknownKind, "ids.session: no such kind"},
		"ids of wrong type":  {`{"type":"a","ids":["user"]}`, codeMalformed, "ids: want an object of identifier kind to value, got an array"},
		"id value":           {`{"type":"a","ids":{"user":{"x":1}}}`, codeMalformed, "ids.user: want a string, got an object"},
		"long id value":      {`{"type":"a","ids":{"user":"` + long + `"}}`, codeInvalid, "ids.user: 300 bytes are more than the 256"},
		"long id":            {`{"type":"a","id":"` + long + `"}`, codeInvalid, "id: 300 bytes are more than the 256"},
		"long session":       {`{"type":"a","session":"` + long + `"}`, codeInvalid, "session: 300 bytes"},
		"time":               {`{"type":"a","time":"yesterday"}`, codeInvalid, `time: "yesterday" is not a time: want RFC 3339`},
		"time as number":     {`{"type":"a","time":1700000000}`, codeMalformed, "time: want a time as a string, got a number"},
		"properties":         {`{"type":"a","properties":[1]}`, codeMalformed, "properties: want an object, got an array"},
		"traits":             {`{"type":"a","traits":"x"}`, codeMalformed, "traits: want an object, got a string"},
		"context":            {`{"type":"a","context":7}`, codeMalformed, "context: want an object, got a number"},
		"tags":               {`{"type":"a","tags":"x"}`, codeMalformed, "tags: want a list of strings, got a string"},
		"tag":                {`{"type":"a","tags":[{}]}`, codeMalformed, "tags: want a string, got an object"},
		"too many tags":      {`{"type":"a","tags":[` + strings.TrimSuffix(strings.Repeat(`"t",`, 65), ",") + `]}`, codeInvalid, "tags: 65 tags are more than the 64"},
		"profile_less":       {`{"type":"a","profile_less":"yes"}`, codeMalformed, "profile_less: want true or false, got a string"},
		"too deep":           {`{"type":"a","properties":` + strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64) + `}`, codeTooDeep, "properties: nested deeper than the 64 levels"},
		"too large":          {`{"type":"a","properties":{"a":"` + strings.Repeat("x", 33<<10) + `"}}`, codeTooLarge, "an event of 33826 bytes is larger than the 32768"},
		"name twice":         {`{"type":"a","properties":{"a":1,"a":2}}`, codeMalformed, "duplicate object member name"},
		"field twice":        {`{"type":"a","type":"b"}`, codeMalformed, "duplicate object member name"},
		"NUL in a name":      {`{"type":"a","properties":{"b":[{"a\u0000c" : 1}]}}`, codeInvalid, `properties: the name "a\x00c" holds the character NUL; values may, names may not`},
		"NUL in a trait":     {`{"type":"a","traits":{"\u0000":1}}`, codeInvalid, "traits: the name"},
		"not UTF-8":          {"{\"type\":\"a\",\"properties\":{\"a\":\"\xff\"}}", codeMalformed, "invalid UTF-8"},
		"no object":          {`7`, codeMalformed, "want an event as an object, got a number"},
		"another key":        {`{"type":"a","writeKey":"second-key"}`, codeInvalid, "writeKey: the events of one request have one write key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(testNow, &testLimits)
			body := `[{"type":"ok","id":"before","writeKey":"shop-key","properties":{"\\u0000":["\u0000"],"a":"\u0000"}},` + c.event + `,{"type":"ok","id":"after"}]`
			if refused := b.parseNative([]byte(body), newRules(testSet(t)), &testLimits); refused != nil {
				t.Fatalf("refused the request: %v", refused.message)
			}
			if len(b.events) != 3 {
				t.Fatalf("%d events, want 3", len(b.events))
			}
			for i, id := range []string{"before", "", "after"} {
				if e := &b.events[i]; id != "" && (e.problem != nil || e.ID != id) {
					t.Errorf("event %d: %+v %v", i, e.Event, e.problem)
				}
			}
			p := b.events[1].problem
			if p == nil || b.events[1].status != invalid {
				t.Fatal("accepted")
			}
			if p.code != c.code || !strings.Contains(p.message, c.message) {
				t.Errorf("%s %q, want %s %q", p.code, p.message, c.code, c.message)
			}
		})
	}
}

var testLimits = Limits{}.withDefaults()

func TestNativeBodies(t *testing.T) {
	const a, b, bad = `{"type":"x","id":"a"}`, `{"type":"x","id":"b"}`, `{"type":"x",`
	for name, c := range map[string]struct {
		body    string
		ids     string // of the events, - for one that is invalid
		refused string
	}{
		"one":                 {a, "a", ""},
		"one over lines":      {"{\n  \"type\": \"x\",\n  \"id\": \"a\"\n}\n", "a", ""},
		"array":               {"[" + a + ", " + b + "]", "a b", ""},
		"empty array":         {" [ ] ", "", ""},
		"lines":               {a + "\n" + b + "\n", "a b", ""},
		"lines and blanks":    {"\r\n" + a + "\r\n\r\n" + b, "a b", ""},
		"broken first line":   {bad + "\n" + a + "\n" + b, "- a b", ""},
		"broken middle line":  {a + "\n" + bad + "\n" + b, "a - b", ""},
		"broken last line":    {a + "\n" + b + "\n" + bad, "a b -", ""},
		"all lines broken":    {bad + "\n" + bad, "", "not valid JSON at line 2"},
		"array cut":           {"[" + a + "," + bad, "a -", ""},
		"array not closed":    {"[" + a, "a -", ""},
		"array without comma": {"[" + a + b + "]", "a -", ""},
		"text after array":    {"[" + a + "] x", "a -", ""},
		"comma at the end":    {"[" + a + ",]", "a -", ""},
		"empty":               {"", "", "the body is empty"},
		"blank":               {" \n\t", "", "the body is empty"},
		"no JSON":             {"type=x", "", "not valid JSON at line 1, byte 1"},
		"cut":                 {bad, "", "not valid JSON at line 1, byte 12"},
		"broken second line":  {"{\"type\":\n \"x\" oops}", "", "not valid JSON at line 2, byte 14"},
		"a text":              {`"x"`, "", "want an event as an object, got a string"},
		"numbers":             {`[1,2]`, "", "want an event as an object, got a number"},
		"number between":      {"[" + a + ",1," + b + "]", "a - b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			batch := newBatch(testNow, &testLimits)
			refused := batch.parseNative([]byte(c.body), newRules(testSet(t)), &testLimits)
			if c.refused != "" {
				if refused == nil || refused.status != 400 || !strings.Contains(refused.message, c.refused) {
					t.Fatalf("refused %+v, want %q", refused, c.refused)
				}
				return
			}
			if refused != nil {
				t.Fatalf("refused: %+v", refused)
			}
			var ids []string
			for i := range batch.events {
				id := batch.events[i].ID
				if batch.events[i].status == invalid {
					id = "-"
				}
				ids = append(ids, id)
			}
			if got := strings.Join(ids, " "); got != c.ids {
				t.Errorf("events %q, want %q", got, c.ids)
			}
		})
	}
}

func TestNativeValues(t *testing.T) {
	for name, c := range map[string]struct{ event, ids string }{
		"number":            {`{"user":17850}`, "user=17850"},
		"number with zeros": {`{"user":17850.0}`, "user=17850"},
		"large number":      {`{"user":12345678901234567890123}`, "user=12345678901234567890123"},
		"exponent":          {`{"user":1e3}`, "user=1000"},
		"null":              {`{"user":null,"anonymous":"a"}`, "anonymous=a"},
		"empty":             {`{"user":"","anonymous":"  "}`, ""},
		"escapes":           {`{"user":"a\"b\u00e9\\"}`, `user=a"bé\`},
		"escaped kind":      {`{"us\u0065r":"1"}`, "user=1"},
		"lower":             {`{"email":"A@B.EXAMPLE"}`, "email=a@b.example"},
		"digits":            {`{"card":"12-34 5"}`, "card=12345"},
		"phone":             {`{"phone":"0044 20 7946 0958"}`, "phone=+442079460958"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(testNow, &testLimits)
			if refused := b.parseNative([]byte(`{"type":"x","ids":`+c.event+`}`), newRules(testSet(t)), &testLimits); refused != nil {
				t.Fatal(refused.message)
			}
			e := &b.events[0]
			if e.problem != nil {
				t.Fatal(e.problem.message)
			}
			if got := list(e.IDs); got != c.ids {
				t.Errorf("ids %q, want %q", got, c.ids)
			}
		})
	}
}

// What is broken must not be read again and again.
func TestBrokenBodiesAreCheap(t *testing.T) {
	const lines = 60_000
	body := []byte(strings.Repeat(`{"a":[`+"\n", lines))
	limits := testLimits
	limits.Events = lines + 1
	b := newBatch(testNow, &limits)
	s := b.stream(body, 0, &limits, func(e *event, text []byte) (int, error) { return b.native(e, nil, text) })
	s.lines()
	if s.wasted > 6*len(body) {
		t.Errorf("%d bytes are read of %d", s.wasted, len(body))
	}
	if len(b.events) == 0 || len(b.events) > 100 || s.refusal() == nil {
		t.Errorf("%d events, refusal %v", len(b.events), s.refusal())
	}
}
