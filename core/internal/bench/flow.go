package bench

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk/client"
)

// orderFlow has five nodes, all of which every order passes; those of the plugin
// profile are calls into its process.
const orderFlow = `{
	"trigger": {"event": "order-completed", "condition": "event.properties.total > 1"},
	"nodes": {
		"large": {"action": "core/if", "config": {"condition": "event.properties.total > 100 && profile.counters.orders >= 1"}},
		"mark":  {"action": "profile/set", "config": {"set": {"traits.last_large": "{{ event.properties.total }}", "traits.country": "{{ event.properties.country }}"}}},
		"where": {"action": "core/switch", "config": {"cases": [{"port": "home", "when": "profile.traits.country == \"United Kingdom\""}]}},
		"tidy":  {"action": "profile/remove", "config": {"remove": ["traits.abandoned_basket"]}},
		"reply": {"action": "core/result", "config": {"value": {"thanks": "{{ event.properties.total }}"}}}
	},
	"edges": ["start -> large", "large:true -> mark", "mark -> where", "where:home -> tidy", "tidy -> reply"]
}`

// withFlow is the pipeline with a flow for every event.
func withFlow(ctx context.Context, r *run) error {
	flow := client.Resource{Kind: "flow", ID: "orders", Spec: jsontext.Value(orderFlow)}
	return sustain(ctx, r, 5000, 1, "accepted, folded, run through the flow and indexed", []client.Resource{flow}, func(p *product, came int64) error {
		for name, want := range map[string]int64{
			"tributary_flow_runs_ended_total": came, "tributary_flow_calls_total": 2 * came, "tributary_flow_runs_failed_total": 0,
		} {
			got, err := p.metric(ctx, name)
			if err != nil {
				return err
			}
			if int64(got) != want {
				return fmt.Errorf("%s is %.0f after %d events, want %d", name, got, came, want)
			}
		}
		return nil
	})
}
