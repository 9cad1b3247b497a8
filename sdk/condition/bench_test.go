package condition_test

import (
	"testing"

	"github.com/tributary-bus/tributary/sdk/condition"
)

func BenchmarkBool(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"counter", `profile.counters.orders >= 10`},
		{"double", `profile.counters.revenue > 9999.5`},
		{"event", `event.type == "order-completed" && event.properties.total > 100`},
		{"stats", `profile.stats.last_seen < ago("1h")`},
		{"count", `count("order", "7d") >= 3`},
		{"in", `profile.traits.name in ["Bob", "Carl", "Ann"]`},
		{"text", `lower(profile.traits.email).endsWith("@example.com")`},
		{"loop", `event.properties.cats.exists(c, c == "b")`},
		{"missing", `profile.traits.missing > 5 || has(profile.traits.also)`},
		{"date", `profile.traits.day > ago("7d")`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := condition.Compile(c.source, fullScope)
			if err != nil {
				b.Fatal(err)
			}
			v := testVars(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Bool(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := condition.Compile(`event.type == "order-completed" && event.properties.total > 100 && count("order", "7d") >= 3`, fullScope); err != nil {
			b.Fatal(err)
		}
	}
}
