package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// catalogue is what plugins offer, by action.
type catalogue map[string]ActionSpec

func (c catalogue) Action(id string) (ActionSpec, bool) {
	spec, ok := c[id]
	return spec, ok
}

func (c catalogue) ActionIDs() []string {
	var ids []string
	for id := range c {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func schemaOf(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := NewSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func offered(t testing.TB) catalogue {
	return catalogue{
		"profile/set": {ID: "profile/set", Ports: []string{PortDone}, Config: schemaOf(t,
			`{"type":"object","required":["set"],"additionalProperties":false,"properties":{"set":{"type":"object","minProperties":1},"scope":{"enum":["a","b"]}}}`)},
		"profile/remove": {ID: "profile/remove"}, // anything goes, and one port: done
		"hello/greet":    {ID: "hello/greet", Ports: []string{"greeted", "anonymous"}, Config: schemaOf(t, `{"type":"object"}`)},
	}
}

func created(s *Set) []Difference {
	var list []Difference
	for _, f := range s.Flows() {
		list = append(list, Difference{KindFlow, f.ID, Created})
	}
	return list
}

func TestCheckActionsNamesWhatIsWrong(t *testing.T) {
	actions := offered(t)
	flow := func(node string, edges ...string) string {
		return flowText("nodes:\n  hi:\n    " + node + "\n  end: {action: core/join}\nedges:\n  - start -> hi\n  - start -> end\n  - " + strings.Join(edges, "\n  - "))
	}
	for _, test := range []struct{ name, text, want string }{
		{"unknown action", flow("action: profile/sett", "hi -> end"), `f.yaml:6: flow/x: spec.nodes.hi.action: there is no action "profile/sett"; did you mean "profile/set"?`},
		{"strange action", flow("action: profile/embrace", "hi -> end"), `f.yaml:6: flow/x: spec.nodes.hi.action: there is no action "profile/embrace"; the plugin profile has profile/remove, profile/set`},
		{"unknown plugin", flow("action: mailer/send", "hi -> end"), `f.yaml:6: flow/x: spec.nodes.hi.action: there is no action "mailer/send"; of the plugins hello, profile none is mailer: put the plugin in the plugin directory first; a new file is found when the server starts: restart it`},
		{"several ports", flow("action: hello/greet", "hi -> end"), "f.yaml:11: flow/x: spec.edges[2]: hi (hello/greet) leads on from several ports, greeted, anonymous, error; name one, such as hi:greeted -> end"},
		{"no such port", flow("action: hello/greet", "hi:gretted -> end"), `f.yaml:11: flow/x: spec.edges[2]: hi (hello/greet) has no port "gretted"; did you mean "greeted"?`},
		{"no port but done", flow("action: profile/remove", "hi:gone -> end"), `f.yaml:11: flow/x: spec.edges[2]: hi (profile/remove) has no port "gone"; did you mean "done"?`},
		{"twice in two ways", flow("action: profile/remove", "hi -> end", "hi:done -> end"), "f.yaml:12: flow/x: spec.edges[3]: is the same edge as spec.edges[2]; remove one"},
		{"no config", flow("action: profile/set", "hi -> end"), "f.yaml:6: flow/x: spec.nodes.hi.config.set: missing"},
		{"field missing", flow("action: profile/set\n    config: {scope: a}", "hi -> end"), "f.yaml:7: flow/x: spec.nodes.hi.config.set: missing"},
		{"wrong type", flow("action: profile/set\n    config:\n      set: vip", "hi -> end"), "f.yaml:8: flow/x: spec.nodes.hi.config.set: got string, want object"},
		{"unknown field", flow("action: profile/set\n    config:\n      set: {a: 1}\n      scpe: a", "hi -> end"), `f.yaml:9: flow/x: spec.nodes.hi.config.scpe: unknown field; did you mean "scope"?`},
		{"beside a template", flow("action: profile/set\n    config:\n      set: {a: '{{ event.id }}'}\n      scope: c", "hi -> end"), `f.yaml:9: flow/x: spec.nodes.hi.config.scope: value must be one of 'a', 'b'`},
	} {
		s := newSet(t, test.text)
		if err := s.CheckActions(actions, created(s)); err == nil || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.name, err, test.want)
		}
		if _, err := s.CheckKnownActions(actions); test.name != "unknown plugin" && (err == nil || err.Error() != test.want) {
			t.Errorf("%s, without a server\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
	for _, text := range []string{
		flow("action: profile/set\n    config: {set: {traits.vip: true}}", "hi -> end", "hi:error -> end"),
		flow("action: hello/greet", "hi:greeted -> end", "hi:anonymous -> end"),
		flow("action: profile/remove\n    config: {any: [thing]}", "hi:done -> end"),
	} {
		s := newSet(t, text)
		if err := s.CheckActions(actions, created(s)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
	s := newSet(t, flow("action: profile/set", "hi -> end"))
	want := `f.yaml:6: flow/x: spec.nodes.hi.action: there is no action "profile/set"; no plugin is there, nor is profile: put the plugin in the plugin directory first; a new file is found when the server starts: restart it`
	if err := s.CheckActions(catalogue{}, created(s)); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Only what changes is checked: a plugin that is away keeps nobody from changing
// something else.
func TestOnlyChangedFlowsAreChecked(t *testing.T) {
	s := newSet(t, thankYou)
	again := Puts(append(parse(t, shop), parse(t, thankYou)...))
	next, differences, err := s.Apply(again)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.CheckActions(catalogue{}, differences); err != nil {
		t.Errorf("an unchanged flow is refused: %v", err)
	}
	next, differences, err = next.Apply([]Change{{Resource: Resource{Kind: KindFlow, ID: "thank-you"}, Delete: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.CheckActions(catalogue{}, differences); err != nil {
		t.Errorf("a deletion is refused: %v", err)
	}
	next, differences, err = s.Apply(Puts(parse(t, strings.Replace(thankYou, "name: Thank you", "name: Thanks", 1))))
	if err != nil {
		t.Fatal(err)
	}
	if err := next.CheckActions(catalogue{}, differences); err == nil {
		t.Error("a changed flow is not checked")
	}
}

// Without a server, what plugins offer that are not known is left to apply.
func TestCheckKnownActions(t *testing.T) {
	s := newSet(t, thankYou+"---\n"+flowText("nodes: {hi: {action: my/do}, ho: {action: my/do}, a: {action: his/do}}\nedges: [start -> hi, hi -> ho, start -> a]"))
	unknown, err := s.CheckKnownActions(offered(t))
	if want := []string{"his/do", "my/do"}; err != nil || !reflect.DeepEqual(unknown, want) {
		t.Errorf("unknown %v, %v", unknown, err)
	}
	unknown, err = s.CheckKnownActions(nil)
	if want := []string{"his/do", "my/do", "profile/set"}; err != nil || !reflect.DeepEqual(unknown, want) {
		t.Errorf("without a catalogue: unknown %v, %v", unknown, err)
	}
}

// What a template may put right passes; what it cannot is found.
func TestSchemasLetTemplatesPass(t *testing.T) {
	for _, test := range []struct{ name, schema, config, want string }{
		{"type", `{"properties":{"a":{"type":"number"}}}`, "{a: '{{ payload }}'}", ""},
		{"type of a text around it", `{"properties":{"a":{"type":"number"}}}`, "{a: 'x{{ payload }}'}", ""},
		{"pattern", `{"properties":{"a":{"pattern":"^x"}}}`, "{a: '{{ payload }}'}", ""},
		{"an object", `{"properties":{"a":{"type":"object","required":["b"]}}}`, "{a: '{{ payload }}'}", ""},
		{"in a list", `{"properties":{"a":{"items":{"type":"number"}}}}`, "{a: [1, '{{ payload }}', b]}", "spec.nodes.hi.config.a[2]: got string, want number"},
		{"any of", `{"properties":{"a":{"anyOf":[{"type":"number"},{"type":"null"}]}}}`, "{a: '{{ payload }}'}", ""},
		{"any of above", `{"anyOf":[{"properties":{"a":{"type":"number"}}},{"required":["b"]}]}`, "{a: '{{ payload }}'}", ""},
		{"any of beside", `{"anyOf":[{"required":["b"]},{"required":["c"]}]}`, "{a: '{{ payload }}'}", "spec.nodes.hi.config.b: missing\nf.yaml:4: flow/x: spec.nodes.hi.config.c: missing"},
		{"one of, two match", `{"oneOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"a":{"minLength":1}}}]}`, "{a: '{{ payload }}'}", ""},
		{"enum above", `{"properties":{"a":{"enum":[{"b":1},{"b":2}]}}}`, "{a: {b: '{{ payload }}'}}", ""},
		{"const beside", `{"properties":{"c":{"const":1}}}`, "{a: '{{ payload }}', c: 2}", "spec.nodes.hi.config.c: value must be 1"},
		{"not", `{"not":{"properties":{"a":{"type":"string"}},"required":["a"]}}`, "{a: '{{ payload }}'}", ""},
		{"contains", `{"properties":{"a":{"contains":{"type":"number"}}}}`, "{a: ['{{ payload }}']}", ""},
		{"contains none", `{"properties":{"a":{"contains":{"type":"number"}}}}`, "{a: [x], b: '{{ payload }}'}", "spec.nodes.hi.config.a[0]: got string, want number"},
		{"unique", `{"properties":{"a":{"uniqueItems":true}}}`, "{a: ['{{ payload }}', '{{ payload }}']}", ""},
		{"if", `{"if":{"properties":{"a":{"const":"x"}}},"then":{},"else":{"required":["b"]}}`, "{a: '{{ payload }}'}", ""},
		{"a property called then", `{"properties":{"then":{"type":"number"}}}`, "{a: '{{ payload }}', then: x}", "spec.nodes.hi.config.then: got string, want number"},
		{"names", `{"additionalProperties":false,"properties":{"b":{}}}`, "{a: '{{ payload }}'}", "spec.nodes.hi.config.a: unknown field; want one of b"},
		{"names beside", `{"additionalProperties":false,"properties":{"a":{}}}`, "{a: '{{ payload }}', c: 1}", "spec.nodes.hi.config.c: unknown field; want one of a"},
		{"a reference", `{"$ref":"#/$defs/x","$defs":{"x":{"properties":{"a":{"type":"number"},"b":{"type":"number"}}}}}`, "{a: '{{ payload }}', b: x}", "spec.nodes.hi.config.b: got string, want number"},
	} {
		s := newSet(t, flowText("nodes: {hi: {action: my/do, config: "+test.config+"}}"))
		err := s.CheckActions(catalogue{"my/do": {ID: "my/do", Config: schemaOf(t, test.schema)}}, created(s))
		want := test.want
		if want != "" {
			want = "f.yaml:4: flow/x: " + want
		}
		if got := problemsText(err); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", test.name, got, want)
		}
	}
}

// A number that a schema cannot judge is refused before it can do harm.
func TestSchemasRefuseExtremeNumbers(t *testing.T) {
	r, err := New(KindFlow, "x", []byte(`{"trigger":{"event":"a"},"nodes":{"hi":{"action":"my/do","config":{"b":[1e99999]}}},"edges":["start -> hi"]}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSet(1, []Resource{r})
	if err != nil {
		t.Fatal(err)
	}
	err = s.CheckActions(catalogue{"my/do": {ID: "my/do", Config: schemaOf(t, `{"properties":{"b":{"items":{"multipleOf":2}}}}`)}}, created(s))
	if got, want := problemsText(err), "flow/x: spec.nodes.hi.config.b[0]: has an exponent beyond ±1000, which a schema cannot judge"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func problemsText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestNewSchema(t *testing.T) {
	for _, text := range []string{"{", "", "{} {}", `"text"`, `{"type":"objekt"}`, `{"$ref":"https://example.com/a.json"}`} {
		if _, err := NewSchema([]byte(text)); err == nil {
			t.Errorf("%q is taken for a schema", text)
		}
	}
	if err := schemaOf(t, `{"type":"object"}`).Validate(map[string]any{}); err != nil {
		t.Error(err)
	}
}
