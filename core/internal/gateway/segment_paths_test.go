package gateway

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
)

// Every path of the wire format makes the event that the contract names.
func TestSegmentPaths(t *testing.T) {
	f := newFixture(t, nil)
	event := `"userId":"u1","anonymousId":"a1","event":"Song Played","name":"Home","groupId":"g1","previousId":"p1","properties":{"n":1},"traits":{"email":"x@y.example"}`
	types := map[string]string{
		"track": "song-played", "t": "song-played", "identify": "identify", "i": "identify", "page": "page-view", "p": "page-view",
		"screen": "screen-view", "s": "screen-view", "group": "group", "g": "group", "alias": "alias", "a": "alias",
		"batch": "page-view", "b": "page-view", "import": "page-view",
	}
	for path := range types {
		body := `{"messageId":"` + path + `",` + event + `}`
		if path == "batch" || path == "b" || path == "import" {
			body = `{"batch":[{"messageId":"` + path + `","type":"page",` + event + `}]}`
		}
		a := f.send(t, "POST", "/v1/"+path, body, "Content-Type", "text/plain;charset=UTF-8", "Authorization", basic("shop-key:"), "X-Retry-Count", "2", "RS-nodeCount", "1")
		if a.status != 200 || a.text != `{"success":true}` {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	commands := f.commands(t)
	if len(commands) != len(types) {
		t.Errorf("%d events, want %d", len(commands), len(types))
	}
	for _, c := range commands {
		if c.Event.Type != types[c.Event.ID] {
			t.Errorf("/v1/%s makes %s, want %s", c.Event.ID, c.Event.Type, types[c.Event.ID])
		}
	}
}

func TestSegmentCalls(t *testing.T) {
	f := newFixture(t, nil)
	for name, c := range map[string]struct{ path, body, ids, properties, traits, context string }{
		"path wins":        {"/v1/p", `{"type":"track","event":"x","userId":"1"}`, "user=1", "", "", `{"segment":{"type":"page","event":"x"}}`},
		"identify links":   {"/v1/i", `{"userId":"1","anonymousId":"a","traits":{"email":"A@b.example"}}`, "user=1 email=a@b.example anonymous=a", "", `{"email":"A@b.example"}`, `{"segment":{"type":"identify"}}`},
		"a group's traits": {"/v1/g", `{"userId":"1","groupId":7,"traits":{"email":"info@acme.example"}}`, "user=1", `{"groupId":"7"}`, `{"email":"info@acme.example"}`, `{"segment":{"type":"group"}}`},
		"alias links":      {"/v1/a", `{"userId":"1","previousId":"a"}`, "user=1 anonymous=a", `{"previousId":"a"}`, "", `{"segment":{"type":"alias"}}`},
		"screen":           {"/v1/s", `{"anonymousId":"a","name":"Start","properties":{"b":2}}`, "anonymous=a", `{"b":2}`, "", `{"segment":{"type":"screen","name":"Start"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			a := f.send(t, "POST", c.path, `{"messageId":"`+id+`",`+c.body[1:], "X-Write-Key", "shop-key")
			if a.status != 200 {
				t.Fatalf("%d %s", a.status, a.text)
			}
			for _, command := range f.commands(t) {
				e := command.Event
				if e.ID != id {
					continue
				}
				got := []string{list(e.IDs), string(e.Properties), string(e.Traits), string(e.Context)}
				for i, want := range []string{c.ids, c.properties, c.traits, c.context} {
					if got[i] != want {
						t.Errorf("%q, want %q", got[i], want)
					}
				}
				return
			}
			t.Error("not stored")
		})
	}
}

func TestSegmentSingleRequests(t *testing.T) {
	f := newFixture(t, nil)
	key := []string{"X-Write-Key", "shop-key"}
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
	}{
		"key in body":      {"/v1/t", `{"event":"x","userId":"1","writeKey":"shop-key"}`, nil, 200},
		"key in body, k:":  {"/v1/t", `{"event":"x","userId":"1","writeKey":"shop-key:secret"}`, nil, 200},
		"masked key":       {"/v1/t", `{"event":"x","userId":"1","writeKey":"***"}`, nil, 401},
		"no key":           {"/v1/t", `{"event":"x","userId":"1"}`, nil, 401},
		"gzip":             {"/v1/t", gzipped(`{"event":"x","userId":"1"}`), append(key, "Content-Encoding", "gzip"), 200},
		"poison":           {"/v1/t", `{"event":"x"}`, key, 200},
		"too large":        {"/v1/t", `{"event":"x","userId":"1","properties":{"a":"` + strings.Repeat("x", 33<<10) + `"}}`, key, 200},
		"group of nothing": {"/v1/g", `{"userId":"1"}`, key, 200},
		"alias of nobody":  {"/v1/a", `{"anonymousId":"1","previousId":"x"}`, key, 200},
		"empty":            {"/v1/t", ` `, key, 400},
		"cut":              {"/v1/t", `{"event":"x"`, key, 400},
		"no object":        {"/v1/t", `7`, key, 400},
		"goes on":          {"/v1/t", `{"event":"x","userId":"1"}{}`, key, 400},
		"wrong page":       {"/v1/t", `{"event":"x","userId":"1"}`, []string{"X-Write-Key", "web-key", "Origin", "https://evil.example"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.send(t, "POST", c.path, c.body, c.header...); a.status != c.status || c.status == 200 && a.text != `{"success":true}` {
				t.Errorf("%d %s, want %d", a.status, a.text, c.status)
			}
		})
	}
	if n := len(f.commands(t)); n != 3 {
		t.Errorf("%d events are stored, want those of the two keys and the gzip", n)
	}
	var metrics strings.Builder
	f.Metrics(&metrics)
	if !strings.Contains(metrics.String(), `tributary_ingest_events_total{source="shop",result="invalid"} 4`) {
		t.Errorf("what was refused in silence is not counted:\n%s", metrics.String())
	}
}

// What analytics.js needs to start, and to send to where its settings came from.
func TestSegmentSettings(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Proxies = Proxies{Networks: networks(t, "127.0.0.0/8")} })
	a := f.send(t, "GET", "/v1/projects/shop-key/settings", "", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "events.shop.example")
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	for path, want := range map[string]any{
		"integrations.Segment\\.io.apiKey":                  "shop-key",
		"integrations.Segment\\.io.apiHost":                 "events.shop.example/v1",
		"integrations.Segment\\.io.protocol":                "https",
		"integrations.Segment\\.io.versionSettings.version": "4.4.7",
		"plan.track.__default.enabled":                      true,
		"plan.identify.__default.enabled":                   true,
		"plan.group.__default.enabled":                      true,
		"analyticsNextEnabled":                              true,
	} {
		var v any = a.body
		for name := range strings.SplitSeq(strings.ReplaceAll(path, `\.`, "\x00"), ".") {
			object, _ := v.(map[string]any)
			v = object[strings.ReplaceAll(name, "\x00", ".")]
		}
		if v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
	for path, status := range map[string]int{"/v1/projects/nobody/settings": 401, "/v1/projects/old-key/settings": 401, "/v1/projects/shop-key:x/settings": 200} {
		if a := f.send(t, "GET", path, ""); a.status != status {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.text, status)
		}
	}
	if a := f.send(t, "GET", "/v1/projects/web-key/settings", "", "Origin", "https://evil.example"); a.status != 403 {
		t.Errorf("a page that may not send: %d", a.status)
	}
	if a := f.send(t, "POST", "/v1/m", `{"series":[]}`); a.status != 200 || a.text != "" {
		t.Errorf("telemetry: %d %q", a.status, a.text)
	}
	a = f.send(t, "GET", "/cluster-info", "")
	if v, err := sdk.ParseObject([]byte(a.text)); err != nil || v["nodeCount"] != int64(1) {
		t.Errorf("cluster-info: %d %s", a.status, a.text)
	}
}

func TestPreflightsAllowWhatClientsSend(t *testing.T) {
	for asked, want := range map[string]string{
		"":                            allowedHeaders,
		"authorization,content-type":  allowedHeaders,
		"X-Enable-Debug, x-ip-policy": allowedHeaders + ", x-enable-debug, x-ip-policy",
		"ce-id,bad\r\nheader,é":       allowedHeaders + ", ce-id",
		strings.Repeat("x", 2<<10):    allowedHeaders,
	} {
		if got := allowed(asked); got != want {
			t.Errorf("%.40q: %s, want %s", asked, got, want)
		}
	}
}
