package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// tiers are two ways to change a profile: by an event's copy rule, and by a flow.
const tiers = `
kind: event-type
id: tier
spec:
  copy:
    - {to: traits.tier, from: event.properties.tier, op: set}
    - {to: 'data["a.b"]', from: event.properties.note, op: set}
---
kind: flow
id: reward
spec:
  trigger: {event: tier}
  nodes: {give: {action: profile/set, config: {set: {traits.reward: '{{ event.properties.tier }}'}}}}
  edges: [start -> give]
`

// Each change of a profile is told once, with who made it and when, however often the
// core is killed, and by a store that was filled again.
func TestChangesAreToldOnceAcrossKills(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(tiers)
	const people, rounds = 40, 4
	for round := range rounds {
		var body strings.Builder
		for i := range people {
			fmt.Fprintf(&body, `{"id":"%d-%d","type":"tier","time":"2026-01-31T12:00:0%[1]dZ","ids":{"user":"u%[2]d"},"properties":{"tier":%[1]d,"note":"say \"%[1]d\""}}`+"\n", round, i)
		}
		eventually(t, 30*time.Second, "a batch to be accepted", func() bool {
			a, err := p.post("/v1/events", body.String())
			return err == nil && a.status == http.StatusOK && !strings.Contains(string(a.body), `"retry"`)
		})
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		p.kill()
		p.start()
	}
	check := func(when string) {
		t.Helper()
		for i := range people {
			var got []any
			eventually(t, 30*time.Second, "the changes of a profile", func() bool {
				got, _ = p.api(http.MethodGet, fmt.Sprintf("/api/v1/profiles/user:u%d/changes", i), "").value["items"].([]any)
				return len(got) >= 2*rounds
			})
			told := map[string]int{}
			for _, item := range got {
				item, _ := item.(map[string]any)
				by, _ := item["by"].(map[string]any)
				changes, _ := item["changes"].(map[string]any)
				if by["kind"] == "event" {
					told[fmt.Sprintf("event %s %s %s %s %v %s", by["name"], by["source"], by["id"], item["time"], changes["traits.tier"], changes[`data["a.b"]`])]++
				} else {
					told[fmt.Sprintf("%s %s %t %v", by["kind"], by["name"], by["id"] != nil, changes["traits.reward"])]++
				}
			}
			for round := range rounds {
				for _, want := range []string{
					fmt.Sprintf(`event tier dev %d-%d 2026-01-31T12:00:0%[1]d.000Z %[1]d say "%[1]d"`, round, i), fmt.Sprintf("flow reward true %d", round),
				} {
					if told[want] != 1 || len(got) != 2*rounds {
						t.Errorf("%s, of u%d %q is told %d times: %v", when, i, want, told[want], told)
					}
				}
			}
		}
	}
	check("after kills")
	p.run("store", "rebuild")
	check("after a rebuild")

	out := p.run("profiles", "changes", "user:u7", "--path", "traits.reward", "--limit", "1")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || strings.Join(strings.Fields(lines[0]), " ") != "TIME PATH VALUE BY" || !strings.Contains(lines[1], "traits.reward  3      flow reward ") {
		t.Errorf("the command prints\n%s", out)
	}
	if out := p.run("profiles", "changes", "user:u7", "--path", `data["a.b"]`, "-o", "json"); strings.Count(out, `"data[\"a.b\"]"`) != rounds || strings.Contains(out, "traits.tier") {
		t.Errorf("the command prints\n%s", out)
	}
	p.stop()
}
