package config

import "maps"

// A Sample is an event of a type as a client may send it.
type Sample struct {
	IDs                         map[string]string // by kind of identifier
	Properties, Traits, Context map[string]any    // never nil
}

// sample reads the sample of an event type, nil where there is none. It has to
// pass those of the validators that always apply.
func (f *form) sample(validators []Validator) *Sample {
	n := f.get("sample")
	if n == nil {
		return nil
	}
	e, ok := f.form(n, f.at("sample"))
	if !ok {
		return nil
	}
	s := &Sample{
		IDs: map[string]string{}, Properties: e.object(string(PartProperties)), Traits: e.object(string(PartTraits)), Context: e.object(string(PartContext)),
	}
	if ids := e.get("ids"); ids != nil {
		if kinds, ok := e.form(ids, e.at("ids")); ok {
			for _, field := range kinds.node.fields {
				s.IDs[field.name] = kinds.wantText(field.name)
			}
		}
	}
	e.close()
	for i := range validators {
		v := &validators[i]
		if v.When != nil || v.Schema == nil {
			continue
		}
		for _, fault := range v.Violations(s.part(v.On), "", maxViolations) {
			at := e.at(string(v.On))
			if fault.Path != "" {
				at = at + "." + fault.Path
			}
			e.fail(n.nearest(e.path, at), at, "%s; the %s refuses it", fault.Message, v)
		}
	}
	return s
}

// part returns a part of the event.
func (s *Sample) part(on Part) map[string]any {
	switch on {
	case PartTraits:
		return s.Traits
	case PartContext:
		return s.Context
	}
	return s.Properties
}

// object reads a field that is an object, empty where it is missing.
func (f *form) object(name string) map[string]any {
	n := f.get(name)
	if n == nil {
		return map[string]any{}
	}
	if n.shape != object {
		f.fail(n, f.at(name), "want an object, got %s", n.typeName())
		return map[string]any{}
	}
	m, _ := n.plain().(map[string]any)
	return maps.Clone(m)
}
