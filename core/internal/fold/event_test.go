package fold

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// compile makes rules of resources in YAML.
func compile(t testing.TB, yaml string) *Rules {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(7, resources)
	if err != nil {
		t.Fatal(err)
	}
	return NewRules(set)
}

const shop = `
kind: event-type
id: order-completed
spec:
  schema: {type: object, required: [total], properties: {total: {type: number}}}
  when: 'event.source == "shop"'
  traits: {total: order_total}
  copy:
    - {to: traits.last_total, from: event.properties.total, op: set}
    - {to: traits.first_total, from: event.properties.total, op: set-if-missing}
    - {to: counters.orders, op: increment, by: 1}
    - {to: counters.revenue, from: event.properties.total, op: increment}
    - {to: data.products, from: event.properties.products, op: append}
    - {to: traits.rich, from: 'profile.counters.revenue > 10', op: set}
    - {to: traits.lately, from: 'count("order-completed", "7d")', op: set}
  tags: [ecommerce]
---
kind: event-type
id: oops
spec:
  copy:
    - {to: counters.orders, from: event.properties.text, op: increment}
    - {to: traits.name.first, from: event.properties.text, op: set}
    - {to: traits.name, op: delete}
    - {to: counters.orders, op: decrement, by: 2}
`

func command(eventType, properties string) *record.Command {
	return &record.Command{
		Kind: record.KindEvent, Profile: "p1", Received: noon,
		Event: &record.Event{ID: "1", Type: eventType, Source: "shop", Time: noon.Add(-time.Minute), Properties: []byte(properties)},
	}
}

// folded applies commands to one profile, one after another, and returns the
// document and the last event as it was sent on.
func folded(t *testing.T, r *Rules, commands ...*record.Command) (*record.Document, *sent) {
	t.Helper()
	var doc *record.Document
	var out *sent
	for _, c := range commands {
		result := once(r, doc, c, Claim{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}})
		doc, out = result.Doc, own(t, result)
	}
	return doc, out
}

// once applies a command to a document whose profile takes the claims that nobody
// holds.
func once(r *Rules, doc *record.Document, c *record.Command, claims ...Claim) *Result {
	var f Fold
	f.Begin(Input{Rules: r, Command: c, Doc: doc, Claims: claims, Derive: func(c Claim) string { return "derived " + c.Value }})
	d := f.Route()
	for _, i := range d.Take {
		f.Claims[i].From, f.Claims[i].Holder = f.Claims[i].Holder, c.Profile
	}
	return f.Apply(d)
}

// A sent is an event as EVENTS carries it, read again.
type sent struct {
	sdk.View
	text []byte
}

func own(t *testing.T, r *Result) *sent {
	t.Helper()
	if r.Own < 0 {
		t.Fatalf("the command sent no event of its own: %+v", r)
	}
	text := r.Events[r.Own].Data
	return &sent{sdk.RawView(text), text}
}

// at is the text of what stands at a path, null where nothing does.
func (s *sent) at(path string) string { return string(s.At(path).Raw()) }

func TestFoldCopiesByTheRulesOfTheType(t *testing.T) {
	r := compile(t, shop)
	doc, out := folded(t, r,
		command("order-completed", `{"total":0.1,"products":["a","b"]}`),
		command("order-completed", `{"total":0.2,"products":["b","c"]}`),
		command("order-completed", `{"total":22.200000000000003}`),
	)
	p := doc.Profile
	for path, want := range map[string]any{
		"traits.last_total": 22.200000000000003, "traits.first_total": 0.1, "traits.rich": true, "traits.lately": int64(3),
	} {
		at, _ := sdk.ParsePath(path)
		if got, _ := at[1:].Get(p.Traits); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	// 0.1 + 0.2 + 22.200000000000003, as decimals: no float holds it.
	if got := string(sdk.AppendValue(nil, p.Counters)); got != `{"orders":3,"revenue":22.500000000000003}` {
		t.Errorf("counters = %s", got)
	}
	if got := string(sdk.AppendValue(nil, p.Data)); got != `{"products":["a","b","c"]}` {
		t.Errorf("data = %s", got)
	}
	if p.Revision != 3 || p.Stats.Events["order-completed"].Count != 3 || !reflect.DeepEqual(p.Identities["user"], []string{"17850"}) {
		t.Errorf("profile = %s", p.AppendJSON(nil))
	}
	if got := out.at("event.traits"); got != `{"order_total":22.200000000000003}` {
		t.Errorf("event traits = %s", got)
	}
	if out.at("event.tags") != `["ecommerce"]` || out.at("config") != "7" || out.at("revision") != "3" {
		t.Errorf("event = %s", out.text)
	}
	if got := out.at("changes"); got != `{"counters.orders":3,"counters.revenue":22.500000000000003,"traits.last_total":22.200000000000003,"traits.lately":3,"traits.rich":true}` {
		t.Errorf("changes = %s", got)
	}
}

func TestFoldKeepsAnInvalidEventOutOfTheProfile(t *testing.T) {
	r := compile(t, shop)
	doc, out := folded(t, r, command("order-completed", `{"total":"ten"}`))
	if doc != nil {
		t.Errorf("an invalid event made a profile: %s", doc.AppendJSON(nil))
	}
	if text := string(out.text); out.at("event.valid") != "false" || out.at("event.profile") != "null" || strings.Count(text, `"path"`) != 1 || !strings.Contains(text, `"path":"properties.total"`) {
		t.Errorf("event = %s", text)
	}
	if _, out = folded(t, r, command("order-completed", `{}`)); out.at("event.valid") != "false" || !strings.Contains(out.at("event.errors"), "total") {
		t.Errorf("event = %s", out.text)
	}
}

// What the product says of a profile has happened, whatever somebody's schema wants;
// what others send under the same name is held to it.
func TestNoSchemaRefusesASystemEvent(t *testing.T) {
	r := compile(t, "kind: event-type\nid: segment-entered\nspec: {schema: {required: [reason]}, copy: [{to: counters.entered, op: increment}]}")
	for source, valid := range map[string]bool{record.SourceSystem: true, "shop": false} {
		c := command(record.TypeSegmentEntered, `{"segment":"loyal"}`)
		c.Event.Source = source
		result := once(r, nil, c)
		if out := own(t, result); out.at("event.valid") != fmt.Sprint(valid) {
			t.Errorf("of %s: %s", source, out.text)
		}
		if valid && result.Doc.Profile.Counters["entered"] != int64(1) {
			t.Errorf("of %s: the rules of its type are not applied", source)
		}
	}
}

func TestFoldLeavesATypeAloneWhoseConditionDoesNotHold(t *testing.T) {
	r := compile(t, shop)
	c := command("order-completed", `{"total":"ten"}`)
	c.Event.Source = "other"
	doc, out := folded(t, r, c)
	if doc == nil || out.at("event.valid") != "true" || len(doc.Profile.Counters) != 0 || out.Exists("event.tags") {
		t.Errorf("event = %s", out.text)
	}
}

func TestFoldGoesOnWhereARuleFails(t *testing.T) {
	r := compile(t, shop)
	result := once(r, nil, command("oops", `{"text":"x"}`))
	doc := result.Doc
	if len(result.Problems) != 1 || !strings.Contains(result.Problems[0].Error(), "counters.orders") {
		t.Errorf("problems = %v", result.Problems)
	}
	if got := string(sdk.AppendValue(nil, doc.Profile.Counters)); got != `{"orders":-2}` {
		t.Errorf("counters = %s", got)
	}
	if len(doc.Profile.Traits) != 0 {
		t.Errorf("traits = %v", doc.Profile.Traits)
	}
}

func TestIdentifySetsTraits(t *testing.T) {
	c := command("identify", `{}`)
	c.Event.Traits = []byte(`{"name":"Ann","address":{"city":"Oslo"}}`)
	doc, _ := folded(t, compile(t, shop), c)
	if got := string(sdk.AppendValue(nil, doc.Profile.Traits)); got != `{"address":{"city":"Oslo"},"name":"Ann"}` {
		t.Errorf("traits = %s", got)
	}
}

// The same commands give the same bytes, whatever the maps' order.
func TestFoldIsDeterministic(t *testing.T) {
	r := compile(t, shop)
	run := func() string {
		var commands []*record.Command
		for i := range 50 {
			c := command("order-completed", fmt.Sprintf(`{"total":%d.1,"products":["%d"],"z":{"b":1,"a":2}}`, i, i%7))
			c.Event.Session = fmt.Sprint("s", i/10)
			commands = append(commands, c)
		}
		doc, out := folded(t, r, commands...)
		return string(doc.AppendJSON(nil)) + string(out.text)
	}
	first := run()
	for range 20 {
		if again := run(); again != first {
			t.Fatalf("got  %s\nwant %s", again, first)
		}
	}
}
