package fold

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const tickets = `
kind: event-type
id: ticket
spec:
  validators: [{name: price, when: event.properties.paid, schema: {required: [price]}}]
  reshape:
    missing: strict
    properties: {total: '{{ event.properties.price }}', films: '{{ event.properties.films }}'}
    context: {}
  traits: {total: ticket_total, price: was_sent}
  journey: 'event.properties.total > 10 ? "purchase" : event.properties.state'
  tags: [cinema]
  copy:
    - {to: counters.spent, from: event.properties.total, op: increment}
    - {to: traits.sent, from: event.properties.price}
    - {to: traits.rich, from: 'true', when: profile.counters.spent > 10}
    - {to: traits.sum, from: 'sum("ticket", "total")'}
    - {to: data.films, from: event.properties.films, op: append, when: has(event.properties.films)}
`

// An event is held against validators as it was sent, then made anew; all that
// comes after sees what it has become.
func TestAnEventIsMadeAnewBetweenItsValidatorsAndItsRules(t *testing.T) {
	r := compile(t, tickets)
	c := command("ticket", `{"paid":true,"price":7,"films":["a"]}`)
	c.Event.Context = []byte(`{"ip":"203.0.113.7"}`)
	doc, out := folded(t, r, c, c)
	if got := out.at("event.properties") + out.at("event.traits") + out.at("event.context") + out.at("event.tags"); got != `{"films":["a"],"total":7}{"ticket_total":7}null["cinema"]` {
		t.Errorf("the event is %s", out.text)
	}
	if got := string(sdk.AppendValue(sdk.AppendValue(nil, doc.Profile.Traits), doc.Profile.Counters)); got != `{"rich":true,"sum":14}{"spent":14}` {
		t.Errorf("the profile has %s", got)
	}
}

func TestWhatAnEventLacksForItsTypeMakesItInvalid(t *testing.T) {
	r := compile(t, tickets)
	for properties, want := range map[string]string{
		`{"paid":true}`:            `[{"path":"properties","message":"validator price: missing property 'price'"}]`,
		`{"price":7}`:              `[{"path":"properties.films","message":"reshape: has no value; {{ event.properties.films }} is null"}]`,
		`{"paid":true,"films":[]}`: `[{"path":"properties","message":"validator price: missing property 'price'"}]`,
	} {
		doc, out := folded(t, r, command("ticket", properties))
		if doc != nil || out.at("event.valid") != "false" || out.at("event.errors") != want || out.at("event.properties") != properties {
			t.Errorf("%s gives %s, profile %v", properties, out.text, doc)
		}
	}
}

// What the product says has happened, whatever its type wants.
func TestNoTemplateRefusesASystemEvent(t *testing.T) {
	const types = `
kind: event-type
id: segment-entered
spec:
  validators: [{name: reason, schema: {required: [reason]}}]
  reshape: {missing: strict, properties: {why: '{{ event.properties.reason }}', of: '{{ event.properties.segment }}'}}
---
kind: event-type
id: segment-left
spec:
  reshape: {properties: {of: '{{ event.properties.segment }}'}}
`
	r := compile(t, types)
	for kind, want := range map[string]string{"segment-entered": `{"segment":"loyal"}`, "segment-left": `{"of":"loyal"}`} {
		c := command(kind, `{"segment":"loyal"}`)
		c.Event.Source = record.SourceSystem
		if _, out := folded(t, r, c); out.at("event.valid") != "true" || out.at("event.properties") != want {
			t.Errorf("%s is %s", kind, out.text)
		}
		// As the commit that changes the profile sends it.
		var f Fold
		doc := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p1", noon)}
		f.Begin(Input{Rules: r, Command: command("x", `{}`), Doc: doc})
		f.tell(kind, []byte(`{"segment":"loyal"}`))
		told := sdk.RawView(f.result.Events[0].Data)
		if got := string(told.At("event.properties").Raw()); got != want || string(told.At("event.valid").Raw()) != "true" {
			t.Errorf("%s is told as %s", kind, told.Raw())
		}
	}
}

func TestTheJourneyOfAProfile(t *testing.T) {
	r := compile(t, "kind: event-type\nid: x\nspec: {journey: event.properties.state, traits: {a: b}}\n---\nkind: event-type\nid: identify\nspec: {journey: advocacy}")
	at := func(minute int, state string) *record.Command {
		c := command("x", `{"state":"`+state+`"}`)
		c.Event.Time = noon.Add(time.Duration(minute-60) * time.Minute)
		return c
	}
	doc, out := folded(t, r, at(10, "awareness"))
	if got := out.at("event.traits.journey") + out.at("changes"); !strings.HasPrefix(got, `"awareness"{"data.journey.since":"2026-03-01T11:10:00.000Z","data.journey.state":"awareness",`) {
		t.Errorf("the event is %s", out.text)
	}
	journey := func(doc *record.Document) string { return string(sdk.AppendValue(nil, doc.Profile.Data["journey"])) }
	for _, step := range []struct {
		c    *record.Command
		want string
	}{
		{at(20, "awareness"), `{"since":"2026-03-01T11:10:00.000Z","state":"awareness"}`},
		{at(30, "purchase"), `{"since":"2026-03-01T11:30:00.000Z","state":"purchase"}`},
		{at(29, "retention"), `{"since":"2026-03-01T11:30:00.000Z","state":"purchase"}`}, // it comes late
		{at(40, ""), `{"since":"2026-03-01T11:30:00.000Z","state":"purchase"}`},
		{at(41, "bliss"), `{"since":"2026-03-01T11:30:00.000Z","state":"purchase"}`},
		{at(42, "retention"), `{"since":"2026-03-01T11:42:00.000Z","state":"retention"}`},
	} {
		result := once(r, doc, step.c)
		if doc = result.Doc; journey(doc) != step.want {
			t.Errorf("after %s: %s, want %s", step.c.Event.Properties, journey(doc), step.want)
		}
	}

	// What a flow has set later stays, and so does since.
	profile.Stamp(doc, "data.journey.state", noon, "a flow")
	if doc = once(r, doc, at(50, "advocacy")).Doc; journey(doc) != `{"since":"2026-03-01T11:42:00.000Z","state":"retention"}` {
		t.Errorf("after a flow: %s", journey(doc))
	}

	// The traits that a person said of themselves become the profile's; the journey is
	// none of them.
	c := command("identify", `{}`)
	c.Event.Traits = []byte(`{"name":"Ann"}`)
	doc, out = folded(t, r, c)
	if got := string(sdk.AppendValue(nil, doc.Profile.Traits)); got != `{"name":"Ann"}` || out.at("event.traits") != `{"journey":"advocacy","name":"Ann"}` {
		t.Errorf("traits are %s, of %s", got, out.text)
	}
	// Where somebody keeps something else there, it stays.
	doc.Profile.Data["journey"] = "long"
	result := once(r, doc, at(60, "purchase"))
	if journey(result.Doc) != `"long"` || len(result.Problems) != 1 || result.Problems[0].Error() != "event type x: journey: journey is a string, so nothing can be set below it" {
		t.Errorf("%s, problems %v", journey(result.Doc), result.Problems)
	}
	// An event about nobody tells of the journey all the same.
	c = at(50, "purchase")
	c.Profile, c.Event.ProfileLess = "", true
	if out := own(t, once(r, nil, c)); out.at("event.traits.journey") != `"purchase"` || out.at("event.profile") != "null" {
		t.Errorf("the event is %s", out.text)
	}
}

// A profile that has no room for what an event has become stays as it is.
func TestAnEventThatIsMadeLargeIsHeldAgainstTheLimit(t *testing.T) {
	many := ""
	for i := range 100 {
		many += "f" + string(sdk.AppendValue(nil, int64(i))) + ": '{{ event.properties.text }}', "
	}
	r := compile(t, "kind: event-type\nid: x\nspec:\n  reshape: {properties: {"+many+"}}\n  copy: [{to: 'data.{{ event.id }}', from: event.properties}]")
	var doc *record.Document
	refused := 0
	for i := range 30 {
		c := command("x", `{"text":"`+strings.Repeat("x", 1000)+`"}`)
		c.Event.ID = string(sdk.AppendValue(nil, int64(i)))
		var f Fold
		size := 0
		if doc != nil {
			size = len(doc.AppendJSON(nil))
		}
		f.Begin(Input{Rules: r, Command: c, Doc: doc, Size: size})
		result := f.Apply(f.Route())
		if doc = result.Doc; result.Invalid || !own(t, result).Exists("event.profile") {
			refused++
		}
		if n := len(doc.AppendJSON(nil)); n > MaxDocument {
			t.Fatalf("after %d events the profile has %d bytes", i+1, n)
		}
	}
	if refused == 0 || refused > 21 {
		t.Errorf("%d of 30 events were refused", refused)
	}
}

// A rule of its own replaces all that is built in for a type.
func TestABuiltInTypeIsAppliedUnlessItIsReplaced(t *testing.T) {
	c := command("order-completed", `{"order_id":"o-1","total":5,"currency":"EUR"}`)
	doc, out := folded(t, compile(t, ""), c)
	if got := string(sdk.AppendValue(nil, doc.Profile.Counters)); got != `{"orders":1,"revenue":5}` || out.at("event.tags") != `["ecommerce","order"]` {
		t.Errorf("counters are %s, of %s", got, out.text)
	}
	doc, out = folded(t, compile(t, "kind: event-type\nid: order-completed\nspec: {copy: [{to: counters.mine, op: increment}]}"), c)
	if got := string(sdk.AppendValue(sdk.AppendValue(nil, doc.Profile.Counters), doc.Profile.Data)); got != `{"mine":1}{}` || out.at("event.tags")+out.at("event.traits") != "nullnull" {
		t.Errorf("the profile has %s, of %s", got, out.text)
	}
}

// What a built-in rule cannot use it passes over: it is no rule that failed, and the
// event is valid. So it is with each property of each sample, whatever comes instead.
// Choices about consents are no rules of a type, and what is wrong with one is told.
func TestBuiltInTypesPassOverWhatTheyCannotUse(t *testing.T) {
	r := compile(t, "")
	strange := []any{nil, "", "x", int64(7), int64(-1), true, []any{"x", int64(1)}, map[string]any{"main": "x"}, map[string]any{"main": []any{}}}
	tried := 0
	for _, b := range config.Catalogue() {
		var replace func(at sdk.Path, object map[string]any)
		replace = func(at sdk.Path, object map[string]any) {
			for _, name := range slices.Sorted(maps.Keys(object)) {
				path := append(at[:len(at):len(at)], name)
				if below, is := object[name].(map[string]any); is {
					replace(path, below)
				}
				for _, v := range strange {
					properties, _ := sdk.Clone(b.Type.Sample.Properties).(map[string]any)
					if err := path.Set(properties, v); err != nil {
						t.Fatal(err)
					}
					c := command(b.Type.ID, string(sdk.AppendValue(nil, properties)))
					result := once(r, nil, c)
					if tried++; len(result.Problems) > 0 && !consent.Tells(b.Type.ID) || own(t, result).at("event.valid") != "true" {
						t.Errorf("%s %s: %v", b.Type.ID, c.Event.Properties, result.Problems)
					}
				}
			}
		}
		replace(nil, b.Type.Sample.Properties)
	}
	if tried < 1000 {
		t.Errorf("only %d events were tried", tried)
	}
}

// However many topics and products a sender invents, the lists that built-in types
// keep end.
func TestListsOfBuiltInTypesEnd(t *testing.T) {
	r := compile(t, "")
	doc := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p1", noon)}
	for i := range 1010 {
		n := string(sdk.AppendValue(nil, int64(i)))
		doc = once(r, doc, command("increase-interest", `{"interest":"i`+n+`"}`)).Doc
		doc = once(r, doc, command("product-added-to-wishlist", `{"product_id":"p`+n+`"}`)).Doc
	}
	doc = once(r, doc, command("increase-interest", `{"interest":"i7"}`)).Doc
	list, _ := doc.Profile.Data["wishlist"].([]any)
	if len(doc.Profile.Interests) != 1000 || len(list) != 1000 || doc.Profile.Interests["i7"] != int64(2) {
		t.Errorf("%d interests, %d products, i7 %v", len(doc.Profile.Interests), len(list), doc.Profile.Interests["i7"])
	}
}

// An order that comes in late does not take the place of the last one.
func TestTheLastOrderIsTheLatest(t *testing.T) {
	r := compile(t, "")
	late := command("order-completed", `{"order_id":"o-1","total":5,"currency":"EUR"}`)
	late.Event.Time = noon.Add(-time.Hour)
	doc, _ := folded(t, r, command("order-completed", `{"order_id":"o-2","total":7}`), late)
	if got := string(sdk.AppendValue(nil, doc.Profile.Data["last_order"])); got != `{"id":"o-2","time":"2026-03-01T11:59:00.000Z","total":7}` {
		t.Errorf("the last order is %s", got)
	}
}

// A state that is confirmed later is not taken back by what happened in between and
// arrives late.
func TestALateStateOfTheJourneyTakesNothingBack(t *testing.T) {
	r := compile(t, "kind: event-type\nid: a\nspec: {journey: awareness}\n---\nkind: event-type\nid: b\nspec: {journey: purchase}")
	at := func(kind string, minute int) *record.Command {
		c := command(kind, `{}`)
		c.Event.Time = noon.Add(time.Duration(minute-60) * time.Minute)
		return c
	}
	doc, _ := folded(t, r, at("a", 10), at("a", 30), at("b", 20))
	if got := string(sdk.AppendValue(nil, doc.Profile.Data)); got != `{"journey":{"since":"2026-03-01T11:10:00.000Z","state":"awareness"}}` {
		t.Error(got)
	}
}

// What rules copy of a profile into itself neither grows beyond the limit nor nests so
// deep that it could not be read again.
func TestAProfileCopiedIntoItselfStaysReadable(t *testing.T) {
	r := compile(t, "kind: event-type\nid: deep\nspec: {copy: [{to: data.h, from: '{\"p\": profile.data.h}'}]}\n---\nkind: event-type\nid: wide\nspec: {copy: [{to: data.d, from: '{\"p\": profile.data.d, \"q\": profile.data.d, \"text\": event.properties.text}'}]}")
	for _, kind := range []string{"deep", "wide"} {
		var doc *record.Document
		size := 0
		for range 200 {
			result := sized(r, doc, size, command(kind, `{"text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`))
			doc, size = result.Doc, result.Size
		}
		text := doc.AppendJSON(nil)
		if _, err := record.ParseDocument(text); err != nil || len(text) > MaxDocument {
			t.Errorf("%s: %d bytes, %v", kind, len(text), err)
		}
	}
}

// sized applies a command to a document of which the size is known as the processor
// knows it.
func sized(r *Rules, doc *record.Document, size int, c *record.Command) *Result {
	var f Fold
	f.Begin(Input{Rules: r, Command: c, Doc: doc, Size: size, Derive: func(c Claim) string { return "derived " + c.Value }})
	return f.Apply(f.Route())
}

// A profile takes many small traits under long ids no further than its limit: what says
// when they were changed counts as well.
func TestManySmallTraitsStopAtTheLimit(t *testing.T) {
	r := compile(t, shop)
	var doc *record.Document
	size, refused := 0, 0
	for i := range 12 {
		c := command("identify", `{}`)
		c.Event.ID = strings.Repeat("i", 250) + strconv.Itoa(i)
		var traits strings.Builder
		for j := range 4000 {
			fmt.Fprintf(&traits, `,"%x":1`, i*4000+j)
		}
		c.Event.Traits = []byte("{" + traits.String()[1:] + "}")
		result := sized(r, doc, size, c)
		doc, size = result.Doc, result.Size
		if !strings.Contains(string(result.Events[result.Own].Data), `"valid":true`) {
			refused++
		}
	}
	if n := len(textOf(doc)); n > MaxDocument || refused == 0 {
		t.Errorf("%d bytes, %d events refused", n, refused)
	}
}

func textOf(doc *record.Document) []byte {
	if doc == nil {
		return nil
	}
	return doc.AppendJSON(nil)
}

// An interest counts by 1 where an event has no value, by its value where that is a
// number, and else it stays as it is: the event is valid all the same.
func TestInterestsCountByNumbers(t *testing.T) {
	r := compile(t, "")
	for properties, want := range map[string]struct{ more, less, reset any }{
		`{}`:               {11, 9, 0},
		`{"value":null}`:   {11, 9, 0},
		`{"value":2}`:      {12, 8, 2},
		`{"value":0.5}`:    {10.5, 9.5, 0.5},
		`{"value":0}`:      {10, 10, 0},
		`{"value":-2}`:     {10, 10, -2},
		`{"value":"2"}`:    {10, 10, 10},
		`{"value":"lots"}`: {10, 10, 10},
		`{"value":true}`:   {10, 10, 10},
		`{"value":[2]}`:    {10, 10, 10},
		`{"value":{}}`:     {10, 10, 10},
	} {
		for kind, want := range map[string]any{"increase-interest": want.more, "decrease-interest": want.less, "reset-interest": want.reset} {
			c := command(kind, strings.Replace(strings.Replace(properties, "{", `{"interest":"cycling",`, 1), ",}", "}", 1))
			begin := command("reset-interest", `{"interest":"cycling","value":10}`)
			doc, out := folded(t, r, begin, c)
			got := string(sdk.AppendValue(nil, doc.Profile.Interests["cycling"]))
			if valid := out.at("event.valid"); got != fmt.Sprint(want) || valid != "true" {
				t.Errorf("%s %s: %s, valid %v, want %v", kind, properties, got, valid, want)
			}
		}
	}
}
