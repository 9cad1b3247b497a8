package gateway

import "testing"

// An event is marked as of an ephemeral source where that is one when it is taken in:
// the mark goes with it, whatever becomes of the source.
func TestEventsOfEphemeralSourcesAreMarked(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Resources = fixedResources{setOf(t, testResources+"---\nkind: source\nid: passing\nspec: {keys: [passing-key], ephemeral: true}\n")}
	})
	for key, want := range map[string]bool{"shop-key": false, "passing-key": true} {
		if a := f.send(t, "POST", "/v1/events", `{"id":"`+key+`","type":"x","ids":{"user":"ann"}}`, "X-Write-Key", key); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.text)
		}
		for _, c := range f.commands(t) {
			if c.Event.ID == key && c.Event.Ephemeral != want {
				t.Errorf("the event of %s is marked %v", c.Event.Source, c.Event.Ephemeral)
			}
		}
	}
	if n := len(f.commands(t)); n != 2 {
		t.Errorf("%d events are there", n)
	}
}
