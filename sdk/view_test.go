package sdk

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const document = ` { "id" : "p" , "traits" : { "name" : "Ada \"L\" \u00e4", "a-b": {"c.d": [1, {"x": "]}"}]}, "n\u0061me2": "escaped",
	"age": 36, "big": 9007199254740993, "huge": 123456789012345678901234567890, "half": 1.5, "whole": 3e2, "null": null, "vip": true,
	"seen": "2026-01-31T12:00:00Z", "empty": {}, "none": [] } , "after" : [] } `

func TestViewReadsByPath(t *testing.T) {
	v := View{jsontext.Value(document)}
	type read struct {
		value any
		ok    bool
	}
	got := func(value any, ok bool) read { return read{value, ok} }
	text := func(path string) read { s, ok := v.String(path); return got(s, ok) }
	integer := func(path string) read { n, ok := v.Int(path); return got(n, ok) }
	float := func(path string) read { f, ok := v.Float(path); return got(f, ok) }
	truth := func(path string) read { b, ok := v.Bool(path); return got(b, ok) }
	value := func(path string) read { x, ok := v.Value(path); return got(x, ok) }
	for _, c := range []struct {
		name string
		got  read
		want read
	}{
		{"text", text("id"), read{"p", true}},
		{"escapes", text("traits.name"), read{`Ada "L" ä`, true}},
		{"escaped name", text("traits.name2"), read{"escaped", true}},
		{"number as text", text("traits.age"), read{"", false}},
		{"missing", text("traits.nobody"), read{"", false}},
		{"below a text", text("id.x"), read{"", false}},
		{"bad path", text("traits..name"), read{"", false}},
		{"null as text", text("traits.null"), read{"", false}},
		{"integer", integer("traits.age"), read{int64(36), true}},
		{"exact", integer("traits.big"), read{int64(9007199254740993), true}},
		{"whole", integer("traits.whole"), read{int64(300), true}},
		{"too big", integer("traits.huge"), read{int64(0), false}},
		{"half as integer", integer("traits.half"), read{int64(0), false}},
		{"float", float("traits.half"), read{1.5, true}},
		{"integer as float", float("traits.age"), read{36.0, true}},
		{"huge as float", float("traits.huge"), read{123456789012345678901234567890.0, true}},
		{"bool", truth("traits.vip"), read{true, true}},
		{"text as bool", truth("id"), read{false, false}},
		{"value", value(`traits.a-b["c.d"]`), read{[]any{int64(1), map[string]any{"x": "]}"}}, true}},
		{"null", value("traits.null"), read{nil, true}},
		{"no value", value("traits.x"), read{nil, false}},
		{"all of it", value("traits.empty"), read{map[string]any{}, true}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if at, ok := v.Time("traits.seen"); !ok || !at.Equal(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("time: %v, %v", at, ok)
	}
	if _, ok := v.Time("id"); ok {
		t.Error("a text was read as a time")
	}
	if list, ok := v.List("after"); !ok || len(list) != 0 {
		t.Errorf("list: %v, %v", list, ok)
	}
	if m, ok := v.Map("traits.a-b"); !ok || len(m) != 1 {
		t.Errorf("map: %v, %v", m, ok)
	}
	if !v.Exists("traits.vip") || v.Exists("traits.null") || v.Exists("traits.x") || !v.At("traits.null").IsNull() {
		t.Error("what exists is not told from what does not")
	}
}

func TestViewOfADocumentThatIsNotThere(t *testing.T) {
	for _, v := range []View{{}, ViewOf(nil), ViewOf(func() {}), {jsontext.Value("null")}} {
		if _, ok := v.String("a.b"); ok || v.Exists("a") || v.Exists("") || !v.IsNull() || string(v.Raw()) != "null" {
			t.Errorf("%+v holds something", v)
		}
		var into *Profile
		if err := v.Decode(&into); err != nil || into != nil {
			t.Errorf("decoded into %v, %v", into, err)
		}
	}
}

func TestViewDecodes(t *testing.T) {
	p := NewProfile("p", time.Unix(1, 0).UTC())
	p.Traits["name"] = "Ada"
	var got Profile
	if err := ViewOf(p).Decode(&got); err != nil || got.ID != "p" || got.Traits["name"] != "Ada" {
		t.Errorf("profile: %+v, %v", got, err)
	}
	e := Event{ID: "1", Type: "x", Time: time.Unix(1, 0).UTC(), Properties: NewObject(map[string]any{"n": int64(1)}), Valid: true}
	var event Event
	if err := ViewOf(e).Decode(&event); err != nil || event.ID != "1" || !event.Time.Equal(e.Time) || !event.Valid {
		t.Errorf("event: %+v, %v", event, err)
	}
	text, err := json.Marshal(map[string]any{"v": ViewOf([]any{"a"})})
	if err != nil || string(text) != `{"v":["a"]}` {
		t.Errorf("written as %s, %v", text, err)
	}
}

// A View finds what decoding the whole document would, and never runs out of it.
func FuzzView(f *testing.F) {
	f.Add([]byte(document), "traits.a-b", "x")
	f.Add([]byte(`{"a":[{"b":1}],"b":{"a":"\\\""}}`), "b.a", "a")
	f.Add([]byte(`{"a":`), "a", "b")
	f.Fuzz(func(t *testing.T, text []byte, path, _ string) {
		found := View{text}.At(path)
		decoded, _ := decodeChecked(text)
		document, err := ParseValue(text)
		if err != nil {
			return
		}
		if !reflect.DeepEqual(decoded, document) {
			t.Fatalf("%s: decoded to %v, want %v", text, decoded, document)
		}
		object, _ := document.(map[string]any)
		count := 0
		for name, value := range (View{text}).Members() {
			count++
			if got, _ := value.Value(""); !reflect.DeepEqual(got, object[name]) {
				t.Fatalf("%s in %s: %v, want %v", name, text, got, object[name])
			}
		}
		if count != len(object) {
			t.Fatalf("%s has %d members, want %d", text, count, len(object))
		}
		at, err := ParsePath(path)
		if err != nil {
			return
		}
		want, ok := at.Get(object)
		if ok != (len(found.raw) > 0) {
			t.Fatalf("%s in %s: found %q, want %v", path, text, found.raw, want)
		}
		if got, _ := found.Value(""); ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s in %s: %v, want %v", path, text, got, want)
		}
	})
}
