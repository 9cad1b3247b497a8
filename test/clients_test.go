package test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clients of others, as they come from their registry and without a change,
// are pointed at the product: every event arrives once, as it was meant.

// shopOrders counts orders on the profile, once each or it shows.
const shopOrders = `
kind: source
id: shop
spec: {keys: [shop-key]}
---
kind: event-type
id: order-completed
spec:
  copy:
    - {to: counters.orders, op: increment}
    - {to: counters.revenue, from: event.properties.total, op: increment}
`

// node runs a client's script against an address.
func node(t *testing.T, script string, args ...string) {
	t.Helper()
	if out, err := try(t, script, args...); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func try(t *testing.T, script string, args ...string) (string, error) {
	t.Helper()
	if _, err := os.Stat("clients/node_modules"); err != nil {
		t.Fatal("the clients are not installed; make test-clients does it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir = "clients"
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// events waits until the store has n events, and returns those that it has, by type.
func (p *product) events(n int) map[string][]map[string]any {
	p.t.Helper()
	p.counts("events", `event.source == "shop"`, n)
	a := p.api(http.MethodPost, "/api/v1/events/query", `{"filter":"event.source == \"shop\"","limit":1000}`)
	items, _ := a.value["items"].([]any)
	if a.status != http.StatusOK || len(items) != n {
		p.t.Errorf("%d events, want %d: %d %s", len(items), n, a.status, a.body)
	}
	byType := map[string][]map[string]any{}
	for _, item := range items {
		event, _ := item.(map[string]any)
		name := fmt.Sprint(event["type"])
		byType[name] = append(byType[name], event)
	}
	return byType
}

// tells holds a document to what its fields should be, by path.
func tells(t *testing.T, what string, document map[string]any, fields map[string]any) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		got, _ := json.Marshal(at(document, strings.Split(path, ".")...))
		want, _ := json.Marshal(fields[path])
		if string(got) != string(want) {
			t.Errorf("%s: %s is %s, want %s", what, path, got, want)
		}
	}
}

// holdsShop holds the product to what Segment's and RudderStack's scripts send.
func (p *product) holdsShop(orders int) {
	t := p.t
	t.Helper()
	events := p.events(5 + orders)
	ann := p.profile("user:ann")
	tells(t, "the profile", ann, map[string]any{
		"traits.firstName": "Ann", "traits.email": "ann@shop.example", "counters.orders": orders, "counters.revenue": 12.5 * float64(orders),
		"identities.user": []string{"ann"},
	})
	// Both the anonymous id and the previous one are hers.
	tells(t, "the holder of b7", p.profile("anonymous:b7"), map[string]any{"id": ann["id"]})
	tells(t, "the holder of guest-1", p.profile("anonymous:guest-1"), map[string]any{"id": ann["id"]})
	for name, fields := range map[string]map[string]any{
		"identify":        {"traits.firstName": "Ann", "context.segment.type": "identify"},
		"page-view":       {"properties.url": "https://shop.example/", "context.segment.name": "Home"},
		"screen-view":     {"properties.items": 2, "context.segment.name": "Basket"},
		"group":           {"properties.groupId": "acme", "traits.plan": "gold"},
		"alias":           {"properties.previousId": "guest-1"},
		"order-completed": {"properties.total": 12.5, "properties.note": "größer als 10 €", "context.segment.event": "Order Completed", "context.campaign.name": "spring"},
	} {
		want := 1
		if name == "order-completed" {
			want = orders
		}
		if len(events[name]) != want {
			t.Errorf("%d events %s, want %d", len(events[name]), name, want)
		}
		for _, event := range events[name] {
			tells(t, name, event, fields)
			tells(t, name, event, map[string]any{"profile": ann["id"], "valid": true})
			happened, err := time.Parse(time.RFC3339, fmt.Sprint(event["time"]))
			when := time.Now()
			if name == "order-completed" {
				when = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
			}
			if off := when.Sub(happened).Abs(); err != nil || off > 3*time.Minute {
				t.Errorf("%s is of %v, want %s or near it", name, event["time"], when)
			}
		}
	}
	places := map[any]bool{}
	for _, event := range events["order-completed"] {
		places[at(event, "properties", "place")] = true
	}
	if len(places) != orders {
		t.Errorf("%d different orders, want %d", len(places), orders)
	}
}

func TestClientsOfServers(t *testing.T) {
	needsClients(t)
	t.Parallel()
	for _, script := range []string{"segment-node.mjs", "rudder-node.mjs"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p := launch(t)
			p.apply(shopOrders)
			node(t, script, p.url, "shop-key", "40")
			p.holdsShop(40)
		})
	}
}

// A front is a load balancer before the product: while that is stopped it
// answers 503 for it, and it can lose answers.
type front struct {
	url string
	mu  sync.Mutex
	// lose is how many answers are still to be lost, once the product has given them.
	lose, refused int
	encodings     map[string]int // requests by Content-Encoding
}

func newFront(t *testing.T, p *product) *front {
	t.Helper()
	f := &front{encodings: map[string]int{}}
	through := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			f.mu.Lock()
			f.encodings[r.In.Header.Get("Content-Encoding")]++
			f.mu.Unlock()
			if target, err := url.Parse(p.url); err == nil {
				r.SetURL(target)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refused++
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		ModifyResponse: func(*http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.lose > 0 {
				f.lose--
				return fmt.Errorf("lost, %d to go", f.lose)
			}
			return nil
		},
	}
	server := httptest.NewServer(through)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// refusals is how many requests were answered 503.
func (f *front) refusals() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// Clients that are told to come back do, and what the product had taken in
// before is not taken twice.
func TestClientsRetryAndAreCountedOnce(t *testing.T) {
	needsClients(t)
	t.Parallel()
	for script, encoding := range map[string]string{"segment-node.mjs": "", "rudder-node.mjs": "gzip"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p := launch(t)
			p.apply(shopOrders)
			f := newFront(t, p)
			f.lose = 2
			p.stop()
			type result struct {
				out string
				err error
			}
			sent := make(chan result, 1)
			go func() {
				out, err := try(t, script, f.url, "shop-key", "20")
				sent <- result{out, err}
			}()
			eventually(t, 30*time.Second, "the client to be refused", func() bool { return f.refusals() > 0 })
			p.start()
			if r := <-sent; r.err != nil {
				t.Fatalf("%v\n%s", r.err, r.out)
			}
			if n := f.refusals(); n < 3 {
				t.Errorf("%d requests were refused, want more than the two answers lost", n)
			}
			f.mu.Lock()
			if len(f.encodings) != 1 || f.encodings[encoding] == 0 {
				t.Errorf("requests by encoding: %v, want only %q", f.encodings, encoding)
			}
			f.mu.Unlock()
			p.holdsShop(20)
		})
	}
}

// Ten users whom one process sends for, with one anonymous id, are ten people.
func TestClientsOfJitsuStayApart(t *testing.T) {
	needsClients(t)
	t.Parallel()
	for _, side := range []string{"browser", "server"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			p := launch(t)
			p.apply(shopOrders)
			const users = 10
			node(t, "jitsu.mjs", p.url, "shop-key", fmt.Sprint(users), side)
			events := p.events(4 * users)
			for name, fields := range map[string]map[string]any{
				"identify": {"context.segment.type": "identify"}, "order-completed": {"context.segment.event": "Order Completed"},
				"page-view": {"properties.title": "Home", "context.library.name": "@jitsu/js"}, "group": {"properties.groupId": "acme"},
			} {
				if len(events[name]) != users {
					t.Errorf("%d events %s, want %d", len(events[name]), name, users)
				}
				for _, event := range events[name] {
					tells(t, name, event, fields)
				}
			}
			p.counts("profiles", "true", users)
			for i := range users {
				user := fmt.Sprintf("user-%d", i)
				profile := p.profile("user:" + user)
				tells(t, user, profile, map[string]any{
					"identities.user": []string{user}, "traits.email": user + "@shop.example", "counters.orders": 1, "counters.revenue": i,
				})
				p.counts("events", fmt.Sprintf(`event.profile == %q && event.source != "system"`, profile["id"]), 4)
			}
		})
	}
}

func TestClientsOfCloudEvents(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(shopOrders)
	node(t, "cloudevents.mjs", p.url, "shop-key")
	events := p.events(5)["order-completed"]
	if len(events) != 5 {
		t.Fatalf("%d orders, want 5", len(events))
	}
	for _, event := range events {
		tells(t, fmt.Sprint(event["id"]), event, map[string]any{
			"properties.total": 12.5, "properties.note": "größer als 10 €", "time": "2026-03-01T10:00:00.000Z", "valid": true,
		})
		ann := strings.Contains(fmt.Sprint(event["id"]), "structured")
		if (event["profile"] != nil) != ann {
			t.Errorf("%v is about %v; only that which names a user is about somebody", event["id"], event["profile"])
		}
	}
	tells(t, "ann", p.profile("user:ann"), map[string]any{"counters.orders": 1})
}

// segmentPage serves a page of another origin with Segment's client for browsers,
// pointed at an address.
func segmentPage(t *testing.T, address string) (url string) {
	t.Helper()
	files := http.FileServer(http.Dir("clients/node_modules/@segment/analytics-next/dist/umd"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="/index.js"></script><script>
			var analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey: 'shop-key', cdnURL: %q },
				{ integrations: { 'Segment.io': { apiHost: %q, protocol: 'http' } } })</script>`, address, strings.TrimPrefix(address, "http://")+"/v1")
	}))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// Segment's client for browsers boots from the product's settings, in a page of
// another origin.
func TestClientsInABrowser(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(shopOrders)
	page := browse(t).open(segmentPage(t, p.url))
	page.do(`(async () => {
		await analytics.page('Start', 'Home', { section: 'top' })
		await analytics.identify('ann', { firstName: 'Ann' })
		await analytics.track('Order Completed', { total: 12.5, note: 'größer als 10 €' })
		await analytics.group('acme', { plan: 'gold' })
	})()`)
	anonymous := page.do("analytics.user().then(u => u.anonymousId())")
	events := p.events(4)
	ann := p.profile("user:ann")
	tells(t, "the profile", ann, map[string]any{
		"traits.firstName": "Ann", "counters.orders": 1, "counters.revenue": 12.5, "identities.user": []string{"ann"}, "identities.anonymous": []any{anonymous},
	})
	for name, fields := range map[string]map[string]any{
		"page-view":       {"properties.section": "top", "properties.title": "Shop", "context.segment.name": "Home", "context.segment.category": "Start"},
		"identify":        {"traits.firstName": "Ann"},
		"order-completed": {"properties.total": 12.5, "properties.note": "größer als 10 €", "context.page.title": "Shop", "context.library.name": "analytics.js"},
		"group":           {"properties.groupId": "acme", "traits.plan": "gold"},
	} {
		if len(events[name]) != 1 {
			t.Errorf("%d events %s, want 1", len(events[name]), name)
			continue
		}
		tells(t, name, events[name][0], fields)
		tells(t, name, events[name][0], map[string]any{"profile": ann["id"]})
	}
}

// What a page tracks with it while the product is away arrives once it is back, and
// once, also where answers are lost.
func TestClientsInABrowserRetry(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(shopOrders)
	f := newFront(t, p)
	page := browse(t).open(segmentPage(t, f.url))
	page.do(`analytics.identify('ann')`)
	p.events(1)
	f.mu.Lock()
	f.lose = 2
	f.mu.Unlock()
	p.stop()
	page.do(`void [0, 1, 2, 3, 4].map(i => analytics.track('Order Completed', { total: 12.5, place: i }))`)
	eventually(t, 30*time.Second, "the page to be refused", func() bool { return f.refusals() > 0 })
	p.start()
	if n := len(p.events(6)["order-completed"]); n != 5 {
		t.Errorf("%d orders arrived, want 5", n)
	}
	if f.refusals() < 3 {
		t.Errorf("%d requests were refused, want more than the two answers lost", f.refusals())
	}
	tells(t, "the profile", p.profile("user:ann"), map[string]any{"counters.orders": 5, "counters.revenue": 62.5})
}
