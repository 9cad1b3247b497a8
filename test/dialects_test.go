package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const countsOrders = `
kind: event-type
id: order-completed
spec: {copy: [{to: counters.orders, op: increment, by: 1}]}
`

// A server sends for ten people, all with the one anonymous id of its process,
// one event a request, side by side: they stay ten people, each with their own
// events and traits.
func TestPeopleOfOneProcessStayApart(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(countsOrders)
	const people, orders = 10, 4
	var all sync.WaitGroup
	for n := range people {
		all.Go(func() {
			for i := range orders + 1 {
				call, body := "track", fmt.Sprintf(`"event":"Order Completed","properties":{"n":%d}`, i)
				if i == 0 {
					call, body = "identify", fmt.Sprintf(`"traits":{"name":"person %d"}`, n)
				}
				event := fmt.Sprintf(`{"messageId":"m-%d-%d","userId":"u-%d","anonymousId":"process-1","writeKey":"dev:***",%s}`, n, i, n, body)
				a, err := p.request(http.MethodPost, "/api/s/s2s/"+call, event, "X-Write-Key", "dev:secret")
				if err != nil || a.status != http.StatusOK {
					t.Errorf("person %d, event %d: %d %s, %v", n, i, a.status, a.body, err)
				}
			}
		})
	}
	all.Wait()
	ids := map[any]bool{}
	for n := range people {
		who := fmt.Sprintf("user:u-%d", n)
		eventually(t, 10*time.Second, who+" to have all orders", func() bool {
			return at(p.profile(who), "counters", "orders") == float64(orders)
		})
		profile := p.profile(who)
		ids[profile["id"]] = true
		if name := at(profile, "traits", "name"); name != fmt.Sprintf("person %d", n) {
			t.Errorf("%s is called %v", who, name)
		}
		if users := fmt.Sprint(at(profile, "identities", "user")); users != fmt.Sprintf("[u-%d]", n) {
			t.Errorf("%s has the users %s", who, users)
		}
	}
	if len(ids) != people {
		t.Errorf("%d profiles, want %d", len(ids), people)
	}
}

// What a payload does not want to be kept takes its effect on the profile, and is
// not found afterwards.
func TestEventsThatAreNotKept(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(countsOrders)
	body := `{"source":{"id":"dev"},"session":{"id":"s-1"},"events":[
		{"id":"kept","type":"order-completed"},{"id":"gone","type":"order-completed","options":{"save":false}}]}`
	a, err := p.request(http.MethodPost, "/track", body)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	who, _ := at(a.value, "profile", "id").(string)
	if orders := at(p.profile(who), "counters", "orders"); orders != float64(2) {
		t.Errorf("%v orders, want 2", orders)
	}
	body = `{"source":{"id":"dev"},"session":{"id":"s-2"},"events":[{"id":"also","type":"order-completed"}],"options":{"saveEvents":false,"saveSession":false}}`
	if a, err = p.request(http.MethodPost, "/track", body); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	other, _ := at(a.value, "profile", "id").(string)
	for _, event := range []string{`{"type":"x","session":"s-1"}`, `{"type":"x","profile":"` + other + `"}`} { // all before is indexed then
		if a, err = p.post("/v1/events?wait=indexed", event); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
	}
	p.counts("events", `event.type == "order-completed"`, 1)
	p.counts("sessions", `session.id == "s-2"`, 0)
	p.counts("sessions", `session.id == "s-1"`, 1)
}

const sites = `
kind: source
id: blog
spec: {keys: [blog-key]}
---
kind: source
id: site
spec: {keys: [site-key], fingerprint: 15m}
---
kind: source
id: kiosk
spec: {keys: [kiosk-key], fingerprint: 1s}
`

// visited sends a payload of one event as Tracardi's client and returns the id of the
// profile that it is told.
func (p *product) visited(key, session, context, event string) string {
	p.t.Helper()
	body := fmt.Sprintf(`{"source":{"id":%q},"session":{"id":%q},"context":%s,"events":[%s]}`, key, session, context, event)
	a, err := p.request(http.MethodPost, "/track", body)
	id, _ := at(a.value, "profile", "id").(string)
	if err != nil || a.status != http.StatusOK || id == "" {
		p.t.Fatalf("%s: %d %s, %v", body, a.status, a.body, err)
	}
	return id
}

const order = `{"type":"order-completed"}`

// Who comes by a link from another site is whom they were there; who is somebody here
// already becomes one with that, unless the two are two users.
func TestALinkToAnotherSiteUnites(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(countsOrders + "---" + sites + `
---
kind: identification
id: user
spec: {event: event.properties.customer}
`)
	pass := func(profile, source string) string {
		return fmt.Sprintf(`{"tracardi":{"pass":{"profile":%q,"source":%q}}}`, profile, source)
	}
	there := p.visited("blog-key", "blog-1", `{}`, order)
	if here := p.visited("site-key", "site-1", pass(there, "blog-key"), order); here != there {
		t.Errorf("a visitor without a profile is %s, was %s", here, there)
	}
	here := p.visited("site-key", "site-2", `{}`, order)
	if here == there {
		t.Fatal("a visitor who names nobody is somebody known")
	}
	if same := p.visited("site-key", "site-2", pass(there, "unknown"), order); same != here || p.profile(here)["id"] != here {
		t.Errorf("by a site that is unknown: profile %s, want %s", same, here)
	}
	p.visited("site-key", "site-2", pass(there, "blog-key"), order)
	eventually(t, 10*time.Second, "both profiles to be one with all orders", func() bool {
		one := p.visited("site-key", "site-2", `{}`, `{"type":"page-view"}`)
		ids := fmt.Sprint(at(p.profile(one), "ids"))
		return at(p.profile(one), "counters", "orders") == float64(5) && strings.Contains(ids, here) && strings.Contains(ids, there)
	})
	ann := p.visited("blog-key", "blog-3", `{}`, `{"type":"login","properties":{"customer":"ann"}}`)
	bob := p.visited("site-key", "site-3", `{}`, `{"type":"login","properties":{"customer":"bob"}}`)
	if who := p.visited("site-key", "site-3", pass(ann, "blog-key"), order); who != bob {
		t.Errorf("bob is %s, was %s", who, bob)
	}
	p.visited("blog-key", "blog-3", pass(bob, "site-key"), order)
	for range 2 { // what comes after proposals and their answers is behind them in the log
		p.visited("site-key", "site-3", `{}`, `{"type":"page-view"}`)
		p.visited("blog-key", "blog-3", `{}`, `{"type":"page-view"}`)
	}
	for user, id := range map[string]string{"ann": ann, "bob": bob} {
		if one := p.profile("user:" + user); one["id"] != id || at(one, "counters", "orders") != float64(1) {
			t.Errorf("%s is %v, was %s", user, one, id)
		}
	}
}

// A visitor who comes back with nothing but the same browser is the same for as long as
// the source says, to that source alone; two users of a browser stay two.
func TestAFingerprintKnowsAVisitorForAWhile(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(countsOrders + "---" + sites + `
---
kind: identification
id: user
spec: {event: event.properties.customer}
`)
	const browser = `{"fingerprint":"9f86d081884c7d65"}`
	first := p.visited("site-key", "s-1", browser, order)
	if again := p.visited("site-key", "s-2", browser, order); again != first {
		t.Errorf("the second visit is of %s, the first of %s", again, first)
	}
	if session := p.visited("site-key", "s-2", `{}`, order); session != first {
		t.Errorf("the session of the second visit is of %s", session)
	}
	if other := p.visited("site-key", "s-3", `{"fingerprint":"another"}`, order); other == first {
		t.Error("two browsers are one visitor")
	}
	if other := p.visited("kiosk-key", "s-4", browser, order); other == first {
		t.Error("another source knows the visitor")
	}
	blog := p.visited("blog-key", "s-5", browser, order)
	if again := p.visited("blog-key", "s-6", browser, order); blog == first || again == blog {
		t.Errorf("a source without the setting knows the visitor: %s and %s", blog, again)
	}
	if identities := fmt.Sprint(at(p.profile(first), "identities")); identities != "map[]" && identities != "<nil>" {
		t.Errorf("identities %s", identities)
	}

	ann := p.visited("site-key", "s-7", browser, `{"type":"login","properties":{"customer":"ann"}}`)
	bob := p.visited("site-key", "s-8", browser, `{"type":"login","properties":{"customer":"bob"}}`)
	if ann == first || bob == first || ann == bob {
		t.Errorf("the visitor is %s, ann %s, bob %s", first, ann, bob)
	}
	if who := p.visited("site-key", "s-9", browser, order); who != bob {
		t.Errorf("after bob the browser is of %s, want %s", who, bob)
	}
	if who := p.visited("site-key", "s-7", browser, order); who != ann {
		t.Errorf("the session of ann is of %s, want %s", who, ann)
	}
	for user, id := range map[string]string{"ann": ann, "bob": bob} {
		if one := p.profile("user:" + user); one["id"] != id || len(one["ids"].([]any)) != 1 {
			t.Errorf("%s is %v, was %s", user, one, id)
		}
	}

	before := p.visited("kiosk-key", "k-1", browser, order)
	time.Sleep(1100 * time.Millisecond) // its second is over then, however long all else takes
	if after := p.visited("kiosk-key", "k-2", browser, order); after == before {
		t.Error("the visitor is known for longer than the source says")
	}
}
