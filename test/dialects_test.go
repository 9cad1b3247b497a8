package test

import (
	"fmt"
	"net/http"
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
