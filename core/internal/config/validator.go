package config

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Validator is a JSON Schema that a part of an event must satisfy.
type Validator struct {
	Name string             // within its type; empty: the type's schema
	When *condition.Program // where it is there and does not hold, the validator does not apply
	On   Part
	*Schema
}

// A Part is one of the open objects of an event.
type Part string

// The parts of an event.
const (
	PartProperties Part = "properties"
	PartTraits     Part = "traits"
	PartContext    Part = "context"
)

var parts = []string{string(PartProperties), string(PartContext), string(PartTraits)}

// maxValidators bounds what is asked of one event.
const maxValidators = 32

// validators reads the validators of an event type, its schema first.
func (f *form) validators() []Validator {
	var list []Validator
	if schema := f.schema("schema"); schema != nil {
		list = append(list, Validator{On: PartProperties, Schema: schema})
	}
	nodes := f.list("validators")
	if len(nodes) > maxValidators {
		f.fail(f.get("validators"), f.at("validators"), "has %d validators; at most %d are allowed", len(nodes), maxValidators)
		return list
	}
	for i, n := range nodes {
		v, ok := f.form(n, f.item("validators", i))
		if !ok {
			continue
		}
		name := v.wantText("name")
		switch {
		case utf8.RuneCountInString(name) > 128:
			v.fail(v.get("name"), v.at("name"), "has %d characters; want 1 to 128", utf8.RuneCountInString(name))
		case name != "" && slices.ContainsFunc(list, func(o Validator) bool { return o.Name == name }):
			v.fail(v.get("name"), v.at("name"), "is the name of another validator too; give each its own, because errors name them")
		}
		compiled := Validator{
			Name: name, When: v.predicate("when", condition.EventScope), On: Part(v.choice("on", "part", parts)), Schema: v.schema("schema"),
		}
		if v.get("schema") == nil {
			v.fail(n, v.at("schema"), "missing; want a JSON Schema of the event's %s", compiled.On)
		}
		v.close()
		list = append(list, compiled)
	}
	return list
}

// schema reads a field that is a JSON Schema, nil where it is missing.
func (f *form) schema(name string) *Schema {
	n := f.get(name)
	if n == nil {
		return nil
	}
	schema, err := compileSchema(n)
	if err != nil {
		f.fail(n, f.at(name), "%v", err)
		return nil
	}
	return schema
}

// String names the validator for a message.
func (v *Validator) String() string {
	if v.Name == "" {
		return "schema"
	}
	return fmt.Sprintf("validator %s", v.Name)
}
