package indexer

import (
	"context"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// TestEphemeralEventsAreNotQueried holds that they are passed over, now and when
// the store is filled again, and that nobody waits for them.
func TestEphemeralEventsAreNotQueried(t *testing.T) {
	r := newRig(t)
	r.run(0)
	passing := processed(2, func(p *record.ProcessedEvent) {
		p.Transient, p.TransientSession, p.Session, p.Event.Session = true, true, nil, ""
	})
	err := r.bus.PublishEvents(t.Context(), []bus.EventMessage{
		{Partition: 2, C: 1, N: 1, Type: "t", Data: processed(1, nil)},
		{Partition: 2, C: 1, N: 2, Type: "t", Data: passing},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.x.WaitIndexed(ctx, record.Outcome{Partition: 2, C: 1, N: 2}); err != nil {
		t.Error(err)
	}
	for _, when := range []string{"at once", "after a rebuild"} {
		if events, sessions := r.count(store.Events), r.count(store.Sessions); events != 1 || sessions != 1 {
			t.Errorf("%s there are %d events and %d sessions", when, events, sessions)
		}
		if err := r.x.Rebuild(ctx, func(uint64, uint64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if letters := r.x.metrics.dead.Get(); letters != 0 {
		t.Errorf("%d dead letters", letters)
	}
}
