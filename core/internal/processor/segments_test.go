package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func enter(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpEnter, Path: "segments." + segment}
}
func leave(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpLeave, Path: "segments." + segment}
}

// A profile that enters and leaves hears of itself: the events are folded into it,
// once, but are no sign of life. What a repeated command does is not told again.
func TestSegmentEventsAreFoldedOnce(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	seen := n.document(id).Profile.Stats.LastSeen
	in := n.patches("run1", id, &record.Patch{Patches: []wire.Patch{enter("loyal")}}, "")
	out := n.patches("run2", id, &record.Patch{Patches: []wire.Patch{leave("loyal"), enter("former")}}, "out")
	n.send(in, in, out, in, out)
	n.outcome("out")
	stats := func(kind string) int64 { return n.document(id).Profile.Stats.Events[kind].Count }
	eventually(t, "the events", func() bool { return stats("segment-entered") == 2 && stats("segment-left") == 1 })
	n.send(n.adds("last", "ann", 1, "last"))
	n.outcome("last")
	if got := n.document(id).Profile.Stats; got.Events["segment-entered"].Count != 2 || got.Events["segment-left"].Count != 1 || !got.LastSeen.Equal(seen) || got.Visits != 0 {
		t.Errorf("stats %+v", got)
	}
	var told []string
	for _, e := range n.events() {
		if text := string(e.Data); strings.Contains(text, `"source":"system"`) {
			_, properties, _ := strings.Cut(text, `"properties":{"segment":"`)
			segment, _, _ := strings.Cut(properties, `"`)
			told = append(told, e.Type+" "+segment)
			if e.Hops != 2 || !strings.Contains(text, fmt.Sprintf(`"profile":%q`, id)) || strings.Contains(text, `"session"`) || !strings.Contains(text, `"time":"2026-03-01T12:01:00.000Z"`) {
				t.Errorf("%d hops: %s", e.Hops, text)
			}
		}
	}
	if want := []string{"segment-entered loyal", "segment-left loyal", "segment-entered former"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A profile that has no room left for what the event would count has entered its
// segment all the same, and the event says who.
func TestASegmentEventOfAFullProfile(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	room := fold.MaxDocument - len(n.document(id).AppendJSON(nil)) - len(`"filling":""`) - 160
	n.send(
		n.patches("run1", id, &record.Patch{Patches: []wire.Patch{set("data.filling", `"`+strings.Repeat("x", room)+`"`)}}, "filled"),
		n.patches("run2", id, &record.Patch{Patches: []wire.Patch{enter("loyal")}}, "entered"),
	)
	for _, token := range []string{"filled", "entered"} {
		if o := n.outcome(token); !o.Valid {
			t.Fatalf("%s: %+v", token, o)
		}
	}
	eventually(t, "the event", func() bool { last, err := n.bus.EventsLast(t.Context()); return err == nil && last == 5 }) // and what the patches changed
	text := string(n.events()[1].Data)
	if !strings.Contains(text, fmt.Sprintf(`"source":"system","profile":%q`, id)) || !strings.Contains(text, `"valid":false,"errors":[{`) {
		t.Errorf("%s", text)
	}
	if p := n.document(id).Profile; p.Revision != 3 || p.Segments["loyal"] == nil || p.Stats.Events["segment-entered"].Count != 0 {
		t.Errorf("revision %d, segments %v", p.Revision, p.Segments)
	}
}
