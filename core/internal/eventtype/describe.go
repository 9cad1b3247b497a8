package eventtype

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// Describe gives an event the tags and the traits of its type. Each tag is there
// once; a property that the event lacks makes no difference.
func Describe(t *config.EventType, e *sdk.Event) (problems []error) {
	if len(e.Tags) == 0 {
		e.Tags = t.Tags[:len(t.Tags):len(t.Tags)] // shared: nobody writes to it
	} else {
		e.Tags = united(e.Tags, t.Tags)
	}
	for _, rule := range t.Traits {
		v, ok := e.Properties.Get(rule.From)
		if !ok || v == nil {
			continue
		}
		if err := rule.To.Set(e.Traits.Map(), sdk.Clone(v)); err != nil {
			problems = append(problems, fmt.Errorf("event type %s: traits: %w", t.ID, err))
		}
	}
	return problems
}

// united lists what is in a or in b, each once, in the order in which it comes.
func united(a, b []string) []string {
	list := make([]string, 0, len(a)+len(b))
	for _, tags := range [...][]string{a, b} {
		for _, tag := range tags {
			if !slices.Contains(list, tag) {
				list = append(list, tag)
			}
		}
	}
	return list
}
