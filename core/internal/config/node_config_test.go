package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestNodeConfig(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	vars := &condition.Vars{
		Payload: map[string]any{"n": int64(7), "list": []any{int64(1)}, "big": "x"}, Now: now,
		Profile: &sdk.Profile{ID: "p"}, Flow: map[string]any{"id": "f", "run": "r", "node": "hi"},
	}
	for _, test := range []struct {
		config  string
		want    string // as JSON
		literal bool
	}{
		{"{}", `{}`, true},
		{"{a: [1, {b: null}, 1.50, true], '{{ payload }}': x}", `{"a":[1,{"b":null},1.5,true],"{{ payload }}":"x"}`, true},
		{"{a: '{ }} {'}", `{"a":"{ }} {"}`, true},
		{"{a: '{{ payload.n }}', b: ' {{ payload.n }}', c: '{{ payload.none }}', d: '<{{ payload.none }}>'}", `{"a":7,"b":" 7","c":null,"d":"<>"}`, false},
		{"{a: [{b: '{{ payload.list }}'}, {c: [1]}], plain: {x: [y]}}", `{"a":[{"b":[1]},{"c":[1]}],"plain":{"x":["y"]}}`, false},
		{"{at: '{{ now }}', on: 'on {{ now }}', list: '{{ [now] }}'}", `{"at":"2026-01-31T12:00:00.000Z","list":["2026-01-31T12:00:00.000Z"],"on":"on 2026-01-31T12:00:00.000Z"}`, false},
		{"{who: '{{ profile.id }} {{ flow.run }}'}", `{"who":"p r"}`, false},
	} {
		f, _ := newSet(t, flowText("nodes: {hi: {action: my/do, config: "+test.config+"}}")).Flow("x")
		c := f.Nodes[0].Config
		got, err := c.AppendJSON([]byte("_"), vars)
		if err != nil || string(got) != "_"+test.want || c.Literal() != test.literal {
			t.Errorf("%s\ngot  %s, literal %v, %v\nwant %s", test.config, got, c.Literal(), err, test.want)
		}
		v, err := c.Value(vars)
		if err != nil || string(sdk.AppendValue(nil, v)) != test.want {
			t.Errorf("%s: value %v, %v", test.config, v, err)
		}
	}
}

// A value of which nothing is a template is the same one for every run, also as
// part of one that is rendered.
func TestNodeConfigSharesWhatIsLiteral(t *testing.T) {
	f, _ := newSet(t, flowText("nodes: {hi: {action: my/do, config: {plain: {x: [y]}, made: '{{ 1 + 1 }}'}}}")).Flow("x")
	plain := func() uintptr {
		v, err := f.Nodes[0].Config.Value(&condition.Vars{})
		if err != nil {
			t.Fatal(err)
		}
		return reflect.ValueOf(v.(map[string]any)["plain"]).Pointer()
	}
	if first, second := plain(), plain(); first != second {
		t.Error("a literal is made anew for each run")
	}
}

func TestNodeConfigFails(t *testing.T) {
	f, _ := newSet(t, flowText("nodes: {hi: {action: my/do, config: {a: [{b: '{{ 1 / payload.n }}'}]}}}")).Flow("x")
	if got, err := f.Nodes[0].Config.AppendJSON([]byte("_"), &condition.Vars{Payload: map[string]any{"n": int64(0)}}); err == nil || string(got) != "_" {
		t.Errorf("got %s, %v", got, err)
	}
}
