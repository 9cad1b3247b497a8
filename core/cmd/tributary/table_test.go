package main

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/tributary-bus/tributary/sdk"
)

func TestYAMLKeepsOrderAndTypes(t *testing.T) {
	const text = `{"z":"plain","a":"123","b":123,"c":1.50,"big":12345678901234567890123,"e":1e400,"t":true,"n":null,"none":{},"empty":[],"date":"2010-12-01","multi":"x\ny","list":[1,{"k":"yes"}]}`
	const want = `z: plain
a: "123"
b: 123
c: 1.50
big: 12345678901234567890123
e: 1e400
t: true
"n": null
none: {}
empty: []
date: "2010-12-01"
multi: |-
  x
  y
list:
  - 1
  - k: "yes"
`
	var out bytes.Buffer
	if err := writeYAML(&out, jsontext.Value(text)); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	var back map[string]any
	if err := yaml.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"a": "123", "b": 123, "date": "2010-12-01", "multi": "x\ny", "n": nil} {
		if back[name] != want {
			t.Errorf("%s reads back as %#v, want %#v", name, back[name], want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestAssignments(t *testing.T) {
	object, err := assignments("prop", []string{"total=139.12", "n=12345678901234567890", "ok=true", "city=Rome", "zip=01234", "a.b=1", "a.c=x=y", "list=[1,2]", "none=null"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"a":{"b":1,"c":"x=y"},"city":"Rome","list":[1,2],"n":12345678901234567890,"none":null,"ok":true,"total":139.12,"zip":"01234"}`
	if got := string(sdk.AppendValue(nil, object)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, wrong := range []string{"x", "=1", "a..b=1"} {
		if _, err := assignments("prop", []string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if _, err := assignments("prop", []string{"a=1", "a.b=2"}); err == nil {
		t.Error("a field below a number is taken")
	}
}
