package eventtype

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// compile makes an event type of the fields of its spec.
func compile(t testing.TB, spec string) *config.EventType {
	t.Helper()
	resources, err := config.Parse("types.yaml", []byte("kind: event-type\nid: x\nspec:\n  "+strings.ReplaceAll(spec, "\n", "\n  ")))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return set.EventType("x")
}

// parse makes an event of its properties, its traits and its context, as JSON.
func parse(parts ...string) *sdk.Event {
	e := &sdk.Event{ID: "e1", Type: "x", Source: "shop", Time: noon, Received: noon, Valid: true}
	for i, at := range []*sdk.Object{&e.Properties, &e.Traits, &e.Context} {
		if i < len(parts) {
			*at = sdk.RawObject([]byte(parts[i]))
		}
	}
	return e
}

// profileOf makes a profile of its sections, as JSON.
func profileOf(t testing.TB, sections string) *sdk.Profile {
	t.Helper()
	p := sdk.NewProfile("p1", noon)
	m, err := sdk.ParseObject([]byte(sections))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range m {
		section, _ := p.Section(name)
		for field, v := range v.(map[string]any) {
			section[field] = v
		}
	}
	return p
}

// sections are what of a profile is not empty, as JSON.
func sections(p *sdk.Profile) string {
	m := map[string]any{}
	for _, name := range []string{"traits", "data", "counters", "interests", "consents"} {
		if section, _ := p.Section(name); len(section) > 0 {
			m[name] = section
		}
	}
	return text(m)
}

func text(v any) string { return string(sdk.AppendValue(nil, v)) }

func varsOf(e *sdk.Event, p *sdk.Profile) *condition.Vars {
	v := &condition.Vars{Event: e, Now: e.Received}
	if p != nil {
		v.Profile = p
	}
	return v
}

// faultList writes faults one a line.
func faultList(faults []sdk.FieldError) string {
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.Path+": "+f.Message)
	}
	return strings.Join(lines, "\n")
}

// problemList writes problems one a line.
func problemList(problems []error) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

func TestCheck(t *testing.T) {
	const schema = "schema: {properties: {total: {type: number}}}\n"
	const paid = `validators:
- name: paid
  when: event.properties.status == "paid"
  schema: {required: [payment]}
- {name: place, on: context, schema: {properties: {country: {enum: [PT, ES]}}}}
- {name: kind, on: traits, when: 'lower(event.properties.kind) == "big"', schema: {required: [size]}}
- {name: known, when: 'profile.traits.vip', schema: {required: [card]}}`
	for _, test := range []struct {
		name, spec, event string // the parts of the event, separated by spaces
		faults, problems  string
	}{
		{"nothing to ask", "tags: [a]", `{"total":"x"}`, "", ""},
		{"the schema holds", schema, `{"total":1}`, "", ""},
		{"the schema", schema, `{"total":"x"}`, "properties.total: got string, want number", ""},
		{"all hold", schema + paid, `{"status":"paid","payment":1}`, "", ""},
		{"one that does not apply", paid, `{"status":"open"}`, "", ""},
		{"one that does", paid, `{"status":"paid"}`, "properties: validator paid: missing property 'payment'", ""},
		{"all that apply, in order", schema + paid, `{"total":"x","status":"paid"} {} {"country":"DE"}`,
			"properties.total: got string, want number\nproperties: validator paid: missing property 'payment'\ncontext.country: validator place: value must be one of 'PT', 'ES'", ""},
		{"of traits", paid, `{"kind":"BIG"} {}`, "traits: validator kind: missing property 'size'", ""},
		{"of traits, that are there", paid, `{"kind":"BIG"} {"size":1}`, "", ""},
		{"a condition that fails", paid, `{"kind":7}`, "", `event type x: validator kind: when: condition "lower(event.properties.kind) == \"big\"": lower takes a text, not a number`},
		{"a condition that fails does not keep others", paid, `{"kind":7,"status":"paid"}`,
			"properties: validator paid: missing property 'payment'", `event type x: validator kind: when: condition "lower(event.properties.kind) == \"big\"": lower takes a text, not a number`},
		{"by the profile", paid, `{} {} {} {"traits":{"vip":true}}`, "properties: validator known: missing property 'card'", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			parts := strings.Fields(test.event)
			var p *sdk.Profile
			if len(parts) == 4 {
				p = profileOf(t, parts[3])
			}
			e := parse(parts[:min(len(parts), 3)]...)
			faults, problems := Check(compile(t, test.spec), e, varsOf(e, p))
			if got := faultList(faults); got != test.faults {
				t.Errorf("faults are\n%s\nwant\n%s", got, test.faults)
			}
			if got := problemList(problems); got != test.problems {
				t.Errorf("problems are\n%s\nwant\n%s", got, test.problems)
			}
		})
	}
}

func TestCheckIsBounded(t *testing.T) {
	many := map[string]any{}
	for i := range 30 {
		many[strings.Repeat("a", i+1)] = int64(i)
	}
	e := parse(text(many))
	x := compile(t, "schema: {additionalProperties: {type: string}}\nvalidators: [{name: a, schema: {additionalProperties: {type: string}}}]")
	if faults, _ := Check(x, e, varsOf(e, nil)); len(faults) != maxFaults {
		t.Errorf("%d faults are told", len(faults))
	}
	if faults := CheckAlone(x, e, varsOf(e, nil)); len(faults) != maxFaults {
		t.Errorf("%d faults are told of the event alone", len(faults))
	}
}

// Before it is known whose an event is, only what depends on it alone is asked.
func TestCheckAlone(t *testing.T) {
	const faulty = "schema: {required: [total]}"
	const total = "properties: missing property 'total'"
	for _, test := range []struct{ spec, faults string }{
		{faulty, total},
		{faulty + "\nwhen: event.source == \"shop\"", total},
		{faulty + "\nwhen: event.source == \"till\"", ""},
		{faulty + "\nwhen: lower(event.properties.a) == \"x\"", ""},
		{faulty + "\nwhen: profile.traits.vip != true", ""},
		{faulty + "\nwhen: count(\"x\") == 0", ""},
		{"validators: [{name: a, when: 'session.events < 1 || true', schema: {required: [total]}}, {name: b, schema: {required: [sum]}}]", "properties: validator b: missing property 'sum'"},
	} {
		e := parse(`{"a":1}`)
		if got := faultList(CheckAlone(compile(t, test.spec), e, varsOf(e, nil))); got != test.faults {
			t.Errorf("%s\ngives %s\nwant  %s", test.spec, got, test.faults)
		}
	}
}

func TestReshape(t *testing.T) {
	const event = `{"a":1.50,"list":[1,null,"x"],"deep":{"b":"y"},"big":123456789012345678901234567890} {"kind":"k"} {"page":{"url":"/"}}`
	for _, test := range []struct {
		name, spec string
		want       string // properties, traits and context
		faults     string
		problems   string
	}{
		{"nothing", "tags: [a]", event, "", ""},
		{"literals", "reshape: {properties: {n: 1.10, t: text, l: [1, {}], z: null, d: {e: true}, x: []}}",
			`{"d":{"e":true},"l":[1,{}],"n":1.1,"t":"text","x":[],"z":null} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"values keep their types", "reshape: {properties: {n: '{{ event.properties.a }}', l: '{{ event.properties.list }}', d: '{{ event.properties.deep }}', g: '{{ event.properties.big }}', s: 'a {{ event.properties.a }}', t: '{{ event.time }}', u: ['{{ event.time }}'], w: '{{ [event.time] }}'}}",
			`{"d":{"b":"y"},"g":123456789012345678901234567890,"l":[1,null,"x"],"n":1.5,"s":"a 1.5","t":"2026-03-01T12:00:00.000Z","u":["2026-03-01T12:00:00.000Z"],"w":["2026-03-01T12:00:00.000Z"]} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"all parts see the event as it was", "reshape: {properties: {p: '{{ event.traits.kind }}'}, traits: {t: '{{ event.properties.a }}'}, context: {c: '{{ event.properties.p }}', u: '{{ event.context.page.url }}'}}",
			`{"p":"k"} {"t":1.5} {"u":"/"}`, "", ""},
		{"drop is the rule", "reshape: {properties: {a: '{{ event.properties.none }}', l: [1, '{{ event.properties.none }}', 2], d: {e: '{{ event.properties.none }}'}}}",
			`{"d":{},"l":[1,2]} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"null", "reshape: {missing: 'null', properties: {a: '{{ event.properties.none }}', l: [1, '{{ event.properties.none }}']}}",
			`{"a":null,"l":[1,null]} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"strict, and nothing is missing", "reshape: {missing: strict, properties: {a: '{{ event.properties.a }}', z: null}}",
			`{"a":1.5,"z":null} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"strict", "reshape: {missing: strict, properties: {b: 1, a: '{{ event.properties.none }}'}, context: {l: [1, {m: '{{ event.context.none }}'}]}}", event,
			"properties.a: reshape: has no value; {{ event.properties.none }} is null\ncontext.l.1.m: reshape: has no value; {{ event.context.none }} is null", ""},
		{"a text with a hole is a text", "reshape: {missing: strict, properties: {a: 'x{{ event.properties.none }}y'}}",
			`{"a":"xy"} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"one that fails is missing", "reshape: {properties: {a: '{{ lower(event.properties.a) }}', b: 1}}",
			`{"b":1} {"kind":"k"} {"page":{"url":"/"}}`, "", `event type x: reshape: properties.a: condition " lower(event.properties.a) ": lower takes a text, not a number`},
		{"one that fails is null", "reshape: {missing: null, properties: {a: '{{ lower(event.properties.a) }}'}}",
			`{"a":null} {"kind":"k"} {"page":{"url":"/"}}`, "", `event type x: reshape: properties.a: condition " lower(event.properties.a) ": lower takes a text, not a number`},
		{"one that fails where none may", "reshape: {missing: strict, properties: {a: '{{ lower(event.properties.a) }}'}}", event,
			`properties.a: reshape: condition " lower(event.properties.a) ": lower takes a text, not a number`, ""},
		{"a condition", "reshape: {when: event.properties.a > 2, properties: {b: 1}}", event, "", ""},
		{"a condition that holds", "reshape: {when: event.properties.a > 1, properties: {b: 1}}", `{"b":1} {"kind":"k"} {"page":{"url":"/"}}`, "", ""},
		{"a condition that fails", "reshape: {when: 'lower(event.properties.a) == \"x\"', properties: {b: 1}}", event, "",
			`event type x: reshape: when: condition "lower(event.properties.a) == \"x\"": lower takes a text, not a number`},
		{"empty", "reshape: {traits: {}}", `{"a":1.50,"list":[1,null,"x"],"deep":{"b":"y"},"big":123456789012345678901234567890} {} {"page":{"url":"/"}}`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := parse(strings.Fields(event)...)
			faults, problems := Reshape(compile(t, test.spec), e, varsOf(e, nil))
			if got := faultList(faults); got != test.faults {
				t.Errorf("faults are\n%s\nwant\n%s", got, test.faults)
			}
			if got := problemList(problems); got != test.problems {
				t.Errorf("problems are\n%s\nwant\n%s", got, test.problems)
			}
			got := string(e.Context.AppendJSON(append(e.Traits.AppendJSON(append(e.Properties.AppendJSON(nil), ' ')), ' ')))
			if got != test.want {
				t.Errorf("the event is\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// What an event becomes is its own: neither part of what it was sent with nor of
// the configuration.
func TestWhatIsReshapedIsTheEventsOwn(t *testing.T) {
	x := compile(t, "reshape: {properties: {l: '{{ event.properties.list }}', fixed: {a: [1]}}}")
	e := parse(`{"list":[{"a":1}]}`)
	before := e.Properties.View()
	if faults, problems := Reshape(x, e, varsOf(e, nil)); faults != nil || problems != nil {
		t.Fatal(faults, problems)
	}
	now := e.Properties.Map()
	now["l"].([]any)[0].(map[string]any)["a"] = "changed"
	now["fixed"].(map[string]any)["a"].([]any)[0] = "changed"
	if got := text(before); got != `{"list":[{"a":1}]}` {
		t.Errorf("the event was sent with %s", got)
	}
	e = parse(`{"list":[]}`)
	Reshape(x, e, varsOf(e, nil))
	if got := text(e.Properties.View()); got != `{"fixed":{"a":[1]},"l":[]}` {
		t.Errorf("the next event is %s", got)
	}
}

func TestReshapeIsBounded(t *testing.T) {
	fields := ""
	for i := range 1000 {
		fields += "f" + strings.Repeat("x", i%7) + text(int64(i)) + ": '{{ event.properties }}', "
	}
	x := compile(t, "reshape: {properties: {"+fields+"}}")
	e := parse(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	faults, _ := Reshape(x, e, varsOf(e, nil))
	if got := faultList(faults); got != "event: reshape: it becomes larger than 256 KB" {
		t.Errorf("faults are %.200s", got)
	}
	if got := len(e.Properties.AppendJSON(nil)); got > 1100 {
		t.Errorf("the event has %d bytes", got)
	}
}

func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		name, spec, properties, traits string
		tags                           []string
		wantTraits, wantTags, problems string
	}{
		{"nothing", "when: 'true'", `{"a":1}`, `{}`, nil, `{}`, ``, ""},
		{"tags", "tags: [b, A]", `{}`, `{}`, nil, `{}`, "b A", ""},
		{"tags are united, as they are written", "tags: [b, a, A]", `{}`, `{}`, []string{"a", "z"}, `{}`, "a z b A", ""},
		{"tags that were sent twice", "tags: [b]", `{}`, `{}`, []string{"a", "b", "a"}, `{}`, "a b", ""},
		{"traits", "traits: {a: b, c.d: e.f}", `{"a":1,"c":{"d":[1]}}`, `{"g":2}`, nil, `{"b":1,"e":{"f":[1]},"g":2}`, "", ""},
		{"what is missing or null", "traits: {a: b, c.d: e}", `{"a":null,"c":1}`, `{"b":2}`, nil, `{"b":2}`, "", ""},
		{"a trait that has no room", "traits: {a: b.c, d: e}", `{"a":1,"d":2}`, `{"b":7}`, nil, `{"b":7,"e":2}`, "", "event type x: traits: b is a number, so nothing can be set below it"},
	} {
		e := parse(test.properties, test.traits)
		e.Tags = test.tags
		problems := Describe(compile(t, test.spec), e)
		if got := text(e.Traits.View()); got != test.wantTraits {
			t.Errorf("%s: traits are %s, want %s", test.name, got, test.wantTraits)
		}
		if got := strings.Join(e.Tags, " "); got != test.wantTags {
			t.Errorf("%s: tags are %s, want %s", test.name, got, test.wantTags)
		}
		if got := problemList(problems); got != test.problems {
			t.Errorf("%s: problems are %s, want %s", test.name, got, test.problems)
		}
	}
}

// A trait is no part of the properties that it was read from.
func TestTraitsAreCopies(t *testing.T) {
	e := parse(`{"a":[1]}`)
	Describe(compile(t, "traits: {a: b}"), e)
	e.Traits.Map()["b"].([]any)[0] = "changed"
	if got := text(e.Properties.View()); got != `{"a":[1]}` {
		t.Errorf("the properties are %s", got)
	}
}

// The tags of an event may be those of its type; what is added to them is not
// seen by other events.
func TestTagsAreNotSharedFurther(t *testing.T) {
	x := compile(t, "tags: [a, b, c]")
	one, other := parse(`{}`), parse(`{}`)
	Describe(x, one)
	Describe(x, other)
	mine := append(one.Tags, "mine")
	_ = append(other.Tags, "others")
	if got := strings.Join(mine, " "); got != "a b c mine" {
		t.Errorf("the tags are %s", got)
	}
}

func TestJourney(t *testing.T) {
	const expression = "journey: event.properties.state"
	for _, test := range []struct{ name, spec, properties, traits, state, wantTraits, problem string }{
		{"none", "tags: [a]", `{}`, `{}`, "", `{}`, ""},
		{"a state", "journey: advocacy", `{}`, `{}`, "advocacy", `{"journey":"advocacy"}`, ""},
		{"beside other traits", "journey: advocacy", `{}`, `{"a":1,"journey":"x"}`, "advocacy", `{"a":1,"journey":"advocacy"}`, ""},
		{"an expression", expression, `{"state":"retention"}`, `{}`, "retention", `{"journey":"retention"}`, ""},
		{"null", expression, `{}`, `{"a":1}`, "", `{"a":1}`, ""},
		{"no state", expression, `{"state":"bliss"}`, `{}`, "", `{}`, `event type x: journey: "bliss" is no state of it; want one of [awareness consideration purchase retention advocacy], or null`},
		{"no text", expression, `{"state":[1]}`, `{}`, "", `{}`, `event type x: journey: [1] is no state of it; want one of [awareness consideration purchase retention advocacy], or null`},
		{"a failure", "journey: lower(event.properties.state)", `{"state":7}`, `{}`, "", `{}`, `event type x: journey: condition "lower(event.properties.state)": lower takes a text, not a number`},
	} {
		e := parse(test.properties, test.traits)
		state, err := Journey(compile(t, test.spec), e, varsOf(e, nil))
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if got := text(e.Traits.View()); state != test.state || got != test.wantTraits || problem != test.problem {
			t.Errorf("%s: %q, traits %s, %s", test.name, state, got, problem)
		}
	}
}

// copyAll carries out the copy rules of a type.
func copyAll(x *config.EventType, p *sdk.Profile, e *sdk.Event, changes map[string]any) (problems []error) {
	for i := range x.Copy {
		rule := &x.Copy[i]
		to, operand, applies, err := Copy(rule, varsOf(e, p))
		if err == nil && applies {
			var v any
			var changed bool
			if v, changed, err = profile.Change(p, to, rule.Op, operand); changed {
				changes[to.String()] = v
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("copy to %s: %w", rule.To, err))
		}
	}
	return problems
}

func TestCopy(t *testing.T) {
	const before = `{"traits":{"name":"Ann","none":null},"counters":{"n":1},"data":{"list":["a"],"text":"t"},"interests":{"tea":2}}`
	for _, test := range []struct{ name, rules, properties, want, problems string }{
		{"set", "{to: traits.name, from: event.properties.a}", `{"a":"Bob"}`, `{"traits.name":"Bob"}`, ""},
		{"set null", "{to: traits.name, from: event.properties.a}", `{}`, `{"traits.name":null}`, ""},
		{"set null where there is nothing", "{to: traits.new, from: event.properties.a}", `{}`, `{}`, ""},
		{"set-if-missing", "{to: traits.name, from: event.properties.a, op: set-if-missing}, {to: traits.new, from: event.properties.a, op: set-if-missing}, {to: traits.none, from: event.properties.a, op: set-if-missing}",
			`{"a":1}`, `{"traits.new":1,"traits.none":1}`, ""},
		{"append", "{to: data.list, from: event.properties.a, op: append}", `{"a":["a","b"]}`, `{"data.list":["a","b"]}`, ""},
		{"remove", "{to: data.list, from: event.properties.a, op: remove}", `{"a":"a"}`, `{"data.list":[]}`, ""},
		{"increment and decrement", "{to: counters.n, op: increment}, {to: counters.m, op: decrement, by: 3}, {to: counters.n, op: increment, from: event.properties.a}", `{"a":0.5}`, `{"counters.m":-3,"counters.n":2.5}`, ""},
		{"delete", "{to: data.text, op: delete}, {to: data.nothing, op: delete}", `{}`, `{"data.text":null}`, ""},
		{"a later one sees an earlier one", "{to: counters.n, op: increment}, {to: traits.n, from: profile.counters.n}", `{}`, `{"counters.n":2,"traits.n":2}`, ""},
		{"when it holds", "{to: traits.a, from: event.id, when: event.properties.a > 1}", `{"a":2}`, `{"traits.a":"e1"}`, ""},
		{"when it does not", "{to: traits.a, from: event.id, when: event.properties.a > 1}", `{"a":1}`, `{}`, ""},
		{"when it is null", "{to: traits.a, from: event.id, when: event.properties.a}", `{}`, `{}`, ""},
		{"every op has a condition", "{to: traits.name, op: delete, when: 'false'}, {to: counters.n, op: increment, when: 'false'}, {to: data.list, op: append, from: event.id, when: 'false'}, {to: data.list, op: remove, from: '\"a\"', when: 'false'}, {to: traits.x, op: set-if-missing, from: event.id, when: 'false'}, {to: counters.n, op: decrement, when: 'false'}",
			`{}`, `{}`, ""},
		{"when it fails", "{to: traits.a, from: event.id, when: 'lower(event.properties.a) == \"x\"'}, {to: traits.b, from: event.id}", `{"a":1}`, `{"traits.b":"e1"}`,
			`copy to traits.a: when: condition "lower(event.properties.a) == \"x\"": lower takes a text, not a number`},
		{"an operand that fails", "{to: traits.a, from: lower(event.properties.a)}", `{"a":1}`, `{}`, `copy to traits.a: condition "lower(event.properties.a)": lower takes a text, not a number`},
		{"a place that has no room", "{to: data.text.a, from: event.id}", `{}`, `{}`, "copy to data.text.a: text is a string, so nothing can be set below it"},
		{"a name of the event", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":"tea"}`, `{"interests.tea":3}`, ""},
		{"a name that is new", "{to: 'data.deep.{{ lower(event.properties.topic) }}', from: event.id}", `{"topic":"A.b"}`, `{"data.deep[\"a.b\"]":"e1"}`, ""},
		{"no name", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{}`, `{}`, ""},
		{"an empty name", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":""}`, `{}`, "copy to interests: the last name has 0 characters; want 1 to 128"},
		{"a name that is none", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":7}`, `{}`, "copy to interests: the last name is a number; want a text"},
		{"a long name", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":"` + strings.Repeat("é", 129) + `"}`, `{}`, "copy to interests: the last name has 129 characters; want 1 to 128"},
		{"a strange name", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":"a\"]"}`, `{}`, "copy to interests: the last name has control characters or quotes"},
		{"a name with control characters", "{to: 'interests.{{ event.properties.topic }}', op: increment}", `{"topic":"a\nb"}`, `{}`, "copy to interests: the last name has control characters or quotes"},
		{"a name that fails", "{to: 'interests.{{ lower(event.properties.topic) }}', op: increment}", `{"topic":7}`, `{}`, `copy to interests: condition "lower(event.properties.topic)": lower takes a text, not a number`},
		{"an increment by a text", "{to: counters.n, from: event.properties.a, op: increment}", `{"a":"x"}`, `{}`, "copy to counters.n: want a number, got a string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, changes := profileOf(t, before), map[string]any{}
			e := parse(test.properties)
			problems := copyAll(compile(t, "copy: ["+test.rules+"]"), p, e, changes)
			if got := text(changes); got != test.want {
				t.Errorf("changes are %s, want %s", got, test.want)
			}
			if got := problemList(problems); got != test.problems {
				t.Errorf("problems are\n%s\nwant\n%s", got, test.problems)
			}
			for at, v := range changes {
				path, err := sdk.ParsePath(at)
				if err != nil {
					t.Fatal(err)
				}
				section, _ := p.Section(path[0])
				if got, _ := path[1:].Get(section); text(got) != text(v) {
					t.Errorf("%s is %s, changed to %s", at, text(got), text(v))
				}
			}
			if len(changes) == 0 && sections(p) != sections(profileOf(t, before)) {
				t.Errorf("the profile is %s", sections(p))
			}
		})
	}
}

// What a profile keeps is not part of the event.
func TestCopyMakesCopies(t *testing.T) {
	e, p := parse(`{"list":[{"a":1}]}`), profileOf(t, `{}`)
	copyAll(compile(t, "copy: [{to: data.list, from: event.properties.list}]"), p, e, map[string]any{})
	e.Properties.Map()["list"].([]any)[0].(map[string]any)["a"] = "changed"
	if got := sections(p); got != `{"data":{"list":[{"a":1}]}}` {
		t.Errorf("the profile is %s", got)
	}
}
