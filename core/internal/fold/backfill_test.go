package fold

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// found is what was found of n stored orders of a profile.
func found(r *Rules, id string, chunk uint64, n int) *record.Command {
	var windows map[string]*record.Window
	for i := range n {
		e := sdk.Event{Type: "order-completed", Time: noon.Add(-time.Duration(i) * time.Hour), Received: noon}
		windows = r.Set().Kept().Enter(windows, &e, noon)
	}
	return &record.Command{
		Kind: record.KindBackfill, Profile: id, Received: noon, ID: record.EventID("", id),
		Body: record.AppendBackfill(nil, &record.Backfill{Profile: "p1", Fill: record.Fill{Since: 7, Chunk: chunk}, Windows: windows}),
	}
}

func lately(r *Rules, doc *record.Document) int64 {
	return (&profile.History{Doc: doc, Now: noon, Kept: r.Set().Kept()}).Count("order-completed", 7*24*time.Hour)
}

// What is found of stored events is added to what came since, each chunk once, and is
// a change of the profile; it tells nobody of an event.
func TestFoundEventsAreEnteredOnce(t *testing.T) {
	r := compile(t, shop)
	doc, _ := folded(t, r, command("order-completed", `{"total":1}`))
	for i, step := range []struct {
		chunk    uint64
		want     int64
		revision uint64
		status   string
	}{{1, 4, 2, record.StatusAccepted}, {1, 4, 2, record.StatusDuplicate}, {3, 7, 3, record.StatusAccepted}, {2, 7, 3, record.StatusDuplicate}} {
		result := once(r, doc, found(r, "p1", step.chunk, 3))
		doc = result.Doc
		if got := lately(r, doc); got != step.want || doc.Profile.Revision != step.revision || result.Outcome.Status != step.status {
			t.Errorf("step %d: count %d, revision %d, %+v", i, got, doc.Profile.Revision, result.Outcome)
		}
		if changed := step.status == record.StatusAccepted; result.Changed != changed || !result.Applied || len(result.Events) != 0 {
			t.Errorf("step %d: %+v", i, result)
		}
	}
}

// It follows a profile that was merged; nobody, and who was erased, stay as they are.
func TestFoundEventsFollowTheProfile(t *testing.T) {
	r := compile(t, shop)
	redirect := &record.Document{State: record.StateRedirect, To: "p0"}
	result := once(r, redirect, found(r, "p1", 1, 3))
	if !result.Forwarded || len(result.Commands) != 1 || result.Commands[0].Profile != "p0" || result.Commands[0].Reply != "" {
		t.Errorf("at a redirect: %+v", result)
	}
	survivor := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p0", noon)}
	if survivor = once(r, survivor, &result.Commands[0]).Doc; lately(r, survivor) != 3 {
		t.Errorf("at the survivor: %d", lately(r, survivor))
	}
	for name, doc := range map[string]*record.Document{"nobody": nil, "erased": {State: record.StateErased, ErasedAt: noon, IDs: []string{"p1"}}} {
		result := once(r, doc, found(r, "p1", 1, 3))
		if result.Changed || result.Dead != "" || !result.Applied || result.Outcome == nil || len(result.Outcome.Errors) > 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

// What does not fit is set aside, and the profile stays as it is.
func TestFoundEventsThatDoNotFitAreSetAside(t *testing.T) {
	r := compile(t, shop)
	doc, _ := folded(t, r, command("order-completed", `{"total":1}`))
	doc.Profile.Traits["filler"] = strings.Repeat("x", MaxDocument-1200)
	var f Fold
	f.Begin(Input{Rules: r, Command: found(r, "p1", 1, 900), Doc: doc, Size: MaxDocument})
	result := f.Apply(f.Route())
	if result.Changed || !strings.Contains(result.Dead, "over the limit") || lately(r, result.Doc) != 1 {
		t.Errorf("dead %q, changed %v, count %d", result.Dead, result.Changed, lately(r, result.Doc))
	}
}

// An event that leaves its profile as it was says so, where windows are filled from it.
func TestAnEventAsideIsMarked(t *testing.T) {
	r := compile(t, shop)
	doc, out := folded(t, r, command("order-completed", `{"total":1}`))
	if out.Exists("aside") {
		t.Errorf("event = %s", out.text)
	}
	c := command("order-completed", `{"total":1}`)
	c.Event.TransientProfile = true
	if out := own(t, once(r, doc, c)); out.at("aside") != "true" {
		t.Errorf("event = %s", out.text)
	}
}
