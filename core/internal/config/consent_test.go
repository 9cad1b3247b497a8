package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

const consentTypes = `
kind: consent-type
id: marketing
spec: {name: Marketing, description: News by mail., expires: 365d}
---
kind: consent-type
id: analytics
spec: {disabled: true}
`

func TestSetFindsConsentTypesAndCompliance(t *testing.T) {
	s := newSet(t, consentTypes+`---
kind: compliance
id: cards
spec:
  name: Cards
  event: order-completed
  when: event.source == "shop" && count("order-completed", "7d") > 1
  fields:
    - {path: properties.card.number, action: mask}
    - {path: 'traits["e.mail"]', action: hash, unless: [marketing, analytics]}
    - {path: context.ip, action: drop}
---
kind: compliance
id: off
spec: {event: '*', disabled: true, fields: [{path: properties.a, action: drop}]}
---
kind: flow
id: news
spec: {trigger: {event: sign-up}, consents: [marketing], nodes: {a: {action: core/log, config: {message: a}}}, edges: [start -> a]}
`)
	want := []*ConsentType{
		{ID: "analytics", Disabled: true},
		{ID: "marketing", Name: "Marketing", Description: "News by mail.", Expires: 365 * 24 * time.Hour},
	}
	if got := s.ConsentTypes(); !reflect.DeepEqual(got, want) {
		t.Errorf("consent types %+v", got)
	}
	list := s.Compliances()
	if len(list) != 1 || list[0].Event != "order-completed" || list[0].When == nil {
		t.Fatalf("compliance %+v", list)
	}
	fields := []ComplianceField{
		{Part: "properties", Path: sdk.Path{"card", "number"}, Action: ComplianceMask},
		{Part: "traits", Path: sdk.Path{"e.mail"}, Action: ComplianceHash, Unless: []string{"marketing", "analytics"}},
		{Part: "context", Path: sdk.Path{"ip"}, Action: ComplianceDrop},
	}
	if !reflect.DeepEqual(list[0].Fields, fields) {
		t.Errorf("fields %+v", list[0].Fields)
	}
	if flow, _ := s.Flow("news"); !reflect.DeepEqual(flow.Consents, []string{"marketing"}) {
		t.Errorf("the flow needs %v", flow.Consents)
	}
	if got := strings.Join(s.NamedTypes(), " "); got != "order-completed sign-up" {
		t.Errorf("named types %s", got)
	}
	if len(s.Aggregates()) != 1 {
		t.Errorf("aggregates %v", s.Aggregates())
	}
}

func TestConsentAndComplianceSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ kind, spec, want string }{
		{"consent-type", "expires: soon", `spec.expires: `},
		{"consent-type", "expires: 1ms", "spec.expires: 1ms is out of range; want 1s to 36500d"},
		{"consent-type", "default: true", `spec.default: unknown field; want one of name, description, disabled, expires`},
		{"compliance", "fields: [{path: properties.a, action: drop}]", "spec.event: missing"},
		{"compliance", "event: a", "spec.fields: missing; want the fields to take out, such as [{path: properties.card, action: drop}]"},
		{"compliance", "event: a\nfields: []", "spec.fields: is empty; want at least one field"},
		{"compliance", "event: a\nfields: {}", "spec.fields: want a list, got an object"},
		{"compliance", "event: a\nfields: [{action: drop}]", "spec.fields[0].path: missing"},
		{"compliance", "event: a\nfields: [{path: properties.a}]", "spec.fields[0].action: missing"},
		{"compliance", "event: a\nfields: [{path: properties.a, action: encrypt}]", `spec.fields[0].action: unknown action "encrypt"; want one of drop, mask, hash`},
		{"compliance", "event: a\nfields: [{path: properties, action: drop}]", "spec.fields[0].path: names the whole of properties; want a field in it, such as properties.email"},
		{"compliance", "event: a\nfields: [{path: session, action: drop}]", `spec.fields[0].path: "session" is no field that can be taken out; want a path that begins with one of properties, traits, context`},
		{"compliance", "event: a\nfields: [{path: 'properties..a', action: drop}]", "spec.fields[0].path: path"},
		{"compliance", "event: a\nfields: [{path: properties.a, action: drop, always: true}]", "spec.fields[0].always: unknown field; want one of unless, action, path"},
		{"compliance", "event: a\nwhen: row.x\nfields: [{path: properties.a, action: drop}]", "spec.when: "},
	} {
		_, err := Parse("f.yaml", []byte(spec(test.kind, test.spec)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %s\ngot  %v\nwant %s", test.kind, test.spec, err, test.want)
		}
	}
	for _, test := range []struct{ text, want string }{
		{"kind: compliance\nid: c\nspec: {event: a, fields: [{path: properties.a, action: drop}, {path: properties.b, action: drop, unless: [marketing, marketin]}]}\n",
			`compliance/c: spec.fields[1].unless[1]: there is no consent-type "marketin"; did you mean "marketing"?`},
		{"kind: flow\nid: f\nspec: {trigger: {event: a}, consents: [news], nodes: {a: {action: core/log, config: {message: a}}}, edges: [start -> a]}\n",
			`flow/f: spec.consents[0]: there is no consent-type "news"; want one of analytics, marketing`},
	} {
		_, err := NewSet(1, parse(t, consentTypes+"---\n"+test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	_, err := NewSet(1, parse(t, "kind: flow\nid: f\nspec: {trigger: {event: a}, consents: [news], nodes: {a: {action: core/log, config: {message: a}}}, edges: [start -> a]}\n"))
	if want := `there is no consent-type "news", nor any other; apply it first, or in the same call`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without consent types: %v", err)
	}
}

func TestAConsentTypeThatIsNeededStays(t *testing.T) {
	s := newSet(t, consentTypes+`---
kind: compliance
id: c
spec: {event: a, fields: [{path: properties.a, action: drop, unless: [marketing]}]}
---
kind: flow
id: f
spec: {trigger: {event: a}, consents: [analytics], nodes: {a: {action: core/log, config: {message: a}}}, edges: [start -> a]}
`)
	for id, needs := range map[string]string{"marketing": "compliance/c", "analytics": "flow/f"} {
		_, _, err := s.Apply([]Change{{Resource: Resource{Kind: KindConsentType, ID: id}, Delete: true}})
		if want := "consent-type/" + id + ": is still needed by " + needs + ": delete that first"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	_, _, err := s.Apply([]Change{
		{Resource: Resource{Kind: KindConsentType, ID: "marketing"}, Delete: true}, {Resource: Resource{Kind: KindCompliance, ID: "c"}, Delete: true},
	})
	if err != nil {
		t.Errorf("with what needs it: %v", err)
	}
}

func TestConsentsAreMergedByAFixedRule(t *testing.T) {
	_, err := Parse("f.yaml", []byte(spec("merge-rule", "path: consents.marketing\nstrategy: first")))
	if err == nil || !strings.Contains(err.Error(), `"consents" is merged by a fixed rule; want a path that begins with one of traits, data, counters, interests`) {
		t.Errorf("got %v", err)
	}
}
