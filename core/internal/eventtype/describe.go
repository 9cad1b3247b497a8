package eventtype

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// Describe gives an event the tags and the traits of its type. A tag that the
// event has already, and a property that it lacks, make no difference.
func Describe(t *config.EventType, e *sdk.Event) (problems []error) {
	if len(e.Tags) == 0 {
		e.Tags = t.Tags[:len(t.Tags):len(t.Tags)] // shared: nobody writes to it
	} else {
		for _, tag := range t.Tags {
			if !slices.Contains(e.Tags, tag) {
				e.Tags = append(e.Tags[:len(e.Tags):len(e.Tags)], tag)
			}
		}
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
