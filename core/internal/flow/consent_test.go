package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// consents appends what users say of consents, some time ago.
func (r *rig) consents(properties string, ago time.Duration, users ...string) {
	r.t.Helper()
	for _, user := range users {
		r.sent++
		now := time.Now().UTC().Truncate(time.Millisecond)
		c := &record.Command{
			Kind: record.KindEvent, ID: record.EventID("dev", fmt.Sprint(r.sent)), Received: now, Profile: r.profileID(user),
			Event: &record.Event{
				ID: fmt.Sprint(r.sent), Type: "consent-update", Source: "dev", Time: now.Add(-ago), Properties: []byte(`{"consents":` + properties + `}`),
				IDs: []record.Identifier{{Kind: record.KindUser, Value: user}},
			},
		}
		routed := record.Routed{Partition: r.bus.Partition(c.Profile), Command: record.AppendCommand(nil, c)}
		if err := r.bus.PublishCommands(r.t.Context(), []record.Routed{routed}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// A flow that needs consents is run for those who have given all of them, and for
// nobody whose consent was withdrawn or has expired, nor for an event about nobody.
func TestAFlowIsRunForThoseWhoConsented(t *testing.T) {
	flow := strings.Replace(flowOf("count", "order", "count"), "  nodes:", "  consents: [marketing, analytics]\n  nodes:", 1)
	r := newRig(t, 0, flow+`
kind: consent-type
id: marketing
spec: {expires: 1d}
---
kind: consent-type
id: analytics
spec: {}
`)
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	r.start()
	people := []string{"nothing", "one", "both", "expired", "withdrawn", "again"}
	r.consents(`{"marketing":true}`, 0, "one")
	r.consents(`{"marketing":true,"analytics":true}`, time.Hour, "both", "withdrawn", "again")
	r.consents(`{"marketing":true,"analytics":true}`, 25*time.Hour, "expired")
	r.consents(`{"analytics":false}`, 30*time.Minute, "withdrawn", "again")
	r.consents(`{"analytics":true}`, time.Minute, "again")
	r.send("order", "", people...)
	r.settled()
	for _, user := range people {
		want := any(nil)
		if user == "both" || user == "again" {
			want = int64(1)
		}
		if got := r.trait(user, "n"); got != want {
			t.Errorf("%s: the flow was run %v times, want %v", user, got, want)
		}
	}
	if got := r.engine.metrics.noConsent.Get(); got != 4 {
		t.Errorf("%d runs are counted as not begun, want 4", got)
	}
	if got := r.engine.metrics.runs.Get(); got != 2 {
		t.Errorf("%d runs began, want 2", got)
	}
	r.consents(`{"marketing":true,"analytics":true}`, 0, people...)
	r.send("order", "token", people...)
	r.settled()
	for _, user := range people {
		if got := r.trait(user, "n"); got == nil {
			t.Errorf("%s: consented, and the flow was not run", user)
		}
	}
}
