package processor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func TestCrossed(t *testing.T) {
	in := func(ids string) map[string]any {
		m := map[string]any{}
		for _, id := range strings.Fields(ids) {
			m[id] = map[string]any{"since": "2026-03-01T12:00:00.000Z"}
		}
		return m
	}
	within := in("a")
	within["a"] = map[string]any{"since": "2027-03-01T12:00:00.000Z", "score": int64(1)}
	for name, c := range map[string]struct {
		before, after map[string]any
		left, entered string
	}{
		"nothing":            {in(""), in(""), "", ""},
		"as it was":          {in("a b"), in("b a"), "", ""},
		"entered":            {in(""), in("b a"), "", "a b"},
		"left":               {in("b a"), in(""), "a b", ""},
		"one for another":    {in("a b"), in("b c"), "a", "c"},
		"changed within one": {in("a"), within, "", ""},
	} {
		left, entered := crossed(c.before, c.after)
		if strings.Join(left, " ") != c.left || strings.Join(entered, " ") != c.entered {
			t.Errorf("%s: left %v, entered %v", name, left, entered)
		}
	}
}

func enter(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpEnter, Path: "segments." + segment}
}
func leave(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpLeave, Path: "segments." + segment}
}

// The commit that changes a profile's segments sends the events that say so, before
// those that the run sends, and the same ones when it is made again.
func TestACommitTellsWhichSegmentsItChanged(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	defer func() {
		stopReplies()
		_ = n.p.Close()
		_ = n.bus.Close(t.Context())
	}()
	someone := n.adds("1", "ann", 1, "")
	inside := n.patches("run0", someone.Profile, &record.Patch{Patches: []wire.Patch{enter("loyal")}}, "")
	for name, c := range map[string]struct {
		patches []wire.Patch
		want    string
	}{
		"none":                {[]wire.Patch{set("traits.a", "1")}, ""},
		"entered":             {[]wire.Patch{enter("vip")}, "entered vip"},
		"left":                {[]wire.Patch{leave("loyal")}, "left loyal"},
		"several":             {[]wire.Patch{enter("vip"), leave("loyal"), enter("a")}, "left loyal, entered a, entered vip"},
		"inside already":      {[]wire.Patch{enter("loyal")}, ""},
		"outside already":     {[]wire.Patch{leave("vip")}, ""},
		"in and out":          {[]wire.Patch{enter("vip"), leave("vip")}, ""},
		"out and in":          {[]wire.Patch{leave("loyal"), enter("loyal")}, ""},
		"one does not fit":    {[]wire.Patch{enter("vip"), {Op: wire.OpSet, Path: "segments.x", Value: []byte("{}")}}, "entered vip"},
		"a name with a quote": {[]wire.Patch{{Op: wire.OpEnter, Path: `segments["a"b.c"]`}}, `entered a"b.c`},
	} {
		patch := n.patches("run1", someone.Profile, &record.Patch{Patches: c.patches, Events: []record.Event{{ID: "own", Type: "add", Source: "flow"}}}, "")
		patch.Hops = 3
		sent := n.folded(someone, inside, patch).Commands[1:] // but for what the second one says
		again := n.folded(someone, inside, patch).Commands[1:]
		var got []string
		for i := range sent {
			commands, err := record.ParseCommands(sent[i].Command)
			if err != nil {
				t.Fatal(err)
			}
			next := &commands[0]
			if next.Hops != 4 || !next.Settled || next.Profile != someone.Profile || !next.Received.Equal(patch.Received) ||
				next.ID != record.EventID(next.Event.Source, next.Event.ID) || sent[i].Partition != n.bus.Partition(someone.Profile) {
				t.Errorf("%s: command %+v", name, next)
			}
			if !bytes.Equal(sent[i].Command, again[i].Command) {
				t.Errorf("%s: another command the second time", name)
			}
			e := next.Event
			if i == len(sent)-1 {
				if e.Type != "add" {
					t.Errorf("%s: the last event is %s", name, e.Type)
				}
				continue
			}
			public := e.Public(next.Received)
			segment, _ := public.Properties.View()["segment"].(string)
			got = append(got, strings.TrimPrefix(e.Type, "segment-")+" "+segment)
			if e.Source != "system" || !e.Time.Equal(patch.Received) || e.ID == "" {
				t.Errorf("%s: event %+v", name, e)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: told %v, want %s", name, got, c.want)
		}
	}
	// Another command that does the same tells it by another event.
	first, second := n.patches("run1", someone.Profile, &record.Patch{}, ""), n.patches("run2", someone.Profile, &record.Patch{}, "")
	a, b := segmentEvent(first, record.TypeSegmentLeft, "x"), segmentEvent(second, record.TypeSegmentLeft, "x")
	if a.ID == b.ID || a.ID != segmentEvent(first, record.TypeSegmentLeft, "x").ID || a.ID == segmentEvent(first, record.TypeSegmentEntered, "x").ID || a.ID == segmentEvent(first, record.TypeSegmentLeft, "y").ID {
		t.Errorf("ids %s and %s", a.ID, b.ID)
	}
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
	room := maxDocument - len(n.document(id).AppendJSON(nil)) - len(`"filling":""`) - 80
	n.send(
		n.patches("run1", id, &record.Patch{Patches: []wire.Patch{set("data.filling", `"`+strings.Repeat("x", room)+`"`)}}, "filled"),
		n.patches("run2", id, &record.Patch{Patches: []wire.Patch{enter("loyal")}}, "entered"),
	)
	for _, token := range []string{"filled", "entered"} {
		if o := n.outcome(token); !o.Valid {
			t.Fatalf("%s: %+v", token, o)
		}
	}
	eventually(t, "the event", func() bool { last, err := n.bus.EventsLast(t.Context()); return err == nil && last == 2 })
	text := string(n.events()[1].Data)
	if !strings.Contains(text, fmt.Sprintf(`"source":"system","profile":%q`, id)) || !strings.Contains(text, `"valid":false,"errors":[{`) {
		t.Errorf("%s", text)
	}
	if p := n.document(id).Profile; p.Revision != 3 || p.Segments["loyal"] == nil || p.Stats.Events["segment-entered"].Count != 0 {
		t.Errorf("revision %d, segments %v", p.Revision, p.Segments)
	}
}
