package processor

import (
	"slices"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An event of an ephemeral source is folded into its profile and goes on to
// flows like any other. But it belongs to no session, opens none and renews none,
// and the query store does not take it in. A session that it names still tells,
// where somebody has it, whom it is about.

// ephemeral tells whether an event is of such a source.
func (r *rules) ephemeral(e *record.Event) bool {
	source, ok := r.set.Source(e.Source)
	return ok && source.Ephemeral
}

// withoutSession leaves the session out of the claims, by index, that are to be
// taken: so nobody comes to hold it through the event.
func withoutSession(take []int, claims []claim) []int {
	return slices.DeleteFunc(take, func(i int) bool { return claims[i].Kind == record.KindSessionID })
}

// enrich adds to an event what can be told from it, as its source wants it by the
// rules of the partition. The commit holds the result, so it is done once, but for
// an event whose commit was never made.
func (p *partition) enrich(e *record.Event) {
	if p.node.options.Enrich == nil {
		return
	}
	source, _ := p.rules.set.Source(e.Source)
	p.node.options.Enrich.Event(e, source)
}
