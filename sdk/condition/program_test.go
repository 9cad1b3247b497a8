package condition

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
)

// A loop does not look its variables up in a document's text for each of its
// elements, and many lookups do not go through it one by one.
func TestLoopsDecodeWhatTheyRead(t *testing.T) {
	for source, want := range map[string]bool{
		`event.properties.total > 100 && profile.counters.orders >= 1`:               false,
		`event.tags.exists(t, t == "x")`:                                             false,
		`event.tags.exists(t, t == event.properties.tag)`:                            true,
		`[1, 2].map(n, event.properties["a"])`:                                       true,
		`event.properties.a.exists(x, x.b.exists(y, y == payload))`:                  true,
		`has(event.properties.a) ? event.tags.all(t, has(profile.traits.x)) : false`: true,
		strings.Repeat(`event.properties.a == 1 || `, 8) + `event.type == "x"`:       true,
	} {
		p, err := Compile(source, NewScope("event", "profile", "payload"))
		if err != nil {
			t.Fatal(err)
		}
		if p.decodes != want {
			t.Errorf("%s decodes its documents: %v", source, p.decodes)
		}
	}
}

// What is decoded is decoded once, however long the list is: the work grows as the
// list does.
func BenchmarkLoopOverText(b *testing.B) {
	p, err := Compile(`event.properties.items.exists(i, i > event.properties.limit)`, NewScope("event"))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1000, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := `{"properties":{"items":[1` + strings.Repeat(",1", n) + `],"limit":9}}`
			for b.Loop() {
				if holds, err := p.Bool(&Vars{Event: sdk.RawView([]byte(text))}); holds || err != nil {
					b.Fatal(holds, err)
				}
			}
		})
	}
}
