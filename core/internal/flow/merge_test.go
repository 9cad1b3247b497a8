package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A run whose profile has become part of another by the time that it begins goes on
// with the person.
func TestARunGoesOnWithWhoItsProfileBecame(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: who
spec:
  trigger: {event: order}
  nodes: {reply: {action: core/result, config: {value: '{{ profile.identities.email[0] }} {{ profile.stats.events.order.count }}'}}}
  edges: [start -> reply]
`)
	send := func(at time.Time, eventType, token string, ids ...record.Identifier) {
		r.sent++
		c := &record.Command{
			Kind: record.KindEvent, ID: record.EventID("dev", fmt.Sprint(r.sent)), Received: at, Profile: r.bus.DerivedProfile(ids[0].Kind, ids[0].Value, 0),
			Event: &record.Event{ID: fmt.Sprint(r.sent), Type: eventType, Source: "dev", Time: at, IDs: ids},
		}
		if token != "" {
			c.Reply, c.Flows = r.prefix+token, true
		}
		if err := r.bus.PublishCommands(t.Context(), []record.Routed{{Partition: r.bus.Partition(c.Profile), Command: record.AppendCommand(nil, c)}}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	older, younger := record.Identifier{Kind: record.KindEmail, Value: "ann@mail.example"}, record.Identifier{Kind: record.KindAnonymous, Value: "a"}
	send(now.Add(-time.Hour), "page", "", older)
	send(now, "order", "asked", younger)
	document := func(of record.Identifier) ([]byte, error) {
		data, _, err := r.bus.GetDocument(t.Context(), r.bus.DerivedProfile(of.Kind, of.Value, 0))
		return data, err
	}
	// Else who both are is known before there are two.
	eventually(t, "two profiles", func() bool {
		_, one := document(older)
		_, other := document(younger)
		return one == nil && other == nil
	})
	send(now, "page", "", older, younger)
	eventually(t, "one to be part of the other", func() bool {
		data, err := document(younger)
		if err != nil {
			return false
		}
		_, merged := mergedInto(data)
		return merged
	})
	r.start()
	eventually(t, "the flow's answer", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(fmt.Sprint(r.answers), "ann@mail.example 1")
	})
}
