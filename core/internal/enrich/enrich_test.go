package enrich

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

func valid(t testing.TB, text string) {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Errorf("not JSON: %s", text)
	}
}

const iPhone = `Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1`

const (
	iPhoneDevice = `"device":{"type":"mobile","brand":"Apple","model":"iPhone"}`
	iPhoneOS     = `"os":{"name":"iOS","version":"17.2"}`
	iPhoneApp    = `"app":{"name":"Safari","version":"17.2","bot":false}`
)

func TestEnrichedContext(t *testing.T) {
	e := New(nil)
	agent := `"userAgent":"` + iPhone + `"`
	for name, c := range map[string]struct{ context, properties, want string }{
		"nothing to tell": {`{"screen":"wide"}`, `{}`, `{"screen":"wide"}`},
		"nothing at all":  {``, ``, ``},
		"a user agent":    {`{` + agent + `}`, ``, `{` + agent + `,` + iPhoneDevice + `,` + iPhoneOS + `,` + iPhoneApp + `}`},
		"the client's own stays": {`{"app":{"name":"Shop"},"os":null,` + agent + `}`, ``,
			`{"app":{"name":"Shop"},"os":null,` + agent + `,` + iPhoneDevice + `}`},
		"a name in escapes": {`{"\u0061pp":1,"os":1,` + agent + `}`, ``, `{"\u0061pp":1,"os":1,` + agent + `,` + iPhoneDevice + `}`},
		"a name further down": {`{"shop":{"device":1},` + agent + `}`, ``,
			`{"shop":{"device":1},` + agent + `,` + iPhoneDevice + `,` + iPhoneOS + `,` + iPhoneApp + `}`},
		"no text":                        {`{"userAgent":{"brands":[]},"languages":7,"ip":[],"page":"x","campaign":[]}`, ``, `{"userAgent":{"brands":[]},"languages":7,"ip":[],"page":"x","campaign":[]}`},
		"languages":                      {`{"languages":"de-DE,en;q=0.5"}`, ``, `{"languages":["de-DE","en"]}`},
		"languages that the client sent": {`{"languages":["de"]}`, ``, `{"languages":["de"]}`},
		"a page": {`{"page":{"url":"https://shop.example/?utm_source=news&utm_campaign=May%20sale&x=1#top","referrer":"https://t.co/x"}}`, ``,
			`{"page":{"url":"https://shop.example/?utm_source=news&utm_campaign=May%20sale&x=1#top","referrer":"https://t.co/x"},"utm":{"source":"news","campaign":"May sale"},"referrer":{"host":"t.co","kind":"social"}}`},
		"a page's search": {`{"page":{"search":"?utm_medium=mail","referrer":""}}`, ``,
			`{"page":{"search":"?utm_medium=mail","referrer":""},"utm":{"medium":"mail"},"referrer":{"kind":"direct"}}`},
		"a campaign": {`{"campaign":{"name":"May","source":"news","medium":7,"other":"x"}}`, ``,
			`{"campaign":{"name":"May","source":"news","medium":7,"other":"x"},"utm":{"source":"news","campaign":"May"}}`},
		"a page in the properties": {``, `{"url":"https://shop.example/?utm_source=a","referrer":"https://www.bing.com/"}`,
			`{"utm":{"source":"a"},"referrer":{"host":"www.bing.com","kind":"search"}}`},
		"the context's page first": {`{"page":{"url":"https://shop.example/?utm_source=a"}}`, `{"url":"https://shop.example/?utm_source=b"}`,
			`{"page":{"url":"https://shop.example/?utm_source=a"},"utm":{"source":"a"}}`},
		"its own utm and referrer": {`{"utm":{"source":"own"},"referrer":{"type":"x"},"page":{"url":"https://a.example/?utm_source=b","referrer":""}}`, ``,
			`{"utm":{"source":"own"},"referrer":{"type":"x"},"page":{"url":"https://a.example/?utm_source=b","referrer":""}}`},
		"no UTF-8 in a parameter": {``, `{"url":"https://a.example/?utm_source=%ff"}`, `{"utm":{"source":"�"}}`},
		"a long parameter":        {``, `{"url":"https://a.example/?utm_source=` + strings.Repeat("x", 300) + `"}`, ``},
	} {
		event := record.Event{Context: []byte(c.context), Properties: []byte(c.properties)}
		e.Event(&event, nil)
		if string(event.Context) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, event.Context, c.want)
		}
		if len(event.Context) > 0 {
			valid(t, string(event.Context))
		}
		again := string(event.Context)
		if e.Event(&event, nil); string(event.Context) != again {
			t.Errorf("%s: a second time it becomes %s", name, event.Context)
		}
	}
}

// TestTextIsNotChanged holds that a command's own bytes, of which the context is a
// part, are never written to.
func TestTextIsNotChanged(t *testing.T) {
	text := []byte(`{"languages":"de","ip":"203.0.113.7","userAgent":"Twitterbot/1.0"}REST`)
	before := string(text)
	event := record.Event{Context: text[: len(text)-4 : len(text)]}
	New(nil).Event(&event, &config.Source{IP: config.IPTruncate})
	if string(text) != before || string(event.Context) == before[:len(before)-4] {
		t.Errorf("%s", text)
	}
}

func TestWhatASourceWants(t *testing.T) {
	e := New(nil)
	for name, c := range map[string]struct {
		source        config.Source
		context, want string
	}{
		"keep":                  {config.Source{IP: "keep"}, `{"ip":"203.0.113.7"}`, `{"ip":"203.0.113.7"}`},
		"truncate":              {config.Source{IP: "truncate"}, `{"a":1,"ip":"203.0.113.7","b":{}}`, `{"a":1,"ip":"203.0.113.0","b":{}}`},
		"truncate IPv6":         {config.Source{IP: "truncate"}, `{"ip":"2001:db8:1:2::3"}`, `{"ip":"2001:db8:1::"}`},
		"truncate IPv4 in6":     {config.Source{IP: "truncate"}, `{"ip":"::ffff:203.0.113.7"}`, `{"ip":"203.0.113.0"}`},
		"truncate no address":   {config.Source{IP: "truncate"}, `{"ip":"203.0.113.7, 10.0.0.1","a":1}`, `{"a":1}`},
		"truncate a long one":   {config.Source{IP: "truncate"}, `{"ip":"` + strings.Repeat("9", 100) + `","a":1}`, `{"a":1}`},
		"truncate a list":       {config.Source{IP: "truncate"}, `{"ip":["203.0.113.7"],"a":1}`, `{"a":1}`},
		"drop":                  {config.Source{IP: "drop"}, `{"ip":"203.0.113.7"}`, `{}`},
		"drop, name in escapes": {config.Source{IP: "drop"}, `{"\u0069p":"203.0.113.7","a":1}`, `{"a":1}`},
		"plain":                 {config.Source{Plain: true, IP: "keep"}, `{"userAgent":"Twitterbot/1.0","languages":"de"}`, `{"userAgent":"Twitterbot/1.0","languages":"de"}`},
		"plain, drop":           {config.Source{Plain: true, IP: "drop"}, `{"userAgent":"Twitterbot/1.0","ip":"203.0.113.7"}`, `{"userAgent":"Twitterbot/1.0"}`},
	} {
		event := record.Event{Context: []byte(c.context), Properties: []byte(`{}`)}
		if e.Event(&event, &c.source); string(event.Context) != c.want {
			t.Errorf("%s: %s, want %s", name, event.Context, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for name, c := range map[string]struct{ keep, context, want string }{
		"keep":              {"keep", `{"ip":"nonsense"}`, `{"ip":"nonsense"}`},
		"truncate":          {"truncate", `{"a":1,"ip":"203.0.113.7","b":{}}`, `{"a":1,"ip":"203.0.113.0","b":{}}`},
		"truncate again":    {"truncate", `{ "ip":"203.0.113.0"}`, `{ "ip":"203.0.113.0"}`},
		"truncate null":     {"truncate", `{"ip":null}`, `{}`},
		"truncate a list":   {"truncate", `{"ip":["203.0.113.7"],"a":1}`, `{"a":1}`},
		"drop":              {"drop", `{"ip":"203.0.113.7","a":1}`, `{"a":1}`},
		"drop, in escapes":  {"drop", `{"\u0069p":"203.0.113.7","a":1}`, `{"a":1}`},
		"further down":      {"drop", `{"request":{"ip":"203.0.113.7"}}`, `{"request":{"ip":"203.0.113.7"}}`},
		"as a value":        {"drop", `{"a":"ip"}`, `{"a":"ip"}`},
		"nothing":           {"drop", ``, ``},
		"an empty context":  {"drop", `{}`, `{}`},
		"none, but escapes": {"drop", `{"a":"\n"}`, `{"a":"\n"}`},
	} {
		if got := string(Cut([]byte(c.context), c.keep)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAgentsAreCachedWithinABound(t *testing.T) {
	e := New(nil)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 3000 {
				event := record.Event{Context: fmt.Appendf(nil, `{"userAgent":"App/%d (Linux)"}`, i*(g+1))}
				e.Event(&event, nil)
				if !strings.Contains(string(event.Context), fmt.Sprintf(`"version":"%d"`, i*(g+1))) {
					t.Errorf("%s", event.Context)
				}
			}
		})
	}
	group.Wait()
	if n := e.agents.len(); n == 0 || n > cachedAgents {
		t.Errorf("%d user agents are kept", n)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(`{"userAgent":"Twitterbot/1.0","ip":"::1","languages":"de","page":{"url":"x"}}`, `{"url":"https://a.example?utm_source=b"}`, true)
	e := New(nil)
	f.Fuzz(func(t *testing.T, context, properties string, truncate bool) {
		var object map[string]any
		if json.Unmarshal([]byte(context), &object) != nil || object == nil || json.Unmarshal([]byte(properties), &object) != nil || object == nil {
			return
		}
		source := &config.Source{IP: config.IPKeep}
		if truncate {
			source.IP = config.IPTruncate
		}
		if cut := Cut([]byte(context), source.IP); string(Cut(cut, source.IP)) != string(cut) {
			t.Errorf("%s is cut to %s, and then to %s", context, cut, Cut(cut, source.IP))
		} else {
			valid(t, string(cut))
		}
		event := record.Event{Context: []byte(context), Properties: []byte(properties)}
		e.Event(&event, source)
		valid(t, string(event.Context))
	})
}

func BenchmarkEvent(b *testing.B) {
	places := openPlaces(b, city)
	for name, c := range map[string]struct{ context, properties string }{
		"nothing":            {``, `{"total":22.5,"products":["a","b"],"currency":"EUR"}`},
		"no facts":           {`{"screen":{"width":1280},"library":{"name":"x","version":"1"}}`, `{"total":22.5}`},
		"browser":            {`{"ip":"81.2.69.160","languages":"de-DE,de;q=0.9,en;q=0.8","userAgent":"` + iPhone + `"}`, `{"total":22.5}`},
		"browser and a page": {`{"ip":"81.2.69.160","userAgent":"` + iPhone + `","page":{"url":"https://shop.example/a?utm_source=news&utm_medium=mail","referrer":"https://www.google.com/","title":"A"}}`, `{}`},
		"enriched before":    {`{"languages":["de"],"userAgent":"` + iPhone + `",` + iPhoneDevice + `,` + iPhoneOS + `,` + iPhoneApp + `}`, `{"total":22.5}`},
	} {
		b.Run(name, func(b *testing.B) {
			e, source := New(places), &config.Source{IP: config.IPKeep}
			b.ReportAllocs()
			for b.Loop() {
				event := record.Event{Context: []byte(c.context), Properties: []byte(c.properties)}
				e.Event(&event, source)
			}
		})
	}
	b.Run("user agent not seen before", func(b *testing.B) {
		for b.Loop() {
			ParseAgent(iPhone)
		}
	})
}
