package processor

import (
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// The sample of each built-in event type goes through a processor: it is valid, and
// all that its type says of it is there.
func TestEverySampleOfTheCatalogueDoesWhatItsTypeSays(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	types := config.Catalogue()
	byID := map[string]*config.EventType{}
	for _, b := range types {
		byID[b.Type.ID] = b.Type
	}
	sampled := func(of string, x *config.EventType, token string) *record.Command {
		c := n.adds(of+" "+x.ID, "user of "+of, 0, token)
		e := c.Event
		e.Type = x.ID
		e.Properties, e.Traits, e.Context = sdk.AppendValue(nil, x.Sample.Properties), sdk.AppendValue(nil, x.Sample.Traits), sdk.AppendValue(nil, x.Sample.Context)
		return c
	}
	// What these take away has to be there.
	before := map[string]string{
		"product-removed-from-wishlist": "product-added-to-wishlist", "loyalty-card-removed": "loyalty-card-added", "subscribed": "unsubscribed",
	}
	var commands []*record.Command
	for _, b := range types {
		if first := byID[before[b.Type.ID]]; first != nil {
			commands = append(commands, sampled(b.Type.ID, first, ""))
		}
		commands = append(commands, sampled(b.Type.ID, b.Type, "of "+b.Type.ID))
	}
	n.send(commands...)
	profiles := map[string]*sdk.Profile{}
	for _, b := range types {
		o := n.outcome("of " + b.Type.ID)
		if !o.Valid || o.Profile == "" {
			t.Errorf("%s: the outcome is %+v", b.Type.ID, o)
			continue
		}
		profiles[b.Type.ID] = n.document(o.Profile).Profile
	}
	sent := 0
	for _, stored := range n.events() {
		out, err := sdk.ParseObject(stored.Data)
		if err != nil {
			t.Fatal(err)
		}
		e := out["event"].(map[string]any)
		if e["id"] != stored.Type+" "+stored.Type {
			continue
		}
		sent++
		changes, _ := out["changes"].(map[string]any)
		s := said{t: t, x: byID[stored.Type], event: e, changes: changes, profile: profiles[stored.Type]}
		s.check()
	}
	if sent != len(types) {
		t.Errorf("%d events were sent on, of %d types", sent, len(types))
	}
	if n := n.p.metrics.problems.Get(); n != 0 {
		t.Errorf("%d rules failed", n)
	}
}

// A said is what became of a sample: the event, what it changed, and the profile.
type said struct {
	t       *testing.T
	x       *config.EventType
	event   map[string]any
	changes map[string]any
	profile *sdk.Profile
}

func (s *said) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("%s: "+format, append([]any{s.x.ID}, args...)...)
}

func (s *said) check() {
	if s.event["valid"] != true {
		s.fail("is not valid: %v", s.event["errors"])
	}
	tags, _ := s.event["tags"].([]any)
	for _, tag := range s.x.Tags {
		if !slices.Contains(tags, any(tag)) {
			s.fail("lacks the tag %s: %v", tag, tags)
		}
	}
	traits, _ := s.event["traits"].(map[string]any)
	for _, rule := range s.x.Traits {
		if _, there := rule.To.Get(traits); !there {
			s.fail("lacks the trait %s, as does its sample: %v", rule.To, traits)
		}
		if v, there := rule.From.Get(s.x.Sample.Properties); there {
			if got, _ := rule.To.Get(traits); text(got) != text(v) {
				s.fail("the trait %s is %s, want %s", rule.To, text(got), text(v))
			}
		}
	}
	s.checkJourney(traits)
	places := map[string]bool{"data.journey.state": true, "data.journey.since": true}
	for i := range s.x.Copy {
		places[s.checkCopy(&s.x.Copy[i])] = true
	}
	if s.x.ID == "consent-update" {
		places["consents.newsletter"] = true
		if !s.profile.Consented("newsletter", noon.AddDate(0, 0, 1)) {
			s.fail("gives no consent: %v", s.profile.Consents)
		}
	}
	for at := range s.changes {
		if !places[at] && !strings.HasPrefix(at, "identities.") && !(s.x.ID == "identify" && strings.HasPrefix(at, "traits.")) {
			s.fail("changes %s, and does not say so", at)
		}
	}
}

func (s *said) checkJourney(traits map[string]any) {
	want := map[string]string{"page-view": "awareness", "screen-view": "awareness", "nps-answered": "advocacy"}[s.x.ID]
	if s.x.Journey != nil && s.x.Journey.From == nil {
		want = s.x.Journey.State
	}
	journey, _ := s.profile.Data["journey"].(map[string]any)
	switch {
	case want == "" && s.x.Journey == nil:
		if traits["journey"] != nil || s.changes["data.journey.state"] != nil {
			s.fail("tells of the journey, and does not say so: %v", traits)
		}
	case want == "":
		s.fail("this test does not know what its journey is")
	case traits["journey"] != want || journey["state"] != want || journey["since"] != sdk.FormatTime(noon):
		s.fail("the journey is %v, of the profile %v; want %s", traits["journey"], journey, want)
	}
}

// checkCopy holds one copy rule against what became of the profile, and tells the
// place that it works on.
func (s *said) checkCopy(rule *config.CopyRule) string {
	path := rule.To
	if rule.Name != nil {
		path = append(path[:len(path):len(path)], s.x.Sample.Properties["interest"].(string))
	}
	at := path.String()
	changed, there := s.changes[at]
	section, _ := s.profile.Section(path[0])
	now, _ := path[1:].Get(section)
	if !there {
		s.fail("its sample does not show what it does to %s", at)
		return at
	}
	if text(changed) != text(now) {
		s.fail("%s is %s, changed to %s", at, text(now), text(changed))
	}
	from := ""
	if rule.From != nil {
		from = rule.From.Source()
	}
	var want any
	switch property, is := strings.CutPrefix(from, "event.properties."); {
	case rule.Op == config.OpDelete:
	case rule.Op == config.OpRemove:
		want = []any{}
	case from == "":
		want = rule.By
	case from == "string(event.time)":
		want = sdk.FormatTime(noon)
	default:
		if !is || strings.Contains(property, " ") {
			property = "value" // of interests
		}
		from, err := sdk.ParsePath(property)
		if err != nil {
			s.t.Fatal(err)
		}
		v, has := from.Get(s.x.Sample.Properties)
		if !has {
			return at // another rule says it of this sample
		}
		want = v
	}
	switch rule.Op {
	case config.OpAppend:
		want = []any{want}
	case config.OpDecrement:
		want = -want.(int64)
	}
	if text(now) != text(want) {
		s.fail("%s is %s, want %s", at, text(now), text(want))
	}
	return at
}

func text(v any) string { return string(sdk.AppendValue(nil, v)) }
