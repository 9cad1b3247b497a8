package flow

import (
	"fmt"
	"slices"
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

// consenting is longFlow for those who agreed to marketing.
var consenting = strings.Replace(longFlow, "  nodes:", "  consents: [marketing]\n  nodes:", 1) + `---
kind: consent-type
id: marketing
spec: {}
`

// Whoever withdraws consent while a node takes long has the run stopped before the
// next one, and nothing of it is committed.
func TestConsentWithdrawnMeanwhileStopsARun(t *testing.T) {
	r := newRig(t, 0, consenting)
	h := newHanging()
	defer h.free()
	r.plugin("test", h.actions())
	told := watch(r, t, "long")
	r.start()
	r.consents(`{"marketing":true}`, time.Hour, "stays", "goes")
	r.send("order", "", "stays", "goes")
	eventually(t, "the runs to be journalled", func() bool { all, _ := r.journal(""); return all == 2 })
	r.consents(`{"marketing":false}`, 0, "goes")
	eventually(t, "the consent to be withdrawn", func() bool {
		doc := r.document("goes")
		return strings.Contains(fmt.Sprint(doc.Profile.Consents["marketing"]), "granted:false")
	})
	h.free()
	told.ended(2)
	r.settled()
	wantStopped(t, r, told, h)
}

// So does one who withdraws it while the server is down.
func TestConsentIsAskedForWhenARunGoesOn(t *testing.T) {
	r := newRig(t, 0, consenting)
	h := newHanging()
	defer h.free()
	r.plugin("test", h.actions())
	r.start()
	r.consents(`{"marketing":true}`, time.Hour, "stays", "goes")
	r.send("order", "", "stays", "goes")
	eventually(t, "the runs to be journalled", func() bool { all, _ := r.journal(""); return all == 2 })
	r.stopEngine()
	r.consents(`{"marketing":false}`, 0, "goes")
	eventually(t, "the consent to be withdrawn", func() bool {
		doc := r.document("goes")
		return strings.Contains(fmt.Sprint(doc.Profile.Consents["marketing"]), "granted:false")
	})
	told := watch(r, t, "long")
	r.start()
	h.free()
	told.ended(2)
	r.settled()
	wantStopped(t, r, told, h)
}

func wantStopped(t *testing.T, r *rig, told *watcher, h *hanging) {
	t.Helper()
	for user, want := range map[string]any{"stays": int64(1), "goes": nil} {
		if got := r.trait(user, "n"); got != want {
			t.Errorf("%s: n is %v, want %v", user, got, want)
		}
	}
	if n := h.last.Load(); n != 1 {
		t.Errorf("the last node was asked for %d times, want once", n)
	}
	var ends []string
	for _, steps := range told.ended(2) {
		ends = append(ends, steps[len(steps)-1].brief())
	}
	slices.Sort(ends)
	if want := []string{"ended 0 ok", "ended 0 stopped consent was withdrawn, or has expired: marketing"}; !slices.Equal(ends, want) {
		t.Errorf("the runs are told to have ended as %q, want %q", ends, want)
	}
	if letters := r.deadLetters(); len(letters) > 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	if all, _ := r.journal(""); all != 0 {
		t.Errorf("%d runs are left in the journal", all)
	}
}
