package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestParseNamesWhatIsWrongWithAnEventType(t *testing.T) {
	const validator = "validators:\n  - {name: a, schema: {type: object}}\n  - "
	for _, test := range []struct{ name, text, want string }{
		{"a field", "schemas: {}", `spec.schemas: unknown field; did you mean "schema"?`},
		{"validators are an object", "validators: {a: {}}", "spec.validators: want a list, got an object"},
		{"a validator without a name", "validators: [{schema: {}}]", "spec.validators[0].name: missing"},
		{"an empty name", "validators: [{name: '', schema: {}}]", "spec.validators[0].name: must not be empty"},
		{"two of a name", validator + "{name: a, schema: {}}", "6: spec.validators[1].name: is the name of another validator too; give each its own, because errors name them"},
		{"a validator without a schema", validator + "{name: b, on: traits}", "6: spec.validators[1].schema: missing; want a JSON Schema of the event's traits"},
		{"a schema that is none", validator + "{name: b, schema: {type: objekt}}", "6: spec.validators[1].schema: not a JSON Schema: …"},
		{"a part", validator + "{name: b, on: profile, schema: {}}", `6: spec.validators[1].on: unknown part "profile"; want one of properties, context, traits`},
		{"a condition of a validator", validator + "{name: b, when: row.a == 1, schema: {}}", "6: spec.validators[1].when: line 1, column …"},
		{"a field of a validator", validator + "{name: b, whe: 'true', schema: {}}", `6: spec.validators[1].whe: unknown field; did you mean "when"?`},
		{"many validators", "validators: [" + strings.Repeat("{name: a, schema: {}}, ", 33) + "]", "spec.validators: has 33 validators; at most 32 are allowed"},

		{"reshape is text", "reshape: x", "spec.reshape: want an object, got a string"},
		{"reshape of nothing", "reshape: {missing: strict}", "spec.reshape: replaces nothing; want properties, traits or context"},
		{"a part that is a template", "reshape: {properties: '{{ event.context }}'}", "spec.reshape.properties: want an object of what the event's properties become, got a string"},
		{"a way to treat what is missing", "reshape: {missing: skip, traits: {a: 1}}", `spec.reshape.missing: unknown way to treat what is missing "skip"; want one of drop, null, strict`},
		{"a template", "reshape:\n  properties:\n    a: {b: [x, '{{ row.a }}']}", "6: spec.reshape.properties.a.b[1]: line 1, column …"},
		{"a template without an end", "reshape: {properties: {a: '{{ event.id'}}", "spec.reshape.properties.a: line 1, column …"},
		{"a condition of reshape", "reshape: {when: event.nonsense, properties: {a: 1}}", "spec.reshape.when: line 1, column …"},
		{"the session", "reshape: {session: x, properties: {a: 1}}", "spec.reshape.session: an event keeps the session that it was sent with; what it is about and what may come in is decided by it before"},
		{"the type", "reshape: {type: x, properties: {a: 1}}", "spec.reshape.type: an event keeps the type that it was sent with; what it is about and what may come in is decided by it before"},
		{"a field of reshape", "reshape: {propertie: {}}", `spec.reshape.propertie: unknown field; did you mean "properties"?` + "\n" + "spec.reshape: replaces nothing; want properties, traits or context"},

		{"a state", "journey: purchace", `spec.journey: unknown state "purchace"; did you mean "purchase"?, or an expression (CEL) that gives one`},
		{"a journey that is a list", "journey: [purchase]", "spec.journey: want an expression (CEL) as a string, got an array"},
		{"an expression of the journey", "journey: 'row.x'", "spec.journey: line 1, column …"},

		{"a condition of a copy rule", "copy: [{to: traits.a, from: event.id, when: row.x}]", "spec.copy[0].when: line 1, column …"},
		{"an expression within the target", "copy: [{to: 'traits.{{ event.id }}.a', from: event.id}]", "spec.copy[0].to: want an expression as the last name alone, such as interests.{{ event.properties.topic }}"},
		{"a part of a name", "copy: [{to: 'traits.a{{ event.id }}', from: event.id}]", "spec.copy[0].to: want an expression as the last name alone, such as interests.{{ event.properties.topic }}"},
		{"an expression of the target", "copy: [{to: 'traits.{{ row.x }}', from: event.id}]", "spec.copy[0].to: line 1, column …"},
		{"a section that is an expression", "copy: [{to: '{{ event.id }}', from: event.id}]", "spec.copy[0].to: want an expression as the last name alone, such as interests.{{ event.properties.topic }}"},

		{"a sample that is a list", "sample: []", "spec.sample: want an object, got an array"},
		{"a field of a sample", "sample: {property: {}}", `spec.sample.property: unknown field; want one of …`},
		{"properties of a sample", "sample: {properties: [1]}", "spec.sample.properties: want an object, got an array"},
		{"an id of a sample", "sample: {ids: {user: 7}}", "spec.sample.ids.user: want a string, got a number; put it in quotes"},
		{"a sample that breaks the schema", "schema: {properties: {total: {type: number}}}\nsample:\n  properties:\n    total: ten", "7: spec.sample.properties.total: got string, want number; the schema refuses it"},
		{"a sample that breaks a validator", "validators: [{name: kinds, on: traits, schema: {required: [kind]}}]\nsample: {traits: {a: 1}}", "5: spec.sample.traits: missing property 'kind'; the validator kinds refuses it"},
		{"a description", "description: [a]", "spec.description: want a string, got an array"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(spec("event-type", test.text)))
			if err == nil {
				t.Fatal("accepted")
			}
			line, want := "4", test.want
			if n, rest, ok := strings.Cut(want, ": "); ok && n <= "9" {
				line, want = n, rest
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range strings.Split(want, "\n") {
				beginning, open := strings.CutSuffix("f.yaml:"+line+": event-type/x: "+want, "…")
				if i >= len(lines) || lines[i] != beginning && !(open && strings.HasPrefix(lines[i], beginning)) {
					t.Errorf("got\n%v\nwant\n%s", err, beginning)
				}
			}
		})
	}
}

// eventType compiles a spec that must be right.
func eventType(t *testing.T, text string) *EventType {
	t.Helper()
	return newSet(t, spec("event-type", text)).EventType("x")
}

func TestTheSchemaIsAValidator(t *testing.T) {
	x := eventType(t, "schema: {required: [a]}\nvalidators: [{name: b, when: event.properties.c > 1, on: context, schema: {required: [d]}}]")
	if len(x.Validators) != 2 || x.Validators[0].Name != "" || x.Validators[0].On != PartProperties || x.Validators[0].When != nil ||
		x.Validators[1].Name != "b" || x.Validators[1].On != PartContext || x.Validators[1].When == nil {
		t.Errorf("validators are %+v", x.Validators)
	}
	if x.Validators[0].String() != "schema" || x.Validators[1].String() != "validator b" {
		t.Errorf("they are called %s and %s", &x.Validators[0], &x.Validators[1])
	}
}

// A plain null of YAML is the word; where nothing is said, leaves are dropped.
func TestWhatIsMissing(t *testing.T) {
	for text, want := range map[string]Missing{"": MissingDrop, "missing: null, ": MissingNull, "missing: 'null', ": MissingNull, "missing: strict, ": MissingStrict, "missing: drop, ": MissingDrop} {
		if r := eventType(t, "reshape: {"+text+"properties: {a: 1}}").Reshape; r.Missing != want {
			t.Errorf("%q is %s, want %s", text, r.Missing, want)
		}
	}
}

// Whatever an expression of an event type reads of a profile's past is kept.
func TestAnEventTypeTellsAllOfItsAggregates(t *testing.T) {
	s := newSet(t, spec("event-type", `
when: count("a", "1h") > 1
validators: [{name: v, when: 'count("b", "1h") > 1', schema: {}}]
reshape:
  when: count("c", "1h") > 1
  properties: {n: '{{ count("d", "1h") }}'}
  traits: {m: ['{{ count("e", "1h") }}']}
journey: 'count("f", "1h") > 1 ? "retention" : null'
copy:
  - {to: traits.a, from: 'count("g", "1h")', when: 'count("h", "1h") > 1'}
  - {to: 'traits.{{ string(count("i", "1h")) }}', from: event.id}`))
	var want []condition.Aggregate
	for _, of := range strings.Split("abcdefghi", "") {
		want = append(want, condition.Aggregate{Func: condition.Count, Type: of, Window: time.Hour})
	}
	if got := s.Aggregates(); !reflect.DeepEqual(got, want) {
		t.Errorf("aggregates are %v", got)
	}
}

func TestASampleIsKept(t *testing.T) {
	x := eventType(t, "sample: {ids: {user: ann}, properties: {total: 1.10, items: [a]}, context: {ip: 203.0.113.7}}")
	if want := (&Sample{
		IDs: map[string]string{"user": "ann"}, Properties: map[string]any{"total": 1.1, "items": []any{"a"}},
		Traits: map[string]any{}, Context: map[string]any{"ip": "203.0.113.7"},
	}); !reflect.DeepEqual(x.Sample, want) {
		t.Errorf("the sample is %+v", x.Sample)
	}
	// What may refuse it, by what is not known of a sample, is not asked.
	eventType(t, "validators: [{name: v, when: profile.traits.a == 1, schema: {required: [b]}}]\nsample: {}")
}

func TestJourneyIsAStateOrAnExpression(t *testing.T) {
	for _, state := range JourneyStates {
		if j := eventType(t, "journey: "+state).Journey; j.State != state || j.From != nil {
			t.Errorf("%s is %+v", state, j)
		}
	}
	if j := eventType(t, "journey: event.properties.state").Journey; j.State != "" || j.From == nil {
		t.Errorf("an expression is %+v", j)
	}
}

func TestEventTypesThatAreBuiltIn(t *testing.T) {
	s := newSet(t, "kind: event-type\nid: order-completed\nspec: {tags: [mine]}\n---\nkind: event-type\nid: own\nspec: {}\n")
	ids := func(list []Resource) (ids []string) {
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids
	}
	builtIn := ids(s.BuiltIns(KindEventType))
	if !slices.IsSorted(builtIn) || !slices.Contains(builtIn, "page-view") || slices.Contains(builtIn, "order-completed") || s.BuiltIns(KindSource) != nil {
		t.Errorf("built in are %v", builtIn)
	}
	if got := ids(s.Resources()); !reflect.DeepEqual(got, []string{"order-completed", "own"}) || !reflect.DeepEqual(s.EventTypes(), got) || !reflect.DeepEqual(s.NamedTypes(), got) {
		t.Errorf("resources are %v, of types %v, named %v", got, s.EventTypes(), s.NamedTypes())
	}
	if _, ok := s.Get(KindEventType, "page-view"); ok {
		t.Error("what is built in is among the resources")
	}
	if r, ok := s.BuiltIn(KindEventType, "page-view"); !ok || r.Revision != 0 || len(r.Spec) == 0 {
		t.Errorf("page-view is %+v", r)
	}
	for _, of := range [][2]string{{KindEventType, "order-completed"}, {KindEventType, "own"}, {KindSource, "page-view"}} {
		if _, ok := s.BuiltIn(of[0], of[1]); ok {
			t.Errorf("%v is built in", of)
		}
	}
}

// A resource replaces the built-in type of its id whole, in whatever revision,
// and when it is deleted, the built-in one is back.
func TestAResourceReplacesABuiltInTypeWhole(t *testing.T) {
	first, err := NewSet(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x := first.EventType("order-completed"); x == nil || len(x.Copy) == 0 || x.Journey == nil || len(x.Traits) == 0 {
		t.Fatalf("order-completed is %+v", x)
	}
	second, _, err := first.Apply(Puts(parse(t, "kind: event-type\nid: order-completed\nspec: {tags: [mine]}\n")))
	if err != nil {
		t.Fatal(err)
	}
	x := second.EventType("order-completed")
	if !reflect.DeepEqual(x, &EventType{ID: "order-completed", Tags: []string{"mine"}}) {
		t.Errorf("replaced it is %+v", x)
	}
	third, differences, err := second.Apply([]Change{{Resource: Resource{Kind: KindEventType, ID: "order-completed"}, Delete: true}})
	if err != nil || len(differences) != 1 || differences[0].Action != Deleted {
		t.Fatalf("delete: %v, %v", differences, err)
	}
	if third.EventType("order-completed") != first.EventType("order-completed") {
		t.Error("the built-in type is not back")
	}
	// What is built in cannot be deleted.
	if same, differences, err := third.Apply([]Change{{Resource: Resource{Kind: KindEventType, ID: "page-view"}, Delete: true}}); err != nil || same != third || differences[0].Action != Unchanged {
		t.Errorf("delete of a built-in one: %v, %v", differences, err)
	}
}
