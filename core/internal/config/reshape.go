package config

import "github.com/tributary-bus/tributary/sdk/condition"

// A Reshape makes parts of an event anew, of what it was sent with.
type Reshape struct {
	When    *condition.Program // nil: always
	Missing Missing
	Parts   []Reshaped // those that are replaced, each once
}

// Reshaped is what one part of an event becomes.
type Reshaped struct {
	On    Part
	Value *NodeConfig // of an object
}

// Missing says what becomes of a leaf whose expression gives null, or fails.
type Missing string

// The ways to treat a leaf that has no value.
const (
	MissingDrop   Missing = "drop"   // it is left out
	MissingNull   Missing = "null"   // it is null
	MissingStrict Missing = "strict" // the event is invalid
)

var missings = []string{string(MissingDrop), string(MissingNull), string(MissingStrict)}

// reshape reads how events are reshaped, nil where they are not.
func (f *form) reshape() *Reshape {
	n := f.get("reshape")
	if n == nil {
		return nil
	}
	r, ok := f.form(n, f.at("reshape"))
	if !ok {
		return nil
	}
	reshape := &Reshape{When: r.predicate("when", condition.EventScope), Missing: r.missing()}
	for _, part := range parts {
		value := r.get(part)
		if value == nil {
			continue
		}
		if value.shape != object {
			r.fail(value, r.at(part), "want an object of what the event's %s become, got %s", part, value.typeName())
			continue
		}
		reshape.Parts = append(reshape.Parts, Reshaped{Part(part), r.template(value, r.at(part), condition.EventScope)})
	}
	for _, fixed := range []string{"session", "type"} {
		if value := r.get(fixed); value != nil {
			r.fail(value, r.at(fixed), "an event keeps the %s that it was sent with; what it is about and what may come in is decided by it before", fixed)
		}
	}
	r.close()
	if len(reshape.Parts) == 0 && r.get("properties") == nil && r.get("traits") == nil && r.get("context") == nil {
		r.fail(n, r.path, "replaces nothing; want properties, traits or context")
	}
	return reshape
}

// missing reads what becomes of values that are missing. YAML's plain null is
// the word, not a field that is left out.
func (f *form) missing() Missing {
	for _, field := range f.node.fields {
		if field.name == "missing" && field.value.null() {
			f.get("missing")
			return MissingNull
		}
	}
	return Missing(f.choice("missing", "way to treat what is missing", missings))
}
