package config

import (
	"slices"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An EventType says what an event of one type must look like and what it does
// to its profile.
type EventType struct {
	ID          string
	Description string // for people; empty: none
	// Validators are what an event must pass, all that apply; the schema of the
	// properties is the first of them, where there is one.
	Validators []Validator
	// When, where it is there and false, keeps all of the rules from an event.
	When    *condition.Program
	Reshape *Reshape // nil: the event stays as it was sent
	Traits  []TraitRule
	Journey *Journey // nil: it tells nothing of the journey
	Copy    []CopyRule
	Tags    []string
	Sample  *Sample // nil: none
}

// A TraitRule makes a property searchable: it becomes a trait of the event.
type TraitRule struct {
	From sdk.Path // below event.properties
	To   sdk.Path // below event.traits
}

func compileEventType(f *form, id string) any {
	t := &EventType{
		ID: id, Description: f.text("description"), Validators: f.validators(), When: f.predicate("when", condition.EventScope),
		Reshape: f.reshape(), Journey: f.journey(), Tags: f.texts("tags"),
	}
	if n := f.get("traits"); n != nil {
		if traits, ok := f.form(n, f.at("traits")); ok {
			t.Traits = compileTraits(traits)
		}
	}
	for i, n := range f.list("copy") {
		if rule, ok := f.form(n, f.item("copy", i)); ok {
			t.Copy = append(t.Copy, compileCopy(rule))
		}
	}
	t.Sample = f.sample(t.Validators)
	return t
}

// aggregates lists what the rules read of a profile's past events; one may be
// there several times.
func (t *EventType) aggregates() []condition.Aggregate {
	var all []condition.Aggregate
	add := func(p *condition.Program) {
		if p != nil {
			all = append(all, p.Aggregates()...)
		}
	}
	add(t.When)
	for _, v := range t.Validators {
		add(v.When)
	}
	if r := t.Reshape; r != nil {
		add(r.When)
		for _, part := range r.Parts {
			all = append(all, part.Value.Aggregates()...)
		}
	}
	if t.Journey != nil {
		add(t.Journey.From)
	}
	for _, rule := range t.Copy {
		add(rule.When)
		add(rule.From)
		add(rule.Name)
	}
	return all
}

func compileTraits(f *form) []TraitRule {
	var rules []TraitRule
	for _, field := range f.node.fields {
		at := f.at(field.name)
		from, err := sdk.ParsePath(field.name)
		if err != nil {
			f.fail(field.value, at, "%v; want the path of a property", err)
			continue
		}
		name := f.textOf(field.value, at)
		if name == "" {
			if field.value.scalar == "" {
				f.fail(field.value, at, "must not be empty")
			}
			continue
		}
		to, err := sdk.ParsePath(name)
		if err != nil {
			f.fail(field.value, at, "%v; want the name of a trait", err)
			continue
		}
		rules = append(rules, TraitRule{from, to})
	}
	slices.SortFunc(rules, func(a, b TraitRule) int { return slices.Compare(a.From, b.From) })
	return rules
}
