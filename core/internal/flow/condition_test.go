package flow

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// A condition that fails on what it is asked about is false, be it of a trigger
// or of a node, and each time is counted.
func TestFailedConditionsAreCounted(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: of-the-event
spec:
  trigger: {event: order, condition: 'lower(event.properties.n) == "a"'}
  nodes: {work: {action: test/count}}
  edges: [start -> work]
---
kind: flow
id: of-the-profile
spec:
  trigger: {event: order, condition: 'has(profile.id) && lower(event.properties.n) == "a"'}
  nodes: {work: {action: test/count}}
  edges: [start -> work]
---
kind: flow
id: of-a-node
spec:
  trigger: {event: order}
  nodes:
    ask: {action: core/if, config: {condition: 'lower(event.properties.n) == "a"'}}
    work: {action: test/count}
  edges: ["start -> ask", "ask:true -> work"]
---`)
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	r.start()
	r.send("order", "", users(2)...)
	r.settled()
	var counted strings.Builder
	r.engine.Metrics(&counted)
	if want := "tributary_flow_condition_errors_total 6\n"; !strings.Contains(counted.String(), want) {
		t.Errorf("%s\nwant %s", counted.String(), want)
	}
	for _, user := range users(2) {
		if n := r.trait(user, "n"); n != nil {
			t.Errorf("%s: a condition that failed held", user)
		}
	}
}
