package config

import (
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// An EventType says what an event of one type must look like and what it does
// to its profile.
type EventType struct {
	ID string
	// Schema is that of the properties; nil: anything goes.
	Schema *Schema
	// When, where it is there and false, keeps Traits and Copy from an event.
	When   *condition.Program
	Traits []TraitRule // by From
	Copy   []CopyRule
	Tags   []string
}

// A TraitRule makes a property searchable: it becomes a trait of the event.
type TraitRule struct {
	From sdk.Path // below event.properties
	To   sdk.Path // below event.traits
}

// A CopyRule changes a profile by what an event says.
type CopyRule struct {
	To sdk.Path // begins with one of the profile's sections
	Op Op
	// From computes the value; nil for OpDelete and where By is set.
	From *condition.Program
	// By is the constant of an increment or decrement, a number; nil where
	// From is set and for the other operations.
	By any
}

// An Op is what a copy rule does to its target. The operations of segments are
// not among those of copy rules.
type Op = wire.Op

// The operations of copy rules.
const (
	OpSet          = wire.OpSet
	OpSetIfMissing = wire.OpSetIfMissing
	OpAppend       = wire.OpAppend
	OpRemove       = wire.OpRemove
	OpIncrement    = wire.OpIncrement
	OpDecrement    = wire.OpDecrement
	OpDelete       = wire.OpDelete
)

var (
	ops = []string{
		string(OpSet), string(OpSetIfMissing), string(OpAppend), string(OpRemove), string(OpIncrement),
		string(OpDecrement), string(OpDelete),
	}
	counterOps = []string{string(OpSet), string(OpIncrement), string(OpDecrement), string(OpDelete)}
	// copyTargets are the sections of a profile that events may write.
	copyTargets = []string{"traits", "data", "counters", "interests", "consents"}
)

func compileEventType(f *form, id string) any {
	t := &EventType{ID: id, When: f.predicate("when", condition.EventScope), Tags: f.texts("tags")}
	if n := f.get("schema"); n != nil {
		schema, err := compileSchema(n)
		if err != nil {
			f.fail(n, f.at("schema"), "%v", err)
		}
		t.Schema = schema
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
	return t
}

// aggregates lists what the rules read of a profile's past events; one may be
// there several times.
func (t *EventType) aggregates() []condition.Aggregate {
	var all []condition.Aggregate
	if t.When != nil {
		all = t.When.Aggregates()
	}
	for _, rule := range t.Copy {
		if rule.From != nil {
			all = append(all, rule.From.Aggregates()...)
		}
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

func compileCopy(f *form) CopyRule {
	rule := CopyRule{
		To: f.target(), Op: Op(f.choice("op", "op", ops)), From: f.expression("from", condition.EventScope),
	}
	by := f.get("by")
	f.close()
	if len(rule.To) > 0 && rule.To[0] == "counters" && contains(ops, string(rule.Op)) && !contains(counterOps, string(rule.Op)) {
		f.fail(f.get("op"), f.at("op"), "%s does not work on counters, which are numbers; want one of %s", rule.Op, strings.Join(counterOps, ", "))
	}
	from := f.get("from")
	switch rule.Op {
	case OpIncrement, OpDecrement:
		switch {
		case by != nil && from != nil:
			f.fail(by, f.at("by"), "stands beside from; remove one of them")
		case by != nil:
			if rule.By = by.scalar; by.typeName() != "a number" {
				f.fail(by, f.at("by"), "want a number, got %s; a computed value goes into from", by.typeName())
			}
		case from == nil:
			rule.By = int64(1)
		}
	case OpDelete:
		if from != nil {
			f.fail(from, f.at("from"), "delete takes no value; remove from")
		}
		if by != nil {
			f.fail(by, f.at("by"), "delete takes no value; remove by")
		}
	default:
		if by != nil {
			f.fail(by, f.at("by"), "only increment and decrement take by; use from")
		}
		if from == nil {
			f.fail(f.node, f.at("from"), "missing; want an expression (CEL), such as event.properties.total")
		}
	}
	return rule
}

// target reads the place in the profile that a rule writes.
func (f *form) target() sdk.Path {
	text := f.wantText("to")
	if text == "" {
		return nil
	}
	path, err := sdk.ParsePath(text)
	switch {
	case err != nil:
		f.fail(f.get("to"), f.at("to"), "%v", err)
	case !contains(copyTargets, path[0]):
		f.fail(f.get("to"), f.at("to"), "an event cannot write to %q; want a path that begins with one of %s", path[0], strings.Join(copyTargets, ", "))
	case len(path) == 1:
		f.fail(f.get("to"), f.at("to"), "names the whole of %s; want a field in it, such as %s.name", path[0], path[0])
	}
	return path
}
