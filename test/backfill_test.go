package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// check has an event of its type say what the profile's windows and sums are.
const check = `
kind: event-type
id: check
spec:
  copy:
    - {to: traits.ever, from: 'count("order-completed")', op: set}
    - {to: traits.orders, from: 'count("order-completed", "1040w")', op: set}
    - {to: traits.lately, from: 'count("order-completed", "30d")', op: set}
    - {to: traits.spent, from: 'sum("order-completed", "total")', op: set}
`

// backfilling tells whether the server says so of a resource, alone and in the list.
func (p *product) backfilling(kind, id string) bool {
	p.t.Helper()
	one := p.api(http.MethodGet, "/api/v1/"+kind+"/"+id, "")
	if one.status != http.StatusOK {
		p.t.Fatalf("%s/%s: %d %s", kind, id, one.status, one.body)
	}
	filling, _ := one.value["backfilling"].(bool)
	if _, far := one.value["backfill"].(map[string]any); far != filling {
		p.t.Errorf("%s/%s: %s", kind, id, one.body)
	}
	return filling
}

// A customer is one of the retail example, as a query finds it.
type customer struct {
	ID         string
	Identities map[string][]string
	Traits     map[string]any
	Counters   map[string]json.Number
}

func (p *product) customers() (list []customer) {
	p.t.Helper()
	for cursor := ""; ; {
		body, err := json.Marshal(map[string]any{"filter": "profile.counters.orders > 0", "limit": 1000, "cursor": cursor})
		if err != nil {
			p.t.Fatal(err)
		}
		a := p.api(http.MethodPost, "/api/v1/profiles/query", string(body))
		var page struct {
			Items  []customer
			Cursor string
		}
		numbers := json.NewDecoder(bytes.NewReader(a.body))
		numbers.UseNumber() // as they are written
		if err := numbers.Decode(&page); err != nil || a.status != http.StatusOK {
			p.t.Fatalf("query: %d %s", a.status, a.body)
		}
		list = append(list, page.Items...)
		if cursor = page.Cursor; cursor == "" {
			return list
		}
	}
}

// Retail first, condition after, while the core is killed: the windows and sums of a
// condition that is applied to a full store are those that would be there if it had
// been applied to an empty one.
func TestRetailFirstConditionAfter(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.run("apply", "-f", retail)
	p.run("import", orders, "--mapping", "orders")
	p.counts("events", `event.type == "order-completed"`, 18532)

	refused := func(filter, reason string) {
		t.Helper()
		body, err := json.Marshal(map[string]string{"filter": filter})
		if err != nil {
			t.Fatal(err)
		}
		if a := p.api(http.MethodPost, "/api/v1/profiles/count", string(body)); a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), reason) {
			t.Errorf("%s: %d %s, want %q", filter, a.status, a.body, reason)
		}
	}
	refused(`count("order-completed", "1040w") >= 10`, "nobody keeps count(")
	file := writeFile(t, "check.yaml", check)
	if out := p.run("apply", "-f", file, "--dry-run"); !strings.Contains(out, "event-type/check  (backfilling: windows that it reads would be filled") {
		t.Errorf("a dry run prints\n%s", out)
	}
	if out := p.run("apply", "-f", file); !strings.Contains(out, "event-type/check  (backfilling") {
		t.Errorf("apply said: %s", out)
	}
	if !p.backfilling("event-type", "check") || p.backfilling("event-type", "order-completed") {
		t.Error("it is not told which resource is being filled")
	}
	refused(`count("order-completed", "1040w") >= 10`, "backfilling")
	if out := p.run("get", "event-type"); !strings.Contains(out, "backfilling") {
		t.Errorf("get said: %s", out)
	}
	for range scale(3, 12) {
		time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
		p.kill()
		p.start()
	}
	eventually(t, 2*time.Minute, "windows to be filled", func() bool { return !p.backfilling("event-type", "check") })
	if out := p.run("apply", "-f", file); strings.Contains(out, "backfilling") {
		t.Errorf("apply said: %s", out)
	}
	refused(`count("order-completed", "1040w") >= 10`, "figure of a window")

	customers := p.customers()
	for len(customers) > 0 {
		n := min(len(customers), 200)
		var events []string
		for _, c := range customers[:n] {
			events = append(events, fmt.Sprintf(`{"type":"check","ids":{"user":%q},"id":"check-%s"}`, c.Identities["user"][0], c.ID))
		}
		a, err := p.post("/v1/events", "["+strings.Join(events, ",")+"]")
		switch {
		case err == nil && a.status == http.StatusOK && a.value["accepted"] == float64(n):
			customers = customers[n:]
		case err != nil || a.status != http.StatusOK && a.status != http.StatusServiceUnavailable:
			t.Fatalf("send: %v %d %s", err, a.status, a.body)
		}
	}
	p.counts("profiles", "profile.traits.ever >= 1", 4338)
	p.counts("profiles", "profile.traits.orders >= 10", 391)
	p.counts("profiles", "profile.traits.lately == 0", 4338)
	for _, c := range p.customers() {
		spent, _ := new(big.Rat).SetString(fmt.Sprint(c.Traits["spent"]))
		revenue, _ := new(big.Rat).SetString(c.Counters["revenue"].String())
		if spent == nil || revenue == nil || spent.Cmp(revenue) != 0 || c.Traits["orders"] != c.Counters["orders"] || c.Traits["ever"] != c.Counters["orders"] {
			t.Errorf("%s has the traits %v and the counters %v", c.ID, c.Traits, c.Counters)
		}
	}
}
