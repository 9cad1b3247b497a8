package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"

// fromAbroad are the headers of a browser whose address a proxy on this machine
// tells.
var fromAbroad = []string{"X-Forwarded-For", "203.0.113.7", "User-Agent", firefox, "Accept-Language", "de-DE,en;q=0.5"}

const screened = testResources + `
---
kind: source
id: strict
spec: {keys: [strict-key], types: [page-view, 'order-*']}
---
kind: source
id: marking
spec: {keys: [marking-key], bots: mark}
---
kind: source
id: refusing
spec: {keys: [refusing-key], bots: refuse, enrich: false}
---
kind: source
id: network
spec: {keys: [network-key], ip: truncate}
---
kind: source
id: hidden
spec: {keys: [hidden-key], ip: drop}
---
kind: source
id: plain
spec: {keys: [plain-key], enrich: false}
`

func newScreened(t testing.TB) *fixture {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(screened))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, func(o *Options) {
		o.Resources = fixedResources{set}
		o.Proxies = Proxies{Networks: networks(t, "127.0.0.0/8"), Header: "x-forwarded-for"}
	})
}

// contexts returns the contexts of the commands by event id.
func (f *fixture) contexts(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, c := range f.commands(t) {
		found[c.Event.ID] = string(c.Event.Context)
		if len(c.Event.Context) > 0 && !json.Valid(c.Event.Context) {
			t.Errorf("event %s has the context %s", c.Event.ID, c.Event.Context)
		}
	}
	return found
}

func TestFactsAboutTheSender(t *testing.T) {
	const agent, languages = `"userAgent":"` + firefox + `"`, `"languages":"de-DE,en;q=0.5"`
	f := newScreened(t)
	want := map[string]string{}
	for name, c := range map[string]struct {
		key     string
		headers []string
		context string
		want    string
	}{
		"no context":          {"shop-key", fromAbroad, ``, `{"ip":"203.0.113.7",` + agent + `,` + languages + `}`},
		"an empty context":    {"shop-key", fromAbroad, `{ }`, `{"ip":"203.0.113.7",` + agent + `,` + languages + `}`},
		"one of its own":      {"shop-key", fromAbroad, `{"a":{"b":"\u00e4\\"}}`, `{"ip":"203.0.113.7",` + agent + `,` + languages + `,"a":{"b":"\u00e4\\"}}`},
		"what it says itself": {"shop-key", fromAbroad, `{"ip":"198.51.100.1","userAgent":null,"x":1}`, `{` + languages + `,"ip":"198.51.100.1","userAgent":null,"x":1}`},
		"all of it itself":    {"shop-key", fromAbroad, `{"languages":["fr"],"ip":"198.51.100.1","userAgent":"x"}`, `{"languages":["fr"],"ip":"198.51.100.1","userAgent":"x"}`},
		"further down":        {"shop-key", fromAbroad, `{"request":{"ip":"198.51.100.1"}}`, `{"ip":"203.0.113.7",` + agent + `,` + languages + `,"request":{"ip":"198.51.100.1"}}`},
		"as a value":          {"shop-key", fromAbroad, `{"x":"ip"}`, `{"ip":"203.0.113.7",` + agent + `,` + languages + `,"x":"ip"}`},
		"in escapes":          {"shop-key", fromAbroad, `{"\u0069p":"198.51.100.1"}`, `{` + agent + `,` + languages + `,"\u0069p":"198.51.100.1"}`},
		"a network":           {"network-key", fromAbroad, ``, `{"ip":"203.0.113.0",` + agent + `,` + languages + `}`},
		"no address":          {"hidden-key", fromAbroad, ``, `{` + agent + `,` + languages + `}`},
		"plain":               {"plain-key", fromAbroad, `{"a":1}`, `{"a":1}`},
		"of this machine":     {"shop-key", []string{"User-Agent", firefox}, ``, `{` + agent + `}`},
		"a server":            {"shop-key", []string{"User-Agent", "python-requests/2.31.0", "X-Forwarded-For", "203.0.113.7", "Accept-Language", "de"}, ``, ``},
		"pretending":          {"shop-key", []string{"User-Agent", firefox, "X-Forwarded-For", "198.51.100.1, 203.0.113.7"}, ``, `{"ip":"203.0.113.7",` + agent + `}`},
		"no UTF-8":            {"shop-key", []string{"User-Agent", "Mozilla/5.0 (\xff\")"}, ``, `{"userAgent":"Mozilla/5.0 (` + "\uFFFD" + `\")"}`},
		"long":                {"shop-key", []string{"User-Agent", "Mozilla/5.0 " + strings.Repeat("x", 5000), "Accept-Language", strings.Repeat("de,", 100)}, ``, `{"userAgent":"Mozilla/5.0 ` + strings.Repeat("x", 500) + `"}`},
	} {
		body := `{"type":"x","id":"` + name + `"}`
		if c.context != "" {
			body = `{"type":"x","id":"` + name + `","context":` + c.context + `}`
		}
		if a := f.send(t, "POST", "/v1/events", body, append(c.headers, "X-Write-Key", c.key)...); a.statuses() != "accepted" {
			t.Errorf("%s: %s", name, a.text)
		}
		want[name] = c.want
	}
	got := f.contexts(t)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got[name], want[name])
		}
	}
}

// TestFactsOnEveryPath sends several events at once in each dialect, so that none
// gets what belongs to another.
func TestFactsOnEveryPath(t *testing.T) {
	f := newScreened(t)
	send := func(path, body string) {
		t.Helper()
		if a := f.send(t, "POST", path, body, append(fromAbroad, "X-Write-Key", "shop-key")...); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	send("/v1/events", `[{"type":"x","id":"n1"},{"type":"x","id":"n2","context":{"a": 1}},{"type":"x","id":"n3"}]`)
	send("/v1/batch", `{"context":{"library":{"name":"l"}},"batch":[{"type":"track","event":"x","messageId":"s1","userId":"1"},{"type":"track","event":"x","messageId":"s2","userId":"1","context":{"ip":"198.51.100.1"}}]}`)
	send("/track", `{"options":{"async":true},"session":{"id":"s"},"context":{"a":1},"events":[{"type":"x","id":"t1"},{"type":"x","id":"t2"}]}`)
	c := f.dial(t, "?key=shop-key", fromAbroad...)
	c.send(`{"id":1,"track":{"events":[{"type":"x","id":"w1"},{"type":"x","id":"w2"}]}}`, `{"id":2,"track":{"events":[{"type":"x","id":"w3"}]}}`)
	c.line()
	c.line()
	contexts := f.contexts(t)
	if len(contexts) != 10 {
		t.Errorf("%d events", len(contexts))
	}
	for id, context := range contexts {
		var got map[string]any
		if err := json.Unmarshal([]byte(context), &got); err != nil {
			t.Errorf("%s: %s: %v", id, context, err)
		}
		address := "203.0.113.7"
		if id == "s2" {
			address = "198.51.100.1"
		}
		if got["ip"] != address || got["userAgent"] != firefox || got["languages"] != "de-DE,en;q=0.5" {
			t.Errorf("%s: %s", id, context)
		}
	}
}

// TestAddressesAreCutBeforeTheyAreStored holds that what is accepted has no more of
// an address than its source wants, on every path and whoever wrote it: when it is
// processed the source may be gone, and what it wanted with it.
func TestAddressesAreCutBeforeTheyAreStored(t *testing.T) {
	f := newScreened(t)
	for _, key := range []string{"network-key", "hidden-key"} {
		context := `"context":{"ip":"198.51.100.23","a":1}`
		for path, body := range map[string]string{
			"/v1/events": `{"type":"x",` + context + `}`,
			"/v1/batch":  `{"batch":[{"type":"track","event":"x","userId":"1",` + context + `},{"type":"track","event":"x","userId":"1"}],"context":{"ip":"198.51.100.23"}}`,
			"/v1/t":      `{"event":"x","userId":"1",` + context + `}`,
			"/track":     `{"events":[{"type":"x",` + context + `},{"type":"x"}],"context":{"\u0069p":"198.51.100.23"},"options":{"async":true}}`,
		} {
			if a := f.send(t, "POST", path, body, append(fromAbroad, "X-Write-Key", key)...); a.status != 200 {
				t.Errorf("%s: %d %s", path, a.status, a.text)
			}
		}
		if a := f.send(t, "GET", "/pixel.gif?type=x&ids.user=1&context.ip=198.51.100.23&writeKey="+key, ""); a.status != 200 {
			t.Errorf("pixel: %d %s", a.status, a.text)
		}
		c := f.dial(t, "?key="+key)
		c.send(`{"id":1,"track":{"events":[{"id":"w","type":"x",` + context + `}]}}`)
		c.expect(`{"id":1,"ack":{"results":[{"id":"w","status":"accepted"}]}}`)
		source, refused := f.current().sourceOf(key)
		if refused != nil {
			t.Fatal(refused)
		}
		if submitted, err := f.Submit(t.Context(), source, []byte(`{"type":"x",`+context+`}`)); err != nil || submitted[0].Status != "accepted" {
			t.Errorf("%+v, %v", submitted, err)
		}
	}
	stored := map[string]int{}
	for _, command := range f.commands(t) {
		context := string(command.Event.Context)
		if stored[command.Event.Source]++; strings.Contains(context, "198.51.100.23") || strings.Contains(context, "203.0.113.7") {
			t.Errorf("of source %s is stored %s", command.Event.Source, context)
		}
		ip, _ := sdk.RawView(command.Event.Context).Member("ip").String("")
		if command.Event.Source == "network" && strings.Contains(context, `"a":1`) && ip != "198.51.100.0" || command.Event.Source == "hidden" && ip != "" {
			t.Errorf("of source %s is stored %s", command.Event.Source, context)
		}
	}
	if stored["network"] != 9 || stored["hidden"] != 9 {
		t.Errorf("stored are %v", stored)
	}
}

func TestTypesOfASource(t *testing.T) {
	f := newScreened(t)
	a := f.send(t, "POST", "/v1/events", `[{"type":"page-view","id":"1"},{"type":"order-completed","id":"2"},{"type":"login","id":"3"},{"type":"page-view","id":"3"}]`, "X-Write-Key", "strict-key")
	if a.status != 200 || a.statuses() != "accepted accepted invalid accepted" {
		t.Errorf("%d %s", a.status, a.text)
	}
	if want := `{"code":"invalid","message":"type: source strict may not send login; see its types","details":[{"path":"type","message":"source strict may not send login; see its types"}]}`; !strings.Contains(a.text, want) {
		t.Errorf("%s", a.text)
	}
	c := f.dial(t, "?key=strict-key")
	c.send(`{"id":1,"track":{"events":[{"type":"order-","id":"4"},{"type":"order","id":"5"}]}}`)
	if got := c.line(); !strings.Contains(got, `{"id":"4","status":"accepted"},{"id":"5","status":"invalid"`) {
		t.Error(got)
	}
	if a := f.send(t, "POST", "/v1/batch", `{"batch":[{"type":"track","event":"Order Completed","userId":"1","messageId":"6"},{"type":"identify","userId":"1","messageId":"7"}]}`, "X-Write-Key", "strict-key"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.text)
	}
	source, _ := f.current().set.Source("strict")
	submitted, err := f.Submit(t.Context(), source, []byte(`[{"type":"login","id":"8"}]`))
	if err != nil || submitted[0].Status != "invalid" || !strings.Contains(submitted[0].Reason, "may not send login") {
		t.Errorf("%+v, %v", submitted, err)
	}
	stored := map[string]bool{}
	for _, c := range f.commands(t) {
		stored[c.Event.ID] = true
	}
	if len(stored) != 5 || stored["5"] || stored["7"] || stored["8"] {
		t.Errorf("stored are %v", stored)
	}
}

func TestRobots(t *testing.T) {
	const robot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	f := newScreened(t)
	for name, c := range map[string]struct{ key, agent, context, status string }{
		"allowed":                    {"shop-key", robot, `{}`, "accepted"},
		"marked":                     {"marking-key", robot, `{}`, "accepted"},
		"marked by what it says":     {"marking-key", firefox, `{"userAgent":"` + robot + `"}`, "accepted"},
		"a person":                   {"marking-key", firefox, `{}`, "accepted"},
		"a person through a robot":   {"refusing-key", robot, `{"userAgent":"` + firefox + `"}`, "accepted"},
		"a server":                   {"refusing-key", "python-requests/2.31.0", `{}`, "accepted"},
		"refused":                    {"refusing-key", robot, `{}`, "invalid"},
		"refused by what it says":    {"refusing-key", "python-requests/2.31.0", `{"userAgent":"` + robot + `"}`, "invalid"},
		"refused, with odd contents": {"refusing-key", robot, `{"userAgent":7}`, "invalid"},
	} {
		a := f.send(t, "POST", "/v1/events", `{"type":"x","id":"`+name+`","tags":["a"],"context":`+c.context+`}`, "X-Write-Key", c.key, "User-Agent", c.agent)
		if a.statuses() != c.status || c.status == "invalid" != strings.Contains(a.text, `"error":{"code":"bot","message":"its user agent is that of a robot`) {
			t.Errorf("%s: %s", name, a.text)
		}
	}
	for _, c := range f.commands(t) {
		want := "[a]"
		if strings.HasPrefix(c.Event.ID, "marked") {
			want = "[a bot]"
		}
		if got := fmt.Sprint(c.Event.Tags); got != want || strings.HasPrefix(c.Event.ID, "refused") {
			t.Errorf("%s has the tags %s", c.Event.ID, got)
		}
	}
}

// TestRateOnEveryPath holds that a source over its rate is told when to come back,
// in whole seconds, and that nothing of it is stored.
func TestRateOnEveryPath(t *testing.T) {
	f := newScreened(t)
	burst := "[" + strings.TrimSuffix(strings.Repeat(`{"type":"x"},`, 1000), ",") + "]"
	if a := f.send(t, "POST", "/v1/events", burst, "X-Write-Key", "slow-key"); a.status != 200 {
		t.Fatal(a.text)
	}
	for path, body := range map[string]string{
		"/v1/events": `{"type":"late"}`,
		"/v1/batch":  `{"batch":[{"type":"track","event":"late","userId":"1"}]}`,
		"/track":     `{"session":{"id":"s"},"events":[{"type":"late"}]}`,
	} {
		a := f.send(t, "POST", path, body, "X-Write-Key", "slow-key")
		if a.status != 429 || a.header.Get("Retry-After") != "3600" || a.code() != codeTooMany {
			t.Errorf("%s: %d %s %v", path, a.status, a.text, a.header)
		}
	}
	c := f.dial(t, "?key=slow-key")
	for i, wait := range []string{"", `,"wait":"processed"`} {
		c.send(fmt.Sprintf(`{"id":%d,"track":{"events":[{"type":"late"}]%s}}`, i+1, wait))
		c.expect(fmt.Sprintf(`{"id":%d,"error":{"code":"too_many_requests","message":"source slow may send 1 events in 1h0m0s","temporary":true,"retry_after":3600}}`, i+1))
	}
	for _, command := range f.commands(t) {
		if command.Event.Type == "late" {
			t.Errorf("stored %+v", command.Event)
		}
	}
}

func BenchmarkFacts(b *testing.B) {
	source := &config.Source{ID: "shop", IP: config.IPKeep, Bots: config.BotsAllow}
	for name, context := range map[string]string{
		"no context":  ``,
		"a context":   `{"page":{"url":"https://shop.example/a","referrer":"https://www.google.com/"},"screen":{"width":1280}}`,
		"said itself": `{"userAgent":"` + firefox + `","ip":"203.0.113.7","languages":["de"]}`,
	} {
		for _, sends := range []struct {
			name   string
			sender sender
		}{{"with", sender{address: networks(b, "203.0.113.7")[0].Addr(), agent: firefox, languages: "de-DE,en;q=0.5", personal: true}}, {"without", sender{}}} {
			b.Run(name+"/"+sends.name, func(b *testing.B) {
				limits := Limits{}.withDefaults()
				batch := newBatch(testNow, &limits)
				batch.sender = sends.sender
				for range 10 {
					batch.add()
				}
				b.ReportAllocs()
				for b.Loop() {
					batch.arena = batch.arena[:0]
					for i := range batch.events {
						batch.events[i].Context = []byte(context)
					}
					batch.screen(source)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/event")
			})
		}
	}
}
