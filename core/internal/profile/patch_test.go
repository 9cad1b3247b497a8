package profile

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// patched is a profile as the tests of patches begin with it.
func patched() *sdk.Profile {
	p := sdk.NewProfile("p", noon)
	p.Traits["name"] = "Ann"
	p.Traits["tags"] = []any{"a", "b"}
	p.Counters["orders"] = int64(3)
	p.Segments["loyal"] = map[string]any{"since": "2026-01-01T00:00:00.000Z"}
	return p
}

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		op          wire.Op
		path, value string
		at, want    string // what then stands at the place; empty: nothing
		unchanged   bool
	}{
		"set":                          {wire.OpSet, "traits.vip", "true", "traits.vip", "true", false},
		"set below":                    {wire.OpSet, `data["a.b"].c`, `{"d":1.50}`, `data["a.b"].c.d`, "1.5", false},
		"set what stands there":        {wire.OpSet, "traits.name", `"Ann"`, "traits.name", `"Ann"`, true},
		"set to null":                  {wire.OpSet, "traits.name", "null", "traits.name", "null", false},
		"set an interest":              {wire.OpSet, "interests.sport", "2", "interests.sport", "2", false},
		"set a consent":                {wire.OpSet, "consents.marketing", `{"revoke":null}`, "consents.marketing", `{"revoke":null}`, false},
		"set if missing":               {wire.OpSetIfMissing, "traits.name", `"Bob"`, "traits.name", `"Ann"`, true},
		"append":                       {wire.OpAppend, "traits.tags", `["b","c"]`, "traits.tags", `["a","b","c"]`, false},
		"remove":                       {wire.OpRemove, "traits.tags", `"a"`, "traits.tags", `["b"]`, false},
		"increment":                    {wire.OpIncrement, "counters.orders", "0.1", "counters.orders", "3.1", false},
		"increment exactly":            {wire.OpIncrement, "counters.orders", "22.200000000000000003", "counters.orders", "25.200000000000000003", false},
		"increment what is not there":  {wire.OpIncrement, "counters.visits", "1", "counters.visits", "1", false},
		"decrement":                    {wire.OpDecrement, "counters.orders", "5", "counters.orders", "-2", false},
		"delete":                       {wire.OpDelete, "traits.name", "", "traits.name", "", false},
		"delete what is not there":     {wire.OpDelete, "traits.age", "null", "traits.age", "", true},
		"enter":                        {wire.OpEnter, "segments.vip", "", "segments.vip", `{"since":"2026-03-01T12:00:00.000Z"}`, false},
		"enter where already inside":   {wire.OpEnter, "segments.loyal", "", "segments.loyal", `{"since":"2026-01-01T00:00:00.000Z"}`, true},
		"leave":                        {wire.OpLeave, "segments.loyal", "", "segments.loyal", "", false},
		"leave where not inside":       {wire.OpLeave, "segments.vip", "", "segments.vip", "", true},
		"enter one with a dotted name": {wire.OpEnter, `segments["a.b"]`, "", `segments["a.b"]`, `{"since":"2026-03-01T12:00:00.000Z"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := patched()
			patch := wire.Patch{Op: c.op, Path: c.path, Value: jsontext.Value(c.value)}
			before := p.AppendJSON(nil)
			changed, err := Apply(p, patch, noon)
			if err != nil || changed == c.unchanged {
				t.Fatalf("changed %v, %v", changed, err)
			}
			path, err := sdk.ParsePath(c.at)
			if err != nil {
				t.Fatal(err)
			}
			section, _ := p.Section(path[0])
			got := ""
			if v, ok := path[1:].Get(section); ok {
				got = string(sdk.AppendValue(nil, v))
			}
			if got != c.want {
				t.Errorf("%s = %s, want %s", c.at, got, c.want)
			}
			text, err := ApplyText(before, []wire.Patch{patch}, noon)
			if want := p.AppendJSON(nil); err != nil || string(text) != string(want) {
				t.Errorf("as text: %s, %v; want %s", text, err, want)
			}
		})
	}
}

// Several patches of a text are done one after the other, or none of them.
func TestApplyTextDoesAllOrNothing(t *testing.T) {
	text := patched().AppendJSON(nil)
	patches := []wire.Patch{
		{Op: wire.OpSet, Path: "traits.vip", Value: jsontext.Value("true")},
		{Op: wire.OpIncrement, Path: "counters.orders", Value: jsontext.Value("1")},
		{Op: wire.OpDelete, Path: "traits.name"},
		{Op: wire.OpIncrement, Path: "counters.orders", Value: jsontext.Value("1")},
		{Op: wire.OpEnter, Path: "segments.vip"},
	}
	want := patched()
	for _, p := range patches {
		if _, err := Apply(want, p, noon); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ApplyText(text, patches, noon)
	if err != nil || string(got) != string(want.AppendJSON(nil)) {
		t.Errorf("%s, %v; want %s", got, err, want.AppendJSON(nil))
	}
	before := string(text)
	got, err = ApplyText(text, append(patches, wire.Patch{Op: wire.OpIncrement, Path: "traits.tags", Value: jsontext.Value("1")}), noon)
	if err == nil || got != nil || string(text) != before {
		t.Errorf("a patch that does not fit: %s, %v", got, err)
	}
}

func TestApplySaysWhatAPatchShouldBe(t *testing.T) {
	deep := strings.Repeat(`{"a":`, MaxDepth-1) + "1" + strings.Repeat("}", MaxDepth-1)
	for name, c := range map[string]struct {
		op          wire.Op
		path, value string
		want        string
	}{
		"no path":                   {wire.OpSet, "", "1", "empty path"},
		"unknown op":                {"multiply", "counters.orders", "2", "want one of set, "},
		"a field of its own":        {wire.OpSet, "id", `"q"`, "want a path that begins with one of traits, data"},
		"statistics":                {wire.OpIncrement, "stats.visits", "1", "stats.visits"},
		"a whole section":           {wire.OpSet, "traits", "{}", "such as traits.name"},
		"segments by set":           {wire.OpSet, "segments.vip", "{}", "want the op enter or leave"},
		"enter a trait":             {wire.OpEnter, "traits.vip", "", "such as segments.loyal"},
		"enter all segments":        {wire.OpEnter, "segments", "", "such as segments.loyal"},
		"enter below a segment":     {wire.OpEnter, "segments.vip.since", "", "such as segments.loyal"},
		"below a text":              {wire.OpSet, "traits.name.first", `"A"`, "traits"},
		"a text in a counter":       {wire.OpSet, "counters.orders", `"3"`, "a counter must be a number"},
		"increment a text":          {wire.OpIncrement, "traits.name", "1", "want a number"},
		"a broken value":            {wire.OpSet, "traits.x", `{"a":1,`, "set traits.x: the value is no JSON"},
		"too deep":                  {wire.OpSet, "traits.x", deep, "nested deeper than the 64 levels"},
		"too deep a path":           {wire.OpSet, "traits" + strings.Repeat(".a", MaxDepth), "1", "nested deeper"},
		"a name with NUL":           {wire.OpSet, "traits.x", `{"a\u0000":1}`, "NUL"},
		"a name with NUL in a path": {wire.OpDelete, "traits.a\x00", "", "NUL"},
		"a segment with NUL":        {wire.OpEnter, "segments.a\x00", "", "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			p := patched()
			changed, err := Apply(p, wire.Patch{Op: c.op, Path: c.path, Value: jsontext.Value(c.value)}, noon)
			if changed || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("changed %v, error %v, want one with %q", changed, err, c.want)
			}
			if got, want := string(p.AppendJSON(nil)), string(patched().AppendJSON(nil)); got != want {
				t.Errorf("the profile became %s", got)
			}
		})
	}
}
