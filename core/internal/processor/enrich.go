package processor

import "github.com/tributary-bus/tributary/core/internal/record"

// enrich adds to an event what can be told from it, as its source wants it by the
// rules of the partition. The commit holds the result, so it is done once, but for
// an event whose commit was never made.
func (p *partition) enrich(e *record.Event) {
	if p.node.options.Enrich == nil {
		return
	}
	source, _ := p.rules.Set().Source(e.Source)
	p.node.options.Enrich.Event(e, source)
}
