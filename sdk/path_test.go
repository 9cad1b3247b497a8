package sdk

import (
	"reflect"
	"testing"
)

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		"traits":            {"traits"},
		"traits.last_total": {"traits", "last_total"},
		`traits["a.b"].c`:   {"traits", "a.b", "c"},
		`["a"]["b-c"]`:      {"a", "b-c"},
		"a.b-c":             {"a", "b-c"},
	} {
		got, err := ParsePath(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParsePath(%s) = %q, %v; want %q", text, []string(got), err, []string(want))
			continue
		}
		if back, err := ParsePath(got.String()); err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("%s is written as %s, which reads as %q, %v", text, got, []string(back), err)
		}
	}
	for _, text := range []string{"", ".", "a.", ".a", "a..b", `a["b`, `a[""]`, "a[0]", `a["b"]c`} {
		if got, err := ParsePath(text); err == nil {
			t.Errorf("ParsePath(%q) = %q, want an error", text, []string(got))
		}
	}
}

func TestPathGetSetDelete(t *testing.T) {
	object := map[string]any{"a": map[string]any{"b": int64(1)}, "s": "text"}
	if v, ok := (Path{"a", "b"}).Get(object); !ok || v != int64(1) {
		t.Errorf("a.b = %v, %v", v, ok)
	}
	if _, ok := (Path{"s", "b"}).Get(object); ok {
		t.Error("a field of a string was found")
	}
	if err := (Path{"x", "y", "z"}).Set(object, true); err != nil {
		t.Error(err)
	}
	if v, _ := (Path{"x", "y", "z"}).Get(object); v != true {
		t.Errorf("x.y.z = %v", v)
	}
	if err := (Path{"s", "b"}).Set(object, 1); err == nil {
		t.Error("a string was replaced by an object")
	}
	(Path{"a", "b"}).Delete(object)
	(Path{"nothing", "there"}).Delete(object)
	if _, ok := (Path{"a", "b"}).Get(object); ok {
		t.Error("a.b is still there")
	}
}
