package processor

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
func compile(t testing.TB, yaml string) *rules {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(7, resources)
	if err != nil {
		t.Fatal(err)
	}
	return newRules(set)
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

// fold applies events to one profile, one after another, and returns the
// document and the last event as it was sent on.
func fold(t *testing.T, r *rules, commands ...*record.Command) (*record.Document, *record.ProcessedEvent) {
	t.Helper()
	var doc *record.Document
	var out *record.ProcessedEvent
	for _, c := range commands {
		a := examine(r, doc, c)
		if a.event.Valid {
			doc = a.apply("p1", []claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}}})
		}
		out = a.processed()
	}
	return doc, out
}

func TestFoldCopiesByTheRulesOfTheType(t *testing.T) {
	r := compile(t, shop)
	doc, out := fold(t, r,
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
	if got := string(out.Event.Traits.AppendJSON(nil)); got != `{"order_total":22.200000000000003}` {
		t.Errorf("event traits = %s", got)
	}
	if !reflect.DeepEqual(out.Event.Tags, []string{"ecommerce"}) || out.Config != 7 || out.Revision != 3 {
		t.Errorf("event = %s", out.AppendJSON(nil))
	}
	if got := string(sdk.AppendValue(nil, out.Changes)); got != `{"counters.orders":3,"counters.revenue":22.500000000000003,"traits.last_total":22.200000000000003,"traits.lately":3,"traits.rich":true}` {
		t.Errorf("changes = %s", got)
	}
}

func TestFoldKeepsAnInvalidEventOutOfTheProfile(t *testing.T) {
	r := compile(t, shop)
	doc, out := fold(t, r, command("order-completed", `{"total":"ten"}`))
	if doc != nil {
		t.Errorf("an invalid event made a profile: %s", doc.AppendJSON(nil))
	}
	if out.Event.Valid || out.Event.Profile != "" || len(out.Event.Errors) != 1 || out.Event.Errors[0].Path != "properties.total" {
		t.Errorf("event = %s", out.Event.AppendJSON(nil))
	}
	if _, out = fold(t, r, command("order-completed", `{}`)); out.Event.Valid || !strings.Contains(out.Event.Errors[0].Message, "total") {
		t.Errorf("event = %s", out.Event.AppendJSON(nil))
	}
}

// What the product says of a profile has happened, whatever somebody's schema wants;
// what others send under the same name is held to it.
func TestNoSchemaRefusesASystemEvent(t *testing.T) {
	r := compile(t, "kind: event-type\nid: segment-entered\nspec: {schema: {required: [reason]}, copy: [{to: counters.entered, op: increment}]}")
	for source, valid := range map[string]bool{record.SourceSystem: true, "shop": false} {
		c := command(record.TypeSegmentEntered, `{"segment":"loyal"}`)
		c.Event.Source = source
		a := examine(r, nil, c)
		if a.event.Valid != valid {
			t.Errorf("of %s: valid is %v", source, a.event.Valid)
		}
		if valid && a.apply("p1", nil).Profile.Counters["entered"] != int64(1) {
			t.Errorf("of %s: the rules of its type are not applied", source)
		}
	}
}

func TestFoldLeavesATypeAloneWhoseConditionDoesNotHold(t *testing.T) {
	r := compile(t, shop)
	c := command("order-completed", `{"total":"ten"}`)
	c.Event.Source = "other"
	doc, out := fold(t, r, c)
	if doc == nil || !out.Event.Valid || len(doc.Profile.Counters) != 0 || len(out.Event.Tags) != 0 {
		t.Errorf("event = %s", out.Event.AppendJSON(nil))
	}
}

func TestFoldGoesOnWhereARuleFails(t *testing.T) {
	r := compile(t, shop)
	var doc *record.Document
	a := examine(r, doc, command("oops", `{"text":"x"}`))
	doc = a.apply("p1", nil)
	if len(a.problems) != 1 || !strings.Contains(a.problems[0].Error(), "counters.orders") {
		t.Errorf("problems = %v", a.problems)
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
	doc, _ := fold(t, compile(t, shop), c)
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
		doc, out := fold(t, r, commands...)
		return string(doc.AppendJSON(nil)) + string(out.AppendJSON(nil))
	}
	first := run()
	for range 20 {
		if again := run(); again != first {
			t.Fatalf("got  %s\nwant %s", again, first)
		}
	}
}

func TestASessionEndsWhereAnotherBegins(t *testing.T) {
	r := compile(t, shop)
	at := func(session string, minute int) *record.Command {
		c := command("page-view", `{}`)
		c.Event.Session, c.Event.Time = session, noon.Add(time.Duration(minute)*time.Minute)
		c.Event.Context = []byte(`{"os":{"name":"Linux"},"page":{"url":"/"}}`)
		return c
	}
	doc, out := fold(t, r, at("s1", 0), at("s1", 10), at("", 20), at("s1", 60), at("s2", 61))
	if doc.Profile.Stats.Visits != 3 || doc.Profile.Stats.Views != 5 {
		t.Errorf("stats = %+v", doc.Profile.Stats)
	}
	if s := out.Session; s.ID != "s2" || s.Events != 1 || s.Status != sdk.SessionActive {
		t.Errorf("session = %s", s.AppendJSON(nil))
	}
	if e := out.Ended; e == nil || e.ID != "s1" || e.Events != 3 || e.Status != sdk.SessionEnded || e.Duration() != time.Hour ||
		string(sdk.AppendValue(nil, e.Context)) != `{"os":{"name":"Linux"}}` {
		t.Errorf("ended = %+v", e)
	}
}

// What an event does not want stored of its session is not stored, and the end of a
// session is where the session is: whichever event ends it.
func TestTheEndOfASessionIsKnownWhereTheSessionIs(t *testing.T) {
	r := compile(t, shop)
	for name, c := range map[string]struct {
		events string // sessions of events in turn; with an x they are not to be stored
		want   string // the sessions that ended, in order; with an x those that the store does not have
	}{
		"kept":                              {"a b", "a"},
		"a transient one ends a kept one":   {"a bx", "a"},
		"a kept one ends a transient one":   {"ax b", "ax"},
		"transient ones":                    {"ax bx cx", "ax bx"},
		"it became known later":             {"ax a b", "a"},
		"it was known before":               {"a ax bx", "a"},
		"after one that was not known":      {"ax b c", "ax b"},
		"after one that was":                {"a bx bx c", "a bx"},
		"an event without a session":        {"ax - b", "ax"},
		"one that is gone back to is a new": {"a bx a c", "a bx a"},
	} {
		var commands []*record.Command
		var ends []string
		for _, of := range strings.Fields(c.events) {
			e := command("page-view", `{}`)
			e.Event.Session, e.Event.TransientSession = strings.Trim(of, "x-"), strings.HasSuffix(of, "x")
			commands = append(commands, e)
			doc, out := fold(t, r, commands...)
			if out.TransientSession != e.Event.TransientSession {
				t.Errorf("%s: of %s: %v", name, of, out.TransientSession)
			}
			if out.Ended != nil {
				ends = append(ends, out.Ended.ID+map[bool]string{true: "x"}[out.TransientEnded])
			} else if out.TransientEnded {
				t.Errorf("%s: %s ends nothing, and that is not known", name, of)
			}
			text := doc.AppendJSON(nil)
			if again, err := record.ParseDocument(text); err != nil || string(again.AppendJSON(nil)) != string(text) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := strings.Join(ends, " "); got != c.want {
			t.Errorf("%s: ended %s, want %s", name, got, c.want)
		}
	}
}
