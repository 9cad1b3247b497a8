package config

import (
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Compliance keeps fields of events from being stored: it drops, masks or hashes
// them before anything but the gateway has seen the event.
type Compliance struct {
	ID, Name, Description string
	// Disabled ones are kept and change no event.
	Disabled bool
	// Event is the type of the events, or [AnyEvent].
	Event string
	// When, where it is there and false, leaves an event as it is. It sees the
	// event as it was sent, and the profile as it was before.
	When   *condition.Program
	Fields []ComplianceField
}

// AnyEvent stands for events of all types.
const AnyEvent = "*"

// A ComplianceField is what becomes of one field.
type ComplianceField struct {
	// Part is properties, traits or context; Path leads on from there.
	Part string
	Path sdk.Path
	// Action is [ComplianceDrop], [ComplianceMask] or [ComplianceHash].
	Action string
	// Unless are consents; a profile that has given all of them has the field
	// left as it is. Empty: nobody's is.
	Unless []string
}

// What becomes of a field.
const (
	ComplianceDrop = "drop" // it is left out
	ComplianceMask = "mask" // a text becomes ***, anything else is left out
	ComplianceHash = "hash" // it becomes a pseudonym, the same for the same value
)

// maxComplianceFields bounds the fields of one resource.
const maxComplianceFields = 200

var complianceParts = []string{"properties", "traits", "context"}

func compileCompliance(f *form, id string) any {
	r := &Compliance{
		ID: id, Name: f.text("name"), Description: f.text("description"), Disabled: f.flag("disabled"),
		Event: f.wantText("event"), When: f.predicate("when", condition.EventScope),
	}
	if message := typeID(r.Event); message != "" && r.Event != "" {
		f.fail(f.get("event"), f.at("event"), "%s", message)
	}
	items := f.list("fields")
	switch n := f.get("fields"); {
	case n == nil:
		f.fail(f.node, f.at("fields"), "missing; want the fields to take out, such as [{path: properties.card, action: drop}]")
	case len(items) > maxComplianceFields:
		f.fail(n, f.at("fields"), "has %d fields; at most %d are allowed, make several resources of it", len(items), maxComplianceFields)
		return r
	case len(items) == 0 && n.shape == array:
		f.fail(n, f.at("fields"), "is empty; want at least one field")
	}
	for i, n := range items {
		if field, ok := f.form(n, f.item("fields", i)); ok {
			r.Fields = append(r.Fields, field.complianceField())
		}
	}
	return r
}

func (f *form) complianceField() ComplianceField {
	field := ComplianceField{Unless: f.texts("unless")}
	if f.want("action") != nil {
		field.Action = f.choice("action", "action", []string{ComplianceDrop, ComplianceMask, ComplianceHash})
	}
	text := f.wantText("path")
	f.close()
	if text == "" {
		return field
	}
	path, err := sdk.ParsePath(text)
	switch {
	case err != nil:
		f.fail(f.get("path"), f.at("path"), "%v", err)
	case !contains(complianceParts, path[0]):
		f.fail(f.get("path"), f.at("path"), "%q is no field that can be taken out; want a path that begins with one of %s", text, strings.Join(complianceParts, ", "))
	case len(path) == 1:
		f.fail(f.get("path"), f.at("path"), "names the whole of %s; want a field in it, such as %s.email", path[0], path[0])
	default:
		field.Part, field.Path = path[0], path[1:]
	}
	return field
}

func checkCompliance(c *checker, compiled any, s *Set) {
	for i, field := range compiled.(*Compliance).Fields {
		s.wantConsents(c, fmt.Sprintf("spec.fields[%d].unless", i), field.Unless)
	}
}

// Compliances lists what keeps fields from being stored, by id, but for disabled
// ones.
func (s *Set) Compliances() []*Compliance { return s.compliances }
