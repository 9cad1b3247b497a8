package processor

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const complying = `
kind: consent-type
id: marketing
spec: {}
---
kind: compliance
id: cards
spec:
  event: add
  fields:
    - {path: properties.card, action: mask}
    - {path: properties.email, action: hash, unless: [marketing]}
    - {path: context.ip, action: drop}
---
kind: event-type
id: add
spec:
  copy: [{to: traits.card, from: event.properties.card}, {to: traits.email, from: event.properties.email}]
`

// What is taken out of events is in no event that goes on and in no profile; a hash is
// the same for the same value, and that of this installation.
func TestFieldsAreTakenOutOfWhatIsStored(t *testing.T) {
	dir := t.TempDir()
	n, stopReplies := attach(t, openBus(t, dir, bus.DurabilityProcess), dir)
	resources, err := config.Parse("test.yaml", []byte(complying))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	n.p, err = New(t.Context(), Options{
		Bus: n.bus, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.run(stopReplies)
	n.configure()
	event := func(id, user string) *record.Command {
		c := n.adds(id, user, 1, id)
		c.Event.Properties = []byte(`{"card":"4111-1111","email":"ann@b.example"}`)
		c.Event.Context = []byte(`{"ip":"203.0.113.7"}`)
		return c
	}
	consent := n.adds("c", "agrees", 1, "c")
	consent.Event.Type, consent.Event.Properties = "consent-update", []byte(`{"consents":{"marketing":true}}`)
	n.send(consent)
	n.outcome("c")
	for _, c := range []*record.Command{event("1", "ann"), event("2", "bob"), event("3", "agrees")} {
		n.send(c)
	}
	nobody := event("4", "nobody")
	nobody.Profile, nobody.Event.IDs, nobody.Event.ProfileLess = "", nil, true
	n.send(nobody)
	hash := n.bus.Pseudonym("ann@b.example")
	if len(hash) != 64 || strings.Contains(hash, "ann") || hash == n.bus.Pseudonym("bob@b.example") {
		t.Fatalf("a hash is %s", hash)
	}
	for id, email := range map[string]string{"1": hash, "2": hash, "3": "ann@b.example", "4": ""} {
		o := n.outcome(id)
		if email == "" {
			continue
		}
		doc := n.document(o.Profile)
		if got := doc.Profile.Traits; got["card"] != "***" || got["email"] != email {
			t.Errorf("the profile of event %s got %v", id, got)
		}
	}
	seen := 0
	for _, e := range n.events() {
		text := string(e.Data)
		view := sdk.RawView(e.Data)
		id, _ := view.String("event.id")
		email, _ := view.String("event.properties.email")
		if strings.Contains(text, "4111") || strings.Contains(text, "203.0.113.7") {
			t.Errorf("event %s: %s", id, text)
		}
		switch id {
		case "1", "2", "4":
			seen++
			if email != hash {
				t.Errorf("event %s: %s", id, text)
			}
		case "3":
			seen++
			if email != "ann@b.example" {
				t.Errorf("event %s: %s", id, text)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d events, want 4", seen)
	}
}
