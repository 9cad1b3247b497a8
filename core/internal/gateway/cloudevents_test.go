package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
)

const cloudOrder = `{"specversion":"1.0","id":"A-1","source":"/shop/orders","type":"com.example.order.completed","time":"2026-03-01T12:00:00.5Z",` +
	`"subject":"A-1","datacontenttype":"application/json","userid":"17850","sequence":7,"data":{"total":12.5}}`

func TestCloudEventModes(t *testing.T) {
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "A-1", "Ce-Source", "/shop/orders", "Ce-Type", "com.example.order.completed", "Ce-Userid", "17850"}
	all := `"id":"A-1","source":"/shop/orders","specversion":"1.0","userid":"17850"`
	for name, c := range map[string]struct {
		body                string
		header              []string
		properties, context string
	}{
		"structured": {cloudOrder, []string{"Content-Type", "application/cloudevents+json; charset=utf-8"}, `{"total":12.5}`,
			`{"cloudevents":{"specversion":"1.0","id":"A-1","source":"/shop/orders","subject":"A-1","datacontenttype":"application/json","userid":"17850","sequence":7}}`},
		"no content type": {cloudOrder, nil, `{"total":12.5}`, ""},
		"batch":           {"[" + cloudOrder + "]", []string{"Content-Type", "application/cloudevents-batch+json"}, `{"total":12.5}`, ""},
		"an array":        {"[" + cloudOrder + "]", []string{"Content-Type", "application/json"}, `{"total":12.5}`, ""},
		"binary": {`{"total":12.5}`, append(binary, "Content-Type", "application/json"), `{"total":12.5}`,
			`{"cloudevents":{` + all + `,"datacontenttype":"application/json"}}`},
		"binary, percent":     {`{"total":1}`, append(binary, "Content-Type", "application/json", "Ce-Subject", "%C3%A9t%C3%A9 %22"), `{"total":1}`, ""},
		"binary, vendor JSON": {`{"total":1}`, append(binary, "Content-Type", "application/vnd.order+json"), `{"total":1}`, ""},
		"binary, a list":      {`[1, 2]`, append(binary, "Content-Type", "application/json"), `{"data":[1,2]}`, ""},
		"binary, text":        {`total: 1`, append(binary, "Content-Type", "text/plain"), `{"data":"total: 1"}`, ""},
		"binary, bytes":       {"\xff\x00", append(binary, "Content-Type", "image/png"), `{"data_base64":"/wA="}`, ""},
		"binary, untyped":     {"<a/>", binary, `{"data":"<a/>"}`, ""},
		"binary, no data":     {"", binary, "", ""},
		"structured text":     {strings.Replace(cloudOrder, `{"total":12.5}`, `"<a/>"`, 1), nil, `{"data":"<a/>"}`, ""},
		"base64":              {strings.Replace(cloudOrder, `"application/json","userid":"17850","sequence":7,"data":{"total":12.5}`, `"image/png","userid":"17850","data_base64":"/wA="`, 1), nil, `{"data_base64":"/wA="}`, ""},
		"base64 of JSON":      {strings.Replace(cloudOrder, `"data":{"total":12.5}`, `"data_base64":"eyJhIjogMX0K"`, 1), nil, `{"a":1}`, ""},
		"no data":             {strings.Replace(cloudOrder, `"data":{"total":12.5}`, `"data":null`, 1), nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			a := f.send(t, "POST", "/v1/cloudevents", c.body, append(c.header, "X-Write-Key", "shop-key")...)
			if a.status != 200 || a.text != `{"accepted":1,"results":[{"id":"/shop/orders A-1","status":"accepted"}]}` {
				t.Fatalf("%d %s", a.status, a.text)
			}
			e := f.command(t).Event
			if e.Type != "com.example.order.completed" || list(e.IDs) != "user=17850" || string(e.Properties) != c.properties || c.context != "" && string(e.Context) != c.context {
				t.Errorf("%+v\nproperties %s\ncontext    %s", e, e.Properties, e.Context)
			}
		})
	}
}

func TestCloudEventRules(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(cloudOrder, from, to, 1) }
	for name, c := range map[string]struct{ event, message string }{
		"version":            {change(`"1.0"`, `"0.3"`), "specversion: want 1.0"},
		"no version":         {change(`"specversion":"1.0",`, ``), "specversion: want 1.0"},
		"no id":              {change(`"id":"A-1",`, ``), "id: an event needs an id"},
		"empty id":           {change(`"id":"A-1"`, `"id":""`), "id: must not be empty"},
		"id is no string":    {change(`"id":"A-1"`, `"id":7`), "id: want a string"},
		"no source":          {change(`"source":"/shop/orders",`, ``), "source: an event needs a source"},
		"source with space":  {change(`/shop/orders`, `/shop orders`), "source: want a URI reference"},
		"no type":            {change(`"type":"com.example.order.completed",`, ``), "type: an event needs a type"},
		"control character":  {change(`"subject":"A-1"`, `"subject":"A\n1"`), "subject: control characters"},
		"time":               {change(`2026-03-01T12`, `2026-13-01T12`), "time: "},
		"media type":         {change(`application/json`, `a/b/c`), "datacontenttype: want a media type"},
		"schema":             {change(`"subject":"A-1"`, `"dataschema":"orders"`), "dataschema: want a URI"},
		"name":               {change(`"sequence"`, `"Sequence"`), "Sequence: attributes have names"},
		"a float":            {change(`"sequence":7`, `"sequence":7.5`), "sequence: want a string"},
		"a large integer":    {change(`"sequence":7`, `"sequence":2147483648`), "sequence: want a string"},
		"an object":          {change(`"sequence":7`, `"sequence":{}`), "sequence: want a string"},
		"data twice":         {change(`"sequence":7`, `"data_base64":"YQ=="`), "not both"},
		"no base64":          {change(`"data":{"total":12.5}`, `"data_base64":"?"`), "data_base64: want base64"},
		"too large":          {change(`12.5`, `"`+strings.Repeat("x", 33<<10)+`"`), "is larger than the 32768"},
		"nested":             {change(`12.5`, strings.Repeat("[", 70)+strings.Repeat("]", 70)), "data: nested deeper"},
		"too long a user":    {change(`17850`, strings.Repeat("1", 257)), "userid: 257 bytes"},
		"NUL in a name":      {change(`"total"`, `"to\u0000tal"`), "holds the character NUL"},
		"a null is no value": {change(`"subject":"A-1"`, `"subject":null`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(testNow, &testLimits)
			if refused := (cloudEvents{}).parse(b, bodyOf(c.event), newRules(testSet(t)), &testLimits); refused != nil {
				t.Fatal(refused.message)
			}
			switch p := b.events[0].problem; {
			case c.message == "" && p != nil:
				t.Errorf("problem %+v", p)
			case c.message != "" && (p == nil || !strings.Contains(p.message, c.message)):
				t.Errorf("problem %+v, want %q", p, c.message)
			}
		})
	}
}

func TestCloudEventRequests(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	key := []string{"X-Write-Key", "shop-key"}
	bad := `{"specversion":"1.0","id":"x","type":"y"}`
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		contains   string
	}{
		"a bad one":      {"", bad, key, 400, `"status":"invalid"`},
		"among others":   {"", "[" + bad + "," + cloudOrder + "]", key, 200, `"accepted":1`},
		"an empty batch": {"", "[]", key, 200, `{"accepted":0,"results":[]}`},
		"no batch":       {"", cloudOrder, append(key, "Content-Type", "application/cloudevents-batch+json"), 400, "want an array"},
		"another format": {"", "x", append(key, "Content-Type", "application/cloudevents+avro"), 415, "not understood"},
		"empty":          {"", "", key, 400, "empty"},
		"no JSON":        {"", "hello", key, 400, codeMalformed},
		"broken data":    {"", "{", append(key, "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"), 400, codeMalformed},
		"no key":         {"", cloudOrder, nil, 401, codeUnauthorized},
		"key in body":    {"", strings.Replace(cloudOrder, `"sequence":7`, `"writeKey":"shop-key"`, 1), nil, 200, `"accepted"`},
		"key in binary":  {"", `{}`, []string{"Ce-Specversion", "1.0", "Ce-Id", "k", "Ce-Source", "/s", "Ce-Type", "t", "Ce-Writekey", "shop-key"}, 200, `"accepted"`},
		"waits":          {"?wait=processed", cloudOrder, key, 200, `"profile":"` + f.bus.DerivedProfile("user", "17850", 0) + `"`},
		"wrong wait":     {"?wait=x", cloudOrder, key, 400, "wait=x"},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send(t, "POST", "/v1/cloudevents"+c.path, c.body, c.header...)
			if a.status != c.status || !strings.Contains(a.text, c.contains) {
				t.Errorf("%d %s, want %d %s", a.status, a.text, c.status, c.contains)
			}
		})
	}
	a := f.send(t, http.MethodOptions, "/v1/cloudevents", "", "WebHook-Request-Origin", "events.example")
	if a.status != 204 || a.header.Get("Webhook-Allowed-Origin") != "*" || a.header.Get("Allow") == "" {
		t.Errorf("may a webhook send: %d %v", a.status, a.header)
	}
}

// Source and id are what an event is known by, and who it names is who it is
// about: nobody where it names nobody.
func TestCloudEventIdentity(t *testing.T) {
	f := newFixture(t, nil)
	at := func(source, id, more string) string {
		return `{"specversion":"1.0","source":"` + source + `","id":"` + id + `","type":"t"` + more + `}`
	}
	long := strings.Repeat("x", 300)
	a := f.send(t, "POST", "/v1/cloudevents", "["+strings.Join([]string{
		at("/a", "b", ""), at("/a/b", "b", ""), at("/a", "b", ""), at("/l", long, ""), at("/l", long, ""),
		at("/s", "1", `,"session":"s-1"`), at("/s", "2", `,"email":"A@b.example"`), at("/s", "3", `,"data":{"card":"12-34"}`), at("/s", "4", `,"profile":"p-1"`),
	}, ",")+"]", "X-Write-Key", "shop-key")
	if a.statuses() != "accepted accepted duplicate accepted duplicate accepted accepted accepted accepted" {
		t.Fatal(a.text)
	}
	byID := map[string]record.Command{}
	for _, c := range f.commands(t) {
		byID[c.Event.ID] = c
	}
	for id, want := range map[string]string{"/a b": "nobody", "/a/b b": "nobody", "/s 1": "", "/s 2": "email=a@b.example", "/s 3": "card=1234", "/s 4": ""} {
		c, ok := byID[id]
		if !ok {
			t.Errorf("%s is not stored", id)
			continue
		}
		got := list(c.Event.IDs)
		if c.Event.ProfileLess {
			got = "nobody"
		}
		if got != want || c.Event.ProfileLess != (c.Profile == "") {
			t.Errorf("%s is about %q (profile %q), want %q", id, got, c.Profile, want)
		}
	}
	a = f.send(t, "POST", "/v1/cloudevents", `{"specversion":"1.0","source":"/s","id":"5","type":"identify","userid":"u","data":{"email":"c@d.example"}}`, "X-Write-Key", "shop-key")
	for _, c := range f.commands(t) {
		if c.Event.ID == "/s 5" && (string(c.Event.Traits) != `{"email":"c@d.example"}` || list(c.Event.IDs) != "user=u email=c@d.example") {
			t.Errorf("%d: identify is %+v with traits %s", a.status, c.Event, c.Event.Traits)
		}
	}
}

// Attributes become part of the event, so in binary mode they count for its size
// like those of an event that is written out whole.
func TestCloudEventSize(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Event = 1000 })
	header := []string{"X-Write-Key", "shop-key", "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Source", "/s", "Ce-Type", "t"}
	// specversion1.0 source/s typet idN and datacontenttype with its value are 61
	// bytes, and the name note 4.
	const attributes = 61
	body := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	for name, c := range map[string]struct {
		body, note string
		status     int
	}{
		"a full body":                   {body(1000 - attributes), "", 200},
		"a body with one byte more":     {body(1001 - attributes), "", 400},
		"full of attributes":            {"{}", strings.Repeat("n", 1000-attributes-4-2), 200},
		"attributes, a byte more":       {"{}", strings.Repeat("n", 1001-attributes-4-2), 400},
		"attributes alone, a byte more": {"", strings.Repeat("n", 1001-attributes-4), 400},
	} {
		more := []string{"Ce-Id", "1"}
		if c.note != "" {
			more = append(more, "Ce-Note", c.note)
		}
		a := f.send(t, "POST", "/v1/cloudevents", c.body, append(more, header...)...)
		if a.status != c.status || c.status == 400 && !strings.Contains(a.text, `an event of 1001 bytes is larger than the 1000 that are allowed`) {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
}
