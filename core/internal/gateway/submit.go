package gateway

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// A Submitted event is what became of one that was submitted from within the
// process.
type Submitted struct {
	ID     string
	Status string // accepted, duplicate, invalid or retry
	Reason string // of invalid and retry
}

// Submit takes events in on behalf of a part of this process, such as an
// import, in the native form and in as many as one request may hold. They are
// treated like those of any client, but for the source's rate. The error says
// that none was taken in; where they have ids they may be submitted again.
func (g *Gateway) Submit(ctx context.Context, source *config.Source, body []byte) ([]Submitted, error) {
	if !g.gate.enter() {
		return nil, fmt.Errorf("submit events: the gateway is shutting down")
	}
	defer g.gate.leave()
	if err := g.options.Bus.Accepting(); err != nil {
		return nil, fmt.Errorf("submit events: %w", err)
	}
	b := newBatch(g.now(), &g.limits)
	defer b.release()
	rules := g.current()
	refused := b.parseNative(body, rules, &g.limits)
	if refused == nil {
		refused = g.take(ctx, source, rules, b, nil)
	}
	if refused != nil {
		return nil, fmt.Errorf("submit events: %s", refused.message)
	}
	list := make([]Submitted, len(b.events))
	for i := range b.events {
		e := &b.events[i]
		list[i] = Submitted{ID: e.ID, Status: e.status.String()}
		if e.problem != nil {
			list[i].Reason = e.problem.message
		}
	}
	return list, nil
}
