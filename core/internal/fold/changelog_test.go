package fold

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// logged are the changes of a result, each in short.
func logged(t *testing.T, r *Result) string {
	t.Helper()
	var list []string
	for i := range r.Changes {
		if r.Changes[i].Type != record.TypeChange {
			t.Errorf("a change is of the type %q", r.Changes[i].Type)
		}
		v := sdk.RawView(r.Changes[i].Data).At("change")
		profile, _ := v.String("profile")
		revision, _ := v.Int("revision")
		list = append(list, fmt.Sprintf("%s/%d %s %s", profile, revision, v.At("by").Raw(), v.At("changes").Raw()))
	}
	return strings.Join(list, "\n")
}

// What a patch changes is told with the values after it, and nothing where it changes
// nothing.
func TestAPatchTellsWhatItChanged(t *testing.T) {
	r := compile(t, shop)
	set := func(path, value string) wire.Patch {
		return wire.Patch{Op: wire.OpSet, Path: path, Value: []byte(value)}
	}
	for name, c := range map[string]struct {
		patches []wire.Patch
		want    string
	}{
		"nothing":      {nil, ""},
		"as it is":     {[]wire.Patch{{Op: wire.OpDelete, Path: "traits.none"}, leave("none")}, ""},
		"does not fit": {[]wire.Patch{set("nowhere.a", "1")}, ""},
		"twice":        {[]wire.Patch{set("traits.a", "1"), set("traits.a", "2")}, `{"traits.a":2}`},
		"a new number": {[]wire.Patch{{Op: wire.OpIncrement, Path: "counters.n", Value: []byte("5")}}, `{"counters.n":5}`},
		"gone again":   {[]wire.Patch{set("traits.a", `{"b":1}`), set("traits.a.c", "2"), {Op: wire.OpDelete, Path: "traits.a"}}, `{"traits.a":null,"traits.a.c":null}`},
		"names":        {[]wire.Patch{set(`traits["a.b"]`, "1"), set(`data["say "hi"]`, `"x"`)}, `{"data[\"say \"hi\"]":"x","traits[\"a.b\"]":1}`},
		"a segment":    {[]wire.Patch{enter("vip")}, `{"segments.vip":{"since":"2026-03-01T12:01:00.000Z"}}`},
		"part of it":   {[]wire.Patch{set("traits.a", "1"), set("nowhere.a", "1")}, `{"traits.a":1}`},
		"a long value": {[]wire.Patch{set("data.a", `"`+strings.Repeat("x", 5000)+`"`)}, `{"data.a":"` + strings.Repeat("x", record.MaxChangeValue) + `"}`},
	} {
		if c.want != "" {
			c.want = `p1/4 {"kind":"flow","id":"run1","name":"thanks"} ` + c.want
		}
		c.want = strings.ReplaceAll(c.want, `say "hi`, `say \"hi`)
		command := patched("run1")
		command.Body = record.AppendPatch(nil, &record.Patch{By: "flow/thanks", ID: "run1", Patches: c.patches})
		var f Fold
		for range 2 { // the same by each fold
			doc := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p1", noon)}
			doc.Profile.Revision = 3
			f.Begin(Input{Rules: r, Command: command, Doc: doc})
			if got := logged(t, f.Apply(f.Route())); got != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
			}
		}
	}
}

// A merge tells at the survivor what it has another value of.
func TestAMergeTellsWhatItChanged(t *testing.T) {
	r := compile(t, shop)
	person := func(id string, traits string) *record.Document {
		p := sdk.NewProfile(id, noon)
		p.Revision = 3
		p.Traits, _ = sdk.ParseObject([]byte(traits))
		p.Identities["email"] = []string{id + "@b.example"}
		return &record.Document{State: record.StateLive, Profile: p}
	}
	older, younger := person("p1", `{"name":"Ann","tags":["a"],"same":1}`), person("p2", `{"city":"Rome","tags":["b"],"same":1}`)
	command := &record.Command{
		Kind: record.KindAbsorb, ID: record.ID{1}, Profile: "p1", Received: noon,
		Body: record.AppendAbsorb(nil, &record.Absorb{From: "p2", Document: younger.AppendJSON(nil)}),
	}
	var f Fold
	f.Begin(Input{Rules: r, Command: command, Doc: older})
	want := `p1/4 {"kind":"merge","id":"p2"} {"identities.email":["p1@b.example","p2@b.example"],"traits.city":"Rome","traits.tags":["a","b"]}`
	if got := logged(t, f.Apply(f.Route())); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	f.Begin(Input{Rules: r, Command: command, Doc: f.Doc})
	if got := logged(t, f.Apply(f.Route())); got != "" {
		t.Errorf("the second time:\n%s", got)
	}

	// One that adds nothing changes nothing that is told.
	empty := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p3", noon)}
	command.Body = record.AppendAbsorb(nil, &record.Absorb{From: "p3", Document: empty.AppendJSON(nil)})
	f.Begin(Input{Rules: r, Command: command, Doc: f.Doc})
	if got := logged(t, f.Apply(f.Route())); got != "" || f.Doc.Profile.Revision == 4 {
		t.Errorf("of nothing:\n%s", got)
	}
}
