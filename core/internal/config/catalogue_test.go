package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestTheCatalogueIsComplete(t *testing.T) {
	files, err := catalogueFiles.ReadDir("catalogue")
	if err != nil || len(files) != len(groups) {
		t.Errorf("%d files, %d groups, %v", len(files), len(groups), err)
	}
	of := map[string]int{}
	for _, b := range Catalogue() {
		of[b.Group]++
		x := b.Type
		if x.ID != b.Resource.ID || x.Description == "" || !strings.HasSuffix(x.Description, ".") || len(x.Tags) == 0 || x.Tags[0] != b.Group || x.Sample == nil || len(x.Sample.IDs) == 0 {
			t.Errorf("%s: want a description, the tag %s and a sample with ids, got %+v", x.ID, b.Group, x)
		}
		if b.Resource.Revision != 0 || b.Resource.Origin != (Origin{}) {
			t.Errorf("%s: stands at %v, revision %d", x.ID, b.Resource.Origin, b.Resource.Revision)
		}
	}
	for _, group := range groups {
		if of[group] < 3 {
			t.Errorf("group %s has %d types", group, of[group])
		}
	}
	if n := len(Catalogue()); n < 60 {
		t.Errorf("%d types", n)
	}
}

// Built-in types refuse nothing, and keep nothing of a profile's past that nobody
// asked for.
func TestTheCatalogueRefusesNoEvent(t *testing.T) {
	for _, b := range Catalogue() {
		if len(b.Type.Validators) > 0 || b.Type.Reshape != nil || b.Type.When != nil {
			t.Errorf("%s: may refuse or change an event", b.Type.ID)
		}
		for _, a := range b.Type.aggregates() {
			if _, keeps := profile.KeptOf(a); keeps {
				t.Errorf("%s: reads %+v, which is kept for nobody else", b.Type.ID, a)
			}
		}
	}
}

// The names of clients of Segment's kin and of Tracardi's that mean the same.
func TestTheCatalogueKnowsTheNamesOfTheField(t *testing.T) {
	s := newSet(t, "")
	for _, id := range strings.Fields(`page-view screen-view identify group alias product-viewed product-added product-removed cart-viewed checkout-started
		order-completed order-refunded signed-up signed-in email-opened promotion-viewed
		product-search-result search page-print location product-clicked product-details-page-view basket-viewed product-added-to-basket
		product-removed-from-basket checkout-completed checkout-status delivery-info-entered payment-info-entered order-started order-delivered
		order-status-change product-shared product-reviewed product-returned sale-completed order-waiting-for-dispatch order-dispatched
		order-dispatch-in-transit order-awaiting-pickup account-payable account-receivable payment-sent payment-received payable-overdue
		receivable-overdue sign-in sign-up account-deleted identification consent-update profile-update messaging-started message-sent
		message-status message-received message-opened messaging-ended promotion-clicked loyalty-card-added loyalty-card-removed
		add-color-preference add-size-preference add-brand-preference add-channel-preference add-payment-preference increase-interest
		decrease-interest reset-interest rating session-opened visit-started visit-ended profile-created profile-inactive profile-archived
		profile-merged profile-erased segment-entered segment-left heartbeat`) {
		if s.EventType(id) == nil {
			t.Errorf("%s is not built in", id)
		}
	}
}

//go:generate go test . -run TestThePageOfEventTypesIsCurrent -update

func TestThePageOfEventTypesIsCurrent(t *testing.T) {
	const begin, end = "<!-- catalogue: made of core/internal/config/catalogue by \"make generate\" -->\n", "<!-- end of the catalogue -->\n"
	path := filepath.Join("..", "..", "..", "docs", "event-types.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the catalogue", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+page()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != page() {
		t.Errorf(`%s is not what the catalogue says; run "make generate"`, path)
	}
}

// page is the catalogue as the documentation lists it.
func page() string {
	var b strings.Builder
	group := ""
	for _, t := range Catalogue() {
		if t.Group != group {
			group = t.Group
			fmt.Fprintf(&b, "\n### %s\n\n| type | what happened | tags | journey | properties (as a trait) | profile |\n|---|---|---|---|---|---|\n", group)
		}
		x := t.Type
		journey := "–"
		if x.Journey != nil {
			journey = x.Journey.State
			if x.Journey.From != nil {
				journey = code(strings.ReplaceAll(x.Journey.From.Source(), "|", `\|`))
			}
		}
		var effects []string
		for _, rule := range x.Copy {
			to := rule.To
			if rule.Name != nil {
				to = append(slices.Clone(to), "…")
			}
			effect := code(to.String())
			if rule.Op != OpSet {
				effect = string(rule.Op) + " " + effect
			}
			if !slices.Contains(effects, effect) {
				effects = append(effects, effect)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", x.ID, x.Description, listed(x.Tags), journey, listed(properties(x)), listed(effects))
	}
	return b.String() + "\n"
}

// properties are what an event of the type is to have, with the trait that each becomes,
// where that has another name, and what else of it the rules read.
func properties(x *EventType) (list []string) {
	var named []string
	for _, rule := range x.Traits {
		from, to := rule.From.String(), rule.To.String()
		named = append(named, from)
		if from == to {
			list = append(list, code(from))
		} else {
			list = append(list, code(from)+" (as "+code(to)+")")
		}
	}
	add := func(p *condition.Program) {
		if p == nil {
			return
		}
		for _, found := range propertyPath.FindAllStringSubmatch(p.Source(), -1) {
			if path := found[1]; !slices.ContainsFunc(named, func(n string) bool { return n == path || strings.HasPrefix(n, path+".") }) {
				named = append(named, path)
				list = append(list, code(path))
			}
		}
	}
	for _, rule := range x.Copy {
		add(rule.Name)
		add(rule.From)
		add(rule.When)
	}
	if x.Journey != nil {
		add(x.Journey.From)
	}
	return list
}

var propertyPath = regexp.MustCompile(`\bevent\.properties\.([a-z_]+(?:\.[a-z_]+)*)`)

func code(text string) string { return "`" + text + "`" }

func listed(names []string) string {
	if len(names) == 0 {
		return "–"
	}
	return strings.Join(names, ", ")
}

// What get prints of a built-in type can be applied.
func TestABuiltInTypeCanBeApplied(t *testing.T) {
	var list []Resource
	for _, b := range Catalogue() {
		r, err := New(b.Resource.Kind, b.Resource.ID, b.Resource.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(r.Spec), string(b.Resource.Spec); got != want {
			t.Errorf("%s is %s, want %s", r.ID, got, want)
		}
		list = append(list, r)
	}
	s, err := NewSet(1, list)
	if err != nil || len(s.BuiltIns(KindEventType)) != 0 {
		t.Errorf("%v built in, %v", s.BuiltIns(KindEventType), err)
	}
}
