package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const consenting = `
kind: consent-type
id: marketing
spec: {expires: 30d}
---
kind: consent-type
id: analytics
spec: {}
---
kind: compliance
id: cards
spec:
  event: order-completed
  fields:
    - {path: properties.card, action: mask}
    - {path: properties.total, action: hash, unless: [marketing]}
---
kind: compliance
id: addresses
spec: {event: '*', fields: [{path: context.ip, action: drop}, {path: traits.email, action: hash, unless: [marketing]}]}
---
kind: event-type
id: order-completed
spec:
  schema: {type: object, properties: {card: {maxLength: 3}}}
  when: event.properties.card != "4111-1111"
  traits: {card: card}
  copy:
    - {to: traits.card, from: event.properties.card, op: set}
    - {to: traits.total, from: event.properties.total, op: set}
    - {to: traits.spent, from: 'sum("order-completed", "card")', op: set}
`

// consents is an event that says something of consents at a time, received at
// another.
func consents(properties string, at, received time.Time) *record.Command {
	c := command("consent-update", `{"consents":`+properties+`}`)
	c.Event.Time, c.Received = at, received
	return c
}

func screened(r *Rules, doc *record.Document, c *record.Command) *Result {
	var f Fold
	f.Begin(Input{Rules: r, Command: c, Doc: doc, Hash: func(text string) string { return "#" + fmt.Sprint(len(text)) }})
	return f.Apply(f.Route())
}

func TestConsentsAreKeptWithTheirTime(t *testing.T) {
	r := compile(t, consenting)
	at := noon.Add(-time.Hour)
	result := screened(r, nil, consents(`{"marketing":true,"analytics":false,"profiling":true}`, at, noon))
	p := result.Doc.Profile
	want := `{"analytics":{"at":"2026-03-01T11:00:00.000Z","granted":false,"source":"shop"},` +
		`"marketing":{"at":"2026-03-01T11:00:00.000Z","expires":"2026-03-31T11:00:00.000Z","granted":true,"source":"shop"}}`
	if got := string(sdk.AppendValue(nil, p.Consents)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(result.Problems) != 1 || !strings.Contains(result.Problems[0].Error(), "profiling") || !result.Applied {
		t.Errorf("the unknown one: %v", result.Problems)
	}
	if changes := own(t, result).at("changes"); !strings.Contains(changes, `"consents.marketing":{`) || strings.Contains(changes, "profiling") {
		t.Errorf("changes %s", changes)
	}
	// A clock that is ahead does not prolong it.
	result = screened(r, nil, consents(`{"marketing":true}`, noon.Add(24*time.Hour), noon))
	if got := sdk.RawView(sdk.AppendValue(nil, result.Doc.Profile.Consents)).At("marketing.expires"); string(got.Raw()) != `"2026-03-31T12:00:00.000Z"` {
		t.Errorf("given tomorrow it expires %s", got.Raw())
	}
}

// Whatever the order in which choices come, the last one that was made counts.
func TestTheLastChoiceCountsInAnyOrder(t *testing.T) {
	r := compile(t, consenting)
	choices := []bool{true, false, true, false}
	want := ""
	for _, order := range permutations(len(choices)) {
		var doc *record.Document
		for _, i := range order {
			c := consents(fmt.Sprintf(`{"marketing":%v}`, choices[i]), noon.Add(time.Duration(i)*time.Minute), noon.Add(time.Hour))
			c.Event.ID = fmt.Sprint(i)
			doc = screened(r, doc, c).Doc
		}
		got := string(sdk.AppendValue(nil, doc.Profile.Consents))
		if want == "" {
			want = `{"marketing":{"at":"2026-03-01T12:03:00.000Z","granted":false,"source":"shop"}}`
		}
		if got != want {
			t.Fatalf("in the order %v\ngot  %s\nwant %s", order, got, want)
		}
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := 0; at <= len(shorter); at++ {
			all = append(all, append(append(append([]int(nil), shorter[:at]...), n-1), shorter[at:]...))
		}
	}
	return all
}

func order() *record.Command {
	c := command("order-completed", `{"card":"4111-1111","total":5,"other":"stays"}`)
	c.Event.Traits, c.Event.Context = []byte(`{"email":"ann@b.example"}`), []byte(`{"ip":"203.0.113.7","app":{"name":"shop"}}`)
	c.Event.Session = "s1"
	return c
}

// What is taken out of an event is nowhere: not in what is sent on, the profile, its
// session, nor in what rules make of the event.
func TestFieldsAreTakenOutBeforeAnythingSeesThem(t *testing.T) {
	r := compile(t, consenting)
	result := screened(r, nil, order())
	text := string(own(t, result).text) + string(result.Doc.AppendJSON(nil))
	for _, secret := range []string{"4111", "ann@b", "203.0.113.7"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
	if got := own(t, result).at("event.properties"); got != `{"card":"***","other":"stays","total":"#1"}` {
		t.Errorf("properties %s", got)
	}
	if got := own(t, result).at("event.traits"); got != `{"card":"***","email":"#13"}` {
		t.Errorf("traits %s", got)
	}
	traits := result.Doc.Profile.Traits
	if traits["card"] != "***" || traits["total"] != "#1" || own(t, result).at("event.valid") != "true" {
		t.Errorf("the profile got %v of %s", traits, text)
	}
	if len(result.Problems) > 0 {
		t.Errorf("problems %v", result.Problems)
	}
}

func TestFieldsStayWhileConsentCounts(t *testing.T) {
	r := compile(t, consenting)
	doc := screened(r, nil, consents(`{"marketing":true}`, noon, noon)).Doc
	for after, want := range map[time.Duration]string{
		0:                   `{"card":"***","other":"stays","total":5}`,
		30*24*time.Hour - 1: `{"card":"***","other":"stays","total":5}`,
		30 * 24 * time.Hour: `{"card":"***","other":"stays","total":"#1"}`,
	} {
		c := order()
		c.Received = noon.Add(after)
		if got := own(t, screened(r, doc, c)).at("event.properties"); got != want {
			t.Errorf("%s after consent: %s, want %s", after, got, want)
		}
	}
	// The choice that an event makes counts for those after it.
	doc = screened(r, doc, consents(`{"marketing":false}`, noon.Add(time.Hour), noon.Add(time.Hour))).Doc
	if got := own(t, screened(r, doc, order())).at("event.properties.total"); got != `"#1"` {
		t.Errorf("after it was withdrawn: %s", got)
	}
}

// An event on its way to somebody else keeps what that one may have consented to.
func TestAForwardedEventIsScreenedWhereItArrives(t *testing.T) {
	r := compile(t, consenting)
	doc := &record.Document{State: record.StateRedirect, To: "p2"}
	result := screened(r, doc, order())
	if !result.Forwarded || len(result.Commands) != 1 || string(result.Commands[0].Event.Properties) != `{"card":"4111-1111","total":5,"other":"stays"}` {
		t.Errorf("forwarded as %+v", result.Commands)
	}
	if len(result.Events) > 0 {
		t.Errorf("it told %d events", len(result.Events))
	}
}

// An event that is about nobody, and one that is not valid, are stored too.
func TestEventsOfNobodyAreScreened(t *testing.T) {
	r := compile(t, strings.Replace(consenting, "{maxLength: 3}", "{type: number}", 1))
	c := order()
	if got := own(t, screened(r, nil, c)); got.at("event.valid") != "false" || strings.Contains(string(got.text), "4111") {
		t.Errorf("one that is not valid: %s", got.text)
	}
	r = compile(t, consenting)
	c.Profile, c.Event.ProfileLess = "", true
	if got := own(t, screened(r, nil, c)); got.at("event.profile") != "null" || strings.Contains(string(got.text), "4111") || strings.Contains(string(got.text), "ann@") {
		t.Errorf("about nobody: %s", got.text)
	}
}

// Types that no resource names are screened by those for all of them.
func TestResourcesOfATypeComeBesideThoseOfAll(t *testing.T) {
	r := compile(t, consenting)
	if n := len(r.screens("order-completed")); n != 2 {
		t.Errorf("%d for the type", n)
	}
	if n := len(r.screens("page-view")); n != 1 {
		t.Errorf("%d for another type", n)
	}
	if list := compile(t, shop).screens("order-completed"); list != nil {
		t.Errorf("%v where there are none", list)
	}
}
