package profile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// TestUniting has a field of two profiles, each as "value@minute" of its last change;
// a value of - was deleted, an empty text is a field that was never there.
func TestUniting(t *testing.T) {
	for name, c := range map[string]struct {
		path, strategy string
		mine, theirs   string
		want           string
	}{
		"the later":                       {"traits.a", "", `"x"@1`, `"y"@2`, `"y"`},
		"the later, mine":                 {"traits.a", "", `"x"@3`, `"y"@2`, `"x"`},
		"mine alone":                      {"traits.a", "", `"x"@3`, ``, `"x"`},
		"theirs alone":                    {"traits.a", "", ``, `"y"@2`, `"y"`},
		"deleted since":                   {"traits.a", "", `"x"@1`, `-@2`, ``},
		"deleted before":                  {"traits.a", "", `"x"@3`, `-@2`, `"x"`},
		"deleted here since":              {"traits.a", "", `-@3`, `"y"@2`, ``},
		"deleted here before":             {"traits.a", "", `-@1`, `"y"@2`, `"y"`},
		"lists":                           {"data.a", "", `["x","y"]@1`, `["y","z"]@2`, `["x","y","z"]`},
		"a list and a text":               {"data.a", "", `["x"]@1`, `"y"@2`, `["x","y"]`},
		"a text and a list":               {"data.a", "", `"x"@1`, `["y"]@2`, `["x","y"]`},
		"counters add up":                 {"counters.a", "", `1@1`, `2.5@2`, `3.5`},
		"interests add up":                {"interests.a", "", `0.1@1`, `0.2@2`, `0.3`},
		"objects, field by field":         {"traits.a", "", `{"x":1,"y":1}@1`, `{"y":2,"z":2}@2`, `{"x":1,"y":2,"z":2}`},
		"an object and a text, the later": {"traits.a", "", `{"x":1}@1`, `"y"@2`, `"y"`},
		"first":                           {"traits.a", "first", `"x"@1`, `"y"@2`, `"x"`},
		"first, theirs":                   {"traits.a", "first", `"x"@3`, `"y"@2`, `"y"`},
		"min":                             {"traits.a", "min", `10@1`, `9@2`, `9`},
		"max":                             {"traits.a", "max", `10@2`, `9@1`, `10`},
		"max of texts":                    {"traits.a", "max", `"2026-01-01"@2`, `"2026-02-01"@1`, `"2026-02-01"`},
		"max of what cannot be compared":  {"traits.a", "max", `"x"@1`, `7@2`, `7`},
		"sum":                             {"traits.a", "sum", `1@1`, `2@2`, `3`},
		"union":                           {"traits.a", "union", `1@1`, `2@2`, `[1,2]`},
		"last of a counter":               {"counters.a", "last", `1@2`, `2@1`, `1`},
		"last of a list":                  {"data.a", "last", `["x"]@1`, `["y"]@2`, `["y"]`},
	} {
		path, _ := sdk.ParsePath(c.path)
		strategies := Strategies{}
		if c.strategy != "" {
			strategies[c.path] = Strategy(c.strategy)
		}
		of := func(id, text string) *record.Document {
			doc := &record.Document{State: record.StateLive, Profile: sdk.NewProfile(id, noon)}
			if text == "" {
				return doc
			}
			at := strings.LastIndex(text, "@")
			minute, _ := time.ParseDuration(text[at+1:] + "m")
			section, _ := doc.Profile.Section(path[0])
			if value := text[:at]; value != "-" {
				v, err := sdk.ParseValue([]byte(value))
				if err != nil {
					t.Fatal(err)
				}
				if err := path[1:].Set(section, v); err != nil {
					t.Fatal(err)
				}
				if m, ok := v.(map[string]any); ok {
					for name := range m {
						Stamp(doc, c.path+"."+name, noon.Add(minute), id)
					}
				}
			}
			Stamp(doc, c.path, noon.Add(minute), id)
			return doc
		}
		a, b := of("a", c.mine), of("b", c.theirs)
		Unite(a, b, strategies, noon)
		section, _ := a.Profile.Section(path[0])
		got := ""
		if v, ok := path[1:].Get(section); ok {
			got = string(sdk.AppendValue(nil, v))
		}
		if got != c.want {
			t.Errorf("%s: %s and %s give %s, want %s", name, c.mine, c.theirs, got, c.want)
		}
	}
}

// The longest rule that fits a field counts, and what was first stays so when a third
// profile comes.
func TestStrategiesByPath(t *testing.T) {
	s := Strategies{"traits.*": First, "traits.a.*": Max, "traits.a.b": Min}
	for path, want := range map[string]Strategy{"traits.x": First, "traits.a.x": Max, "traits.a.b": Min, "data.x": Last, "counters.n": Sum} {
		p, _ := sdk.ParsePath(path)
		if got := s.of(p, int64(1), int64(2)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	doc := func(minute int) *record.Document {
		d := &record.Document{State: record.StateLive, Profile: sdk.NewProfile(fmt.Sprint(minute), noon)}
		d.Profile.Traits["x"] = int64(minute)
		Stamp(d, "traits.x", noon.Add(time.Duration(minute)*time.Minute), "e")
		return d
	}
	first := doc(1)
	Unite(first, doc(3), s, noon)
	Unite(first, doc(2), s, noon)
	if got := first.Profile.Traits["x"]; got != int64(1) {
		t.Errorf("the first is %v", got)
	}
}

func TestUnitingStatistics(t *testing.T) {
	day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	doc := func(id string, visits int64, first, last int, session string) *record.Document {
		d := &record.Document{State: record.StateLive, Profile: sdk.NewProfile(id, noon)}
		d.Profile.Stats = sdk.Stats{Visits: visits, Views: 3, FirstSeen: day(first), LastSeen: day(last), Events: map[string]sdk.TypeStats{
			"a": {Count: 2, First: day(first), Last: day(last)}, "only " + id: {Count: 1, First: day(first), Last: day(first)},
		}}
		d.Profile.Segments["vip"] = map[string]any{"since": sdk.FormatTime(day(first))}
		d.Profile.Segments["only "+id] = map[string]any{"since": sdk.FormatTime(day(first))}
		return d
	}
	a, b := doc("a", 2, 5, 9, "s"), doc("b", 3, 1, 7, "s")
	Unite(a, b, nil, noon)
	s := a.Profile.Stats
	if s.Visits != 5 || s.Views != 6 || !s.FirstSeen.Equal(day(1)) || !s.LastSeen.Equal(day(9)) {
		t.Errorf("%+v", s)
	}
	if e := s.Events["a"]; e.Count != 4 || !e.First.Equal(day(1)) || !e.Last.Equal(day(9)) || len(s.Events) != 3 {
		t.Errorf("%+v", s.Events)
	}
	if got := fmt.Sprint(a.Profile.Segments); len(a.Profile.Segments) != 3 || since(a.Profile.Segments["vip"]) != sdk.FormatTime(day(1)) {
		t.Error(got)
	}
}

// A field that was changed with what contains it was changed then.
func TestUnitingGoesByTheChangeOfWhatContains(t *testing.T) {
	doc := func(id, city string, minute int) *record.Document {
		d := &record.Document{State: record.StateLive, Profile: sdk.NewProfile(id, noon)}
		d.Profile.Traits["address"] = map[string]any{"city": city}
		Stamp(d, "traits.address", noon.Add(time.Duration(minute)*time.Minute), id)
		return d
	}
	a := doc("a", "Old", 1)
	Unite(a, doc("b", "New", 2), nil, noon)
	if got := fmt.Sprint(a.Profile.Traits); got != "map[address:map[city:New]]" {
		t.Error(got)
	}
	path := sdk.Path{"traits", "address", "city"}
	if !Superseded(a, path, path.String(), noon) || Superseded(a, path, path.String(), noon.Add(time.Hour)) {
		t.Error("a late change of a part is taken for a new one, or a new one for late")
	}
}

// What contains a field is found whatever its names are.
func TestWhatContainsAFieldIsFound(t *testing.T) {
	for _, path := range []sdk.Path{{"traits", "a", "b"}, {"traits", "a.b", "c", "d"}, {"data", "x", `["y"]`, "", "z"}} {
		for n := 2; n < len(path); n++ {
			doc := &record.Document{}
			Stamp(doc, path[:n].String(), noon, "e")
			if changed(doc, path, path.String()).By != "e" {
				t.Errorf("%s is not found to contain %s", path[:n], path)
			}
		}
	}
}
