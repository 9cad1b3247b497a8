package fold

import (
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// TestLateEventsAreDropped has events of somebody who was erased arrive where the
// tombstone is, and where it is not.
func TestLateEventsAreDropped(t *testing.T) {
	r := compile(t, shop)
	erased := noon.Add(time.Minute)
	tombstone := func() *record.Document {
		return &record.Document{State: record.StateErased, ErasedAt: erased, IDs: []string{"X"}}
	}
	live := func() *record.Document {
		return &record.Document{State: record.StateLive, Profile: sdk.NewProfile("X", noon)}
	}
	const valid, broken = `{"total":1}`, `{}`
	user := record.Identifier{Kind: record.KindUser, Value: "u"}
	for name, c := range map[string]struct {
		doc        *record.Document
		properties string
		claim      Claim
		received   time.Time
		named      string
		dropped    bool
		forward    string
	}{
		"at the tombstone":                      {doc: tombstone(), properties: valid, received: erased, dropped: true},
		"at the tombstone, not valid":           {doc: tombstone(), properties: broken, received: erased, dropped: true},
		"at the tombstone, afterwards":          {doc: tombstone(), properties: valid, claim: Claim{Gen: 1}, received: erased.Add(1), forward: "derived"},
		"not valid, afterwards":                 {doc: tombstone(), properties: broken, claim: Claim{Gen: 1}, received: erased.Add(1), forward: "derived"},
		"at nobody":                             {properties: valid, claim: Claim{Gen: 1, Late: true}, received: noon, dropped: true},
		"at nobody, not valid":                  {properties: broken, claim: Claim{Gen: 1, Late: true}, received: noon, dropped: true},
		"at who has the identifier now":         {doc: live(), properties: valid, claim: Claim{Holder: "X", Gen: 1, Late: true}, received: noon, dropped: true},
		"at who has it now, afterwards":         {doc: live(), properties: valid, claim: Claim{Holder: "X", Gen: 1}, received: noon},
		"at the profile that it names":          {doc: live(), properties: valid, claim: Claim{Gen: 1, Late: true}, received: noon, named: "X"},
		"at another than the one that it names": {doc: live(), properties: valid, claim: Claim{Gen: 1, Late: true}, received: noon, named: "Y", dropped: true},
	} {
		c.claim.Identifier = user
		command := &record.Command{
			Kind: record.KindEvent, Profile: "X", Received: c.received,
			Event: &record.Event{ID: "1", Type: "order-completed", Source: "shop", Time: noon, Properties: []byte(c.properties), Profile: c.named, IDs: []record.Identifier{user}},
		}
		var f Fold
		f.Begin(Input{Rules: r, Command: command, Doc: c.doc, Claims: []Claim{c.claim}, Derive: func(Claim) string { return "derived" }})
		d := f.Route()
		if d.Forward != c.forward {
			t.Errorf("%s: forwarded to %q, want %q", name, d.Forward, c.forward)
		}
		result := f.Apply(d)
		said := result.Outcome != nil && len(result.Outcome.Errors) == 1 && result.Outcome.Errors[0].Path == "profile"
		if said != c.dropped || c.dropped && (result.Changed || !result.Applied || len(result.Events) > 0 || len(d.Take) > 0) {
			t.Errorf("%s: dropped %v, want %v: %+v", name, said, c.dropped, result)
		}
	}
}
