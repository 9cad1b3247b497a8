package consent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func setOf(t *testing.T, text string) *config.Set {
	t.Helper()
	resources, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := config.NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const types = `
kind: consent-type
id: marketing
spec: {expires: 30d}
---
kind: consent-type
id: Analytics
spec: {}
---
kind: consent-type
id: old
spec: {disabled: true}
`

func TestChoices(t *testing.T) {
	set := setOf(t, types)
	for _, c := range []struct {
		name, kind, properties, context string
		want                            []Choice
		problems                        string
	}{
		{"both ways", TypeUpdate, `{"consents":{"marketing":true,"Analytics":false}}`, ``, []Choice{{"Analytics", false}, {"marketing", true}}, ""},
		{"an unknown one beside a known one", TypeUpdate, `{"consents":{"profiling":true,"marketing":true}}`, ``, []Choice{{"marketing", true}},
			`consent-update: there is no consent-type "profiling"`},
		{"case counts", TypeUpdate, `{"consents":{"analytics":true}}`, ``, nil, `consent-update: there is no consent-type "analytics"`},
		{"no choice", TypeUpdate, `{"consents":{"marketing":"yes","Analytics":null}}`, ``, nil,
			"consent-update: consent Analytics: want true or false, got null; consent-update: consent marketing: want true or false, got a string"},
		{"given of a type that is not asked for", TypeUpdate, `{"consents":{"old":true}}`, ``, nil, "consent-update: consent old is not asked for any more"},
		{"withdrawn of it", TypeUpdate, `{"consents":{"old":false}}`, ``, []Choice{{"old", false}}, ""},
		{"none", TypeUpdate, `{"consents":{}}`, ``, nil, ""},
		{"no object", TypeUpdate, `{"consents":[true]}`, ``, nil, `consent-update: consents: want an object such as {"marketing":true}, got an array`},
		{"nothing", TypeUpdate, ``, ``, nil, `consent-update: consents: want an object such as {"marketing":true}, got null`},
		{"Segment's", TypeSegmentUpdate, `{"consents":{"marketing":true}}`, `{"consent":{"categoryPreferences":{"Analytics":true,"Functional":true}}}`, []Choice{{"Analytics", true}},
			`segment-consent-preference-updated: there is no consent-type "Functional"`},
		{"Segment's without", TypeSegmentUpdate, ``, `{"consent":true}`, nil,
			`segment-consent-preference-updated: consent.categoryPreferences: want an object such as {"marketing":true}, got null`},
	} {
		got, problems := Choices(&sdk.Event{Type: c.kind, Properties: sdk.RawObject([]byte(c.properties)), Context: sdk.RawObject([]byte(c.context))}, set)
		said := strings.ReplaceAll(fmt.Sprint(errors.Join(problems...)), "\n", "; ")
		if len(problems) == 0 {
			said = ""
		}
		if !reflect.DeepEqual(got, c.want) || said != c.problems {
			t.Errorf("%s: %+v, %s", c.name, got, said)
		}
	}
}

func TestLacking(t *testing.T) {
	set := setOf(t, types)
	marketing, _ := set.ConsentType("marketing")
	analytics, _ := set.ConsentType("Analytics")
	profile := sdk.ViewOf(map[string]any{"consents": map[string]any{
		"marketing": Entry(Choice{"marketing", true}, marketing, noon, "shop"),
		"Analytics": Entry(Choice{"Analytics", true}, analytics, noon, "shop"),
		"old":       Entry(Choice{"old", false}, analytics, noon, "shop"),
	}})
	if text := string(profile.At("consents.marketing").Raw()); text != `{"at":"2026-03-01T12:00:00.000Z","expires":"2026-03-31T12:00:00.000Z","granted":true,"source":"shop"}` {
		t.Errorf("a consent is %s", text)
	}
	for _, c := range []struct {
		required []string
		after    time.Duration
		want     []string
	}{
		{nil, 0, nil},
		{[]string{"marketing", "Analytics"}, 0, nil},
		{[]string{"marketing", "Analytics"}, 30*24*time.Hour - time.Millisecond, nil},
		{[]string{"marketing", "Analytics"}, 30 * 24 * time.Hour, []string{"marketing"}},
		{[]string{"old", "Analytics", "none"}, 0, []string{"old", "none"}},
	} {
		if got := Lacking(profile, c.required, noon.Add(c.after)); !slices.Equal(got, c.want) {
			t.Errorf("of %v after %s it lacks %v, want %v", c.required, c.after, got, c.want)
		}
	}
	if got := Lacking(sdk.View{}, []string{"marketing"}, noon); len(got) != 1 {
		t.Errorf("nobody lacks %v", got)
	}
}

func TestScreening(t *testing.T) {
	const properties = `{"card":{"number":"4111","cvc":123,"ok":true},"items":[{"sku":"a","gift":{"to":"Ann"}},{"sku":"b"},5],"tags":["x",1,null],"email":"a@b.example","none":null}`
	for _, c := range []struct{ name, spec, want string }{
		{"drop", `[{path: properties.card, action: drop}]`, `{"email":"a@b.example","items":[{"gift":{"to":"Ann"},"sku":"a"},{"sku":"b"},5],"none":null,"tags":["x",1,null]}`},
		{"mask a text", `[{path: properties.card.number, action: mask}, {path: properties.items, action: drop}, {path: properties.tags, action: drop}]`,
			`{"card":{"cvc":123,"number":"***","ok":true},"email":"a@b.example","none":null}`},
		{"mask what is no text", `[{path: properties.card.cvc, action: mask}, {path: properties.card.ok, action: mask}, {path: properties.items, action: mask}, {path: properties.tags, action: mask}]`,
			`{"card":{"number":"4111"},"email":"a@b.example","items":[],"none":null,"tags":["***"]}`},
		{"hash", `[{path: properties.card.number, action: hash}, {path: properties.card.cvc, action: hash}, {path: properties.tags, action: hash}, {path: properties.items, action: drop}]`,
			`{"card":{"cvc":"#123#","number":"#4111#","ok":true},"email":"a@b.example","none":null,"tags":["#x#","#1#"]}`},
		{"hash a map", `[{path: properties.card, action: hash}, {path: properties.items, action: drop}, {path: properties.tags, action: drop}]`,
			`{"card":"#{\"cvc\":123,\"number\":\"4111\",\"ok\":true}#","email":"a@b.example","none":null}`},
		{"in each of a list", `[{path: properties.items.sku, action: mask}, {path: properties.items.gift.to, action: drop}, {path: properties.card, action: drop}, {path: properties.tags, action: drop}]`,
			`{"email":"a@b.example","items":[{"gift":{},"sku":"***"},{"sku":"***"},5],"none":null}`},
		{"the stricter counts", `[{path: properties.email, action: hash}, {path: properties.email, action: mask}, {path: properties.card, action: hash}, {path: properties.card, action: drop}, {path: properties.items, action: drop}, {path: properties.tags, action: drop}]`,
			`{"email":"***","none":null}`},
		{"not where consented", `[{path: properties.email, action: mask, unless: [marketing]}, {path: properties.card, action: drop}, {path: properties.items, action: drop}, {path: properties.tags, action: drop}]`,
			`{"email":"a@b.example","none":null}`},
		{"all consents are needed", `[{path: properties.email, action: mask, unless: [marketing, Analytics]}, {path: properties.card, action: drop}, {path: properties.items, action: drop}, {path: properties.tags, action: drop}]`,
			`{"email":"***","none":null}`},
		{"what is not there", `[{path: properties.other.deep, action: hash}, {path: properties.none, action: mask}, {path: properties.email.x, action: drop}]`, properties},
		{"a name that is not a path", `[{path: 'properties["card.number"]', action: drop}]`, properties},
	} {
		set := setOf(t, types+"---\nkind: compliance\nid: c\nspec: {event: a, fields: "+c.spec+"}\n")
		e := &sdk.Event{Type: "a", Properties: sdk.RawObject([]byte(properties))}
		s := Screening{
			Event: e, Vars: &condition.Vars{Event: e}, Now: noon, Hash: func(text string) string { return "#" + text + "#" },
			Consents: map[string]any{"marketing": map[string]any{"granted": true}, "Analytics": map[string]any{"granted": true, "expires": sdk.FormatTime(noon)}},
		}
		if problems := s.Apply(set.Compliances()); len(problems) > 0 {
			t.Errorf("%s: %v", c.name, problems)
		}
		if got := string(e.Properties.AppendJSON(nil)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// All parts of an event are screened; a condition sees it as it was sent, and one that
// fails lets nothing through and tells nothing.
func TestScreeningByConditions(t *testing.T) {
	for when, want := range map[string]string{
		`event.properties.secret == "s3cret"`:      `{} {} {}`,
		`event.properties.secret == "else"`:        `{"secret":"s3cret"} {"a":"s3cret"} {"ip":"s3cret"}`,
		`int(event.properties.secret) > 5`:         `{} {} {}`,
		`!has(profile.traits.x)`:                   `{} {} {}`,
		`consented("marketing")`:                   `{"secret":"s3cret"} {"a":"s3cret"} {"ip":"s3cret"}`,
		`timestamp(event.properties.secret) < now`: `{} {} {}`,
	} {
		set := setOf(t, types+"---\nkind: compliance\nid: c\nspec:\n  event: '*'\n  when: '"+when+"'\n  fields: [{path: properties.secret, action: drop}, {path: traits.a, action: drop}, {path: context.ip, action: drop}]\n")
		e := &sdk.Event{
			Properties: sdk.RawObject([]byte(`{"secret":"s3cret"}`)), Traits: sdk.RawObject([]byte(`{"a":"s3cret"}`)), Context: sdk.RawObject([]byte(`{"ip":"s3cret"}`)),
		}
		s := Screening{Event: e, Vars: &condition.Vars{Event: e, Now: noon}, Now: noon}
		problems := s.Apply(set.Compliances())
		got := fmt.Sprintf("%s %s %s", e.Properties.AppendJSON(nil), e.Traits.AppendJSON(nil), e.Context.AppendJSON(nil))
		if fails := strings.Contains(when, "secret)"); got != want || len(problems) > 0 != fails || strings.Contains(fmt.Sprint(problems), "s3cret") {
			t.Errorf("%s: %s, %v, want %s", when, got, problems, want)
		}
	}
}
