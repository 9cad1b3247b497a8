package sdk

import (
	"reflect"
)

// schema is the JSON Schema, of draft 2020-12, of a config.
func (c *configType) schema() []byte {
	dst := []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema",`)
	return append(c.appendSchema(dst), '}')
}

// appendSchema appends the members of the type's schema.
func (c *configType) appendSchema(dst []byte) []byte {
	switch c.kind {
	case configText, configParsed:
		return append(dst, `"type":"string"`...)
	case configBool:
		return append(dst, `"type":"boolean"`...)
	case configInteger:
		dst = append(dst, `"type":"integer"`...)
		if c.goType.Kind() >= reflect.Uint {
			dst = append(dst, `,"minimum":0`...)
		}
		return dst
	case configNumber:
		return append(dst, `"type":"number"`...)
	case configDuration:
		return append(dst, `"type":"string","pattern":"^[-+]?(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)$"`...)
	case configTime:
		return append(dst, `"type":"string"`...)
	case configList:
		dst = append(dst, `"type":"array"`...)
		return c.elem.appendInner(dst, `,"items":{`)
	case configMap:
		dst = append(dst, `"type":"object"`...)
		return c.elem.appendInner(dst, `,"additionalProperties":{`)
	case configStruct:
		return c.appendProperties(dst)
	case configPointer:
		return c.elem.appendSchema(dst)
	}
	return dst // anything
}

// appendInner appends the schema of elements; of those that may be anything, nothing.
func (c *configType) appendInner(dst []byte, opening string) []byte {
	start := len(dst)
	dst = append(dst, opening...)
	empty := len(dst)
	if dst = c.appendSchema(dst); len(dst) == empty {
		return dst[:start]
	}
	return append(dst, '}')
}

func (c *configType) appendProperties(dst []byte) []byte {
	dst = append(dst, `"type":"object","properties":{`...)
	var required []string
	for i := range c.fields {
		f := &c.fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, f.name), ':', '{')
		dst = append(f.appendSchema(dst), '}')
		if f.required {
			required = append(required, f.name)
		}
	}
	dst = append(dst, '}')
	if len(required) > 0 {
		dst = AppendValue(append(dst, `,"required":`...), required)
	}
	return append(dst, `,"additionalProperties":false`...)
}

func (f *configField) appendSchema(dst []byte) []byte {
	start := len(dst)
	member := func(name string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, name), ':')
	}
	typ := *f.typ
	if f.min != nil && typ.kind == configInteger {
		typ.goType = reflect.TypeFor[int64]() // its own minimum takes the place
	}
	dst = typ.appendSchema(dst)
	if f.doc != "" {
		member("description")
		dst = AppendString(dst, f.doc)
	}
	if f.fallback != nil {
		member("default")
		dst = AppendValue(dst, f.fallback)
	}
	if f.enum != nil {
		member("enum")
		dst = AppendValue(dst, f.enum)
	}
	if f.min != nil {
		member(boundNames(f.typ.kind, "min"))
		dst = AppendValue(dst, *f.min)
	}
	if f.max != nil {
		member(boundNames(f.typ.kind, "max"))
		dst = AppendValue(dst, *f.max)
	}
	return dst
}

// boundNames is what a schema calls the bound of a kind's values, or of how
// many characters, elements or members they have; empty where they have none.
func boundNames(kind configKind, bound string) string {
	switch kind {
	case configInteger, configNumber:
		return bound + "imum"
	case configText:
		return bound + "Length"
	case configList:
		return bound + "Items"
	case configMap:
		return bound + "Properties"
	}
	return ""
}
