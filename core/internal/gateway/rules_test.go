package gateway

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestComputedIdentifiers(t *testing.T) {
	resources, err := config.Parse("t.yaml", []byte(`
kind: identification
id: card
spec: {event: event.properties.card, priority: 20, normalise: digits}
---
kind: identification
id: email
spec: {event: event.traits.email, priority: 5}
---
kind: identification
id: member
spec: {event: 'event.type == "joined" ? event.properties.number : null', priority: 7}
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ event, ids string }{
		"none":              {`{"type":"x","properties":{"a":1}}`, ""},
		"one":               {`{"type":"x","traits":{"email":"A@b.example"}}`, "email=a@b.example"},
		"escaped name":      {`{"type":"x","traits":{"em\u0061il":"a@b.example"}}`, "email=a@b.example"},
		"name elsewhere":    {`{"type":"x","traits":{"other":{"email":"a@b.example"}}}`, ""},
		"number":            {`{"type":"x","properties":{"card":1234}}`, "card=1234"},
		"by strength":       {`{"type":"joined","ids":{"anonymous":"z","phone":"1","user":"u"},"properties":{"card":"9","number":7},"traits":{"email":"e"}}`, "user=u email=e member=7 card=9 phone=1 anonymous=z"},
		"condition fails":   {`{"type":"left","properties":{"number":7}}`, ""},
		"an object":         {`{"type":"x","properties":{"card":{"no":1}}}`, ""},
		"too long":          {`{"type":"x","properties":{"card":"` + strings.Repeat("1", 300) + `"}}`, ""},
		"named and in text": {`{"type":"x","ids":{"email":"a@b.example"},"traits":{"email":"A@B.example"}}`, "email=a@b.example"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := newRules(set)
			b := newBatch(testNow, &testLimits)
			if refused := b.parseNative([]byte(c.event), rules, &testLimits); refused != nil || b.events[0].problem != nil {
				t.Fatal(refused, b.events[0].problem)
			}
			b.name(shopSource)
			rules.compute(&b.events[0], testNow)
			router := newRouter(nullBus{16})
			if err := router.route(t.Context(), b, rules, "shop"); err != nil {
				t.Fatal(err)
			}
			if got := list(b.events[0].IDs); got != c.ids {
				t.Errorf("ids %q, want %q", got, c.ids)
			}
		})
	}
}

func list(ids []record.Identifier) string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, id.Kind+"="+id.Value)
	}
	return strings.Join(texts, " ")
}
