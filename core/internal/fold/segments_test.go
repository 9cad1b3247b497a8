package fold

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
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

// patched is a command of a run's step that patches the profile p1.
func patched(run string, patches ...wire.Patch) *record.Command {
	return &record.Command{
		Kind: record.KindPatch, ID: record.PatchID(run, 0), Profile: "p1", Hops: 1, Received: noon.Add(time.Minute),
		Body: record.AppendPatch(nil, &record.Patch{By: "flow/thanks", Patches: patches}),
	}
}

func enter(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpEnter, Path: "segments." + segment}
}
func leave(segment string) wire.Patch {
	return wire.Patch{Op: wire.OpLeave, Path: "segments." + segment}
}

// What changes a profile's segments sends the events that say so, the same ones when
// it is done again.
func TestAPatchTellsWhichSegmentsItChanged(t *testing.T) {
	r := compile(t, shop)
	set := wire.Patch{Op: wire.OpSet, Path: "traits.a", Value: []byte("1")}
	for name, c := range map[string]struct {
		patches []wire.Patch
		want    string
	}{
		"none":                {[]wire.Patch{set}, ""},
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
		tell := func(run string) ([]record.Processed, *record.Document) {
			doc, _ := folded(t, r, command("page-view", `{}`))
			doc = once(r, doc, patched("before", enter("loyal"))).Doc
			p := patched(run, c.patches...)
			p.Hops = 3
			result := once(r, doc, p)
			return append([]record.Processed(nil), result.Events...), result.Doc
		}
		first, doc := tell("run1")
		again, _ := tell("run1")
		other, _ := tell("run2")
		var got []string
		for i, e := range first {
			v := sdk.RawView(e.Data)
			segment, _ := v.String("event.properties.segment")
			got = append(got, strings.TrimPrefix(e.Type, "segment-")+" "+segment)
			source, _ := v.String("event.source")
			about, _ := v.String("event.profile")
			if source != "system" || about != "p1" || e.Hops != 4 || !bytes.Equal(e.Data, again[i].Data) {
				t.Errorf("%s: %d hops, %s; the second time %s", name, e.Hops, e.Data, again[i].Data)
			}
			if a, b := string(v.At("event.id").Raw()), string(sdk.RawView(other[i].Data).At("event.id").Raw()); a == b {
				t.Errorf("%s: two commands tell by one event, %s", name, a)
			}
			if doc.Profile.Stats.Events[e.Type].Count == 0 {
				t.Errorf("%s: %s is not counted", name, e.Type)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: told %v, want %s", name, got, c.want)
		}
	}
}

// TestTenThousandSegments has a profile enter ten thousand segments by one patch: it
// takes them and is told of each, also where there is hardly room for anything more.
func TestTenThousandSegments(t *testing.T) {
	const segments = 10_000
	r := compile(t, shop)
	var patches []wire.Patch
	for i := range segments {
		patches = append(patches, enter(fmt.Sprintf("s%05d", i)))
	}
	for name, filling := range map[string]int{"an empty profile": 0, "one that is full then": MaxDocument - 530_000 - 3000} {
		doc, _ := folded(t, r, command("page-view", `{}`))
		doc.Profile.Data["filling"] = strings.Repeat("x", filling)
		result := once(r, doc, patched("run", patches...))
		if !result.Outcome.Valid {
			t.Errorf("%s: %+v", name, result.Outcome)
		}
		if size := len(result.Doc.AppendJSON(nil)); len(result.Doc.Profile.Segments) != segments || len(result.Events) != segments || size > MaxDocument {
			t.Errorf("%s: %d segments, %d events, %d bytes", name, len(result.Doc.Profile.Segments), len(result.Events), size)
		}
	}
	doc, _ := folded(t, r, command("page-view", `{}`))
	doc.Profile.Data["filling"] = strings.Repeat("x", MaxDocument-1000)
	if result := once(r, doc, patched("run", patches...)); result.Outcome.Valid || !strings.Contains(result.Dead, "over the limit of 1048576") || len(result.Doc.Profile.Segments) != 0 {
		t.Errorf("%+v, %s", result.Outcome, result.Dead)
	}
}
