package sdk

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A configType is a Go type as the config of a node: what its JSON Schema says,
// and how a JSON value becomes one of it. It is made once, when the action is.
type configType struct {
	kind   configKind
	goType reflect.Type
	elem   *configType   // of a list, a map or a pointer
	fields []configField // of a struct
}

type configKind int

const (
	configAny configKind = iota
	configText
	configBool
	configInteger
	configNumber
	configDuration // a text such as 90s, 15m or 7d
	configTime     // a text, RFC 3339 or a date
	configParsed   // a text that the type itself reads
	configOwn      // anything that the type itself reads
	configList
	configMap
	configStruct
	configPointer
)

// A configField is a field of a struct, with what its tags say.
type configField struct {
	name     string
	index    []int
	typ      *configType
	doc      string
	required bool
	fallback any   // the default, a value of the package's; nil: none
	enum     []any // the values allowed; nil: any
	min, max *float64
}

var (
	durationType   = reflect.TypeFor[time.Duration]()
	timeType       = reflect.TypeFor[time.Time]()
	textParserType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonParserType = reflect.TypeFor[json.Unmarshaler]()
)

// newConfigType makes the config type of a struct or of a map.
func newConfigType(t reflect.Type) (*configType, error) {
	if t.Kind() != reflect.Struct && t.Kind() != reflect.Map || t == timeType {
		return nil, fmt.Errorf("the config is a %s; it must be a struct or a map", t)
	}
	return compileConfig(t, nil)
}

// compileConfig makes a type's; around are the structs that it is part of.
func compileConfig(t reflect.Type, around []reflect.Type) (*configType, error) {
	c := &configType{goType: t}
	switch {
	case t == durationType:
		c.kind = configDuration
		return c, nil
	case t == timeType:
		c.kind = configTime
		return c, nil
	case t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(jsonParserType):
		c.kind = configOwn
		return c, nil
	case t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textParserType):
		c.kind = configParsed
		return c, nil
	}
	var err error
	switch t.Kind() {
	case reflect.String:
		c.kind = configText
	case reflect.Bool:
		c.kind = configBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.kind = configInteger
	case reflect.Float32, reflect.Float64:
		c.kind = configNumber
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return nil, fmt.Errorf("a %s cannot be configured", t)
		}
		c.kind = configAny
	case reflect.Slice, reflect.Pointer:
		c.kind = configList
		if t.Kind() == reflect.Pointer {
			c.kind = configPointer
		}
		c.elem, err = compileConfig(t.Elem(), around)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("the keys of a %s are no strings", t)
		}
		c.kind = configMap
		c.elem, err = compileConfig(t.Elem(), around)
	case reflect.Struct:
		if slices.Contains(around, t) {
			return nil, fmt.Errorf("a %s contains itself", t)
		}
		c.kind = configStruct
		err = c.addFields(t, nil, append(slices.Clip(around), t))
	default:
		return nil, fmt.Errorf("a %s cannot be configured", t)
	}
	return c, err
}

// addFields adds the fields of a struct; an embedded struct's count as its own.
func (c *configType) addFields(t reflect.Type, index []int, around []reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clip(index), i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			if err := c.addFields(f.Type, at, around); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if c.has(name) {
			return fmt.Errorf("two fields are called %s", name)
		}
		field := configField{name: name, index: at, doc: f.Tag.Get("doc")}
		var err error
		if field.typ, err = compileConfig(f.Type, around); err == nil {
			err = field.readTags(f.Tag)
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
		c.fields = append(c.fields, field)
	}
	return nil
}

func (c *configType) has(name string) bool {
	return slices.ContainsFunc(c.fields, func(f configField) bool { return f.name == name })
}

// readTags reads what is said of a field's values, and tries its default.
func (f *configField) readTags(tag reflect.StructTag) error {
	var err error
	if text, ok := tag.Lookup("required"); ok {
		if f.required, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("required: want true or false, not %q", text)
		}
	}
	for _, bound := range []struct {
		name string
		to   **float64
	}{{"min", &f.min}, {"max", &f.max}} {
		text, ok := tag.Lookup(bound.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%s: want a number, not %q", bound.name, text)
		}
		if boundNames(f.typ.kind, "") == "" {
			return fmt.Errorf("%s: a %s has none", bound.name, f.typ.goType)
		}
		*bound.to = &n
	}
	if text, ok := tag.Lookup("enum"); ok {
		for _, part := range strings.Split(text, ",") {
			v, err := f.typ.literal(part)
			if err != nil {
				return fmt.Errorf("enum: %w", err)
			}
			f.enum = append(f.enum, v)
		}
	}
	if text, ok := tag.Lookup("default"); ok {
		if f.required {
			return errors.New("it is required and has a default")
		}
		if f.fallback, err = f.typ.literal(text); err == nil {
			err = f.assign(reflect.New(f.typ.goType).Elem(), f.fallback)
		}
		if err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	return nil
}

// literal reads a value as it stands in a tag: a text as it is, others in JSON.
func (c *configType) literal(text string) (any, error) {
	switch c.kind {
	case configText, configDuration, configTime, configParsed:
		return text, nil
	case configPointer:
		return c.elem.literal(text)
	}
	v, err := ParseValue([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%q is no JSON: %w", text, err)
	}
	return v, nil
}
