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
	"unicode/utf8"
)

// decode makes a config of a JSON text; an empty text is an empty object. What
// the type does not know, or does not allow, is an error that names the field.
func (c *configType) decode(text []byte, into reflect.Value) error {
	object, err := ParseObject(text)
	if err != nil {
		return err
	}
	return c.assign(into, object)
}

// A fieldError is an error about a field, by its path.
type fieldError struct {
	path string
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// below says that an error is about a field, or an element, of the place.
func below(name string, err error) error {
	var inner *fieldError
	if errors.As(err, &inner) {
		if strings.HasPrefix(inner.path, "[") {
			return &fieldError{name + inner.path, inner.err}
		}
		return &fieldError{name + "." + inner.path, inner.err}
	}
	return &fieldError{name, err}
}

// assign puts a value of the package's into a Go value. Null is nothing: it
// leaves what is there.
func (c *configType) assign(to reflect.Value, v any) error {
	if c.kind == configOwn {
		return to.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(AppendValue(nil, v))
	}
	if v == nil {
		return nil
	}
	switch c.kind {
	case configAny:
		to.Set(reflect.ValueOf(v))
		return nil
	case configBool:
		b, ok := v.(bool)
		if !ok {
			return wanted("true or false", v)
		}
		to.SetBool(b)
		return nil
	case configInteger, configNumber:
		return assignNumber(to, v)
	case configText, configDuration, configTime, configParsed:
		s, ok := v.(string)
		if !ok {
			return wanted("a string", v)
		}
		return c.assignText(to, s)
	case configPointer:
		if to.IsNil() {
			to.Set(reflect.New(c.elem.goType))
		}
		return c.elem.assign(to.Elem(), v)
	case configList:
		return c.assignList(to, v)
	case configMap:
		return c.assignMap(to, v)
	}
	return c.assignStruct(to, v)
}

func (c *configType) assignText(to reflect.Value, s string) error {
	switch c.kind {
	case configDuration:
		d, err := ParseDuration(s)
		if err != nil {
			return err
		}
		to.SetInt(int64(d))
		return nil
	case configTime:
		t, err := ParseTime(s)
		if err != nil {
			return err
		}
		to.Set(reflect.ValueOf(t))
		return nil
	case configParsed:
		return to.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
	to.SetString(s)
	return nil
}

func assignNumber(to reflect.Value, v any) error {
	switch v.(type) {
	case int64, float64, json.Number:
	default:
		return wanted("a number", v)
	}
	literal := string(AppendValue(nil, v))
	switch {
	case to.CanFloat():
		f, err := strconv.ParseFloat(literal, to.Type().Bits())
		if err != nil {
			return fmt.Errorf("%s is beyond a %s", literal, to.Type())
		}
		to.SetFloat(f)
		return nil
	case to.CanUint():
		if f, ok := v.(float64); ok && f >= 0 && f == float64(uint64(f)) {
			literal = strconv.FormatUint(uint64(f), 10)
		}
		n, err := strconv.ParseUint(literal, 10, to.Type().Bits())
		if err != nil {
			return fmt.Errorf("want a whole number from 0 on that fits a %s, not %s", to.Type(), literal)
		}
		to.SetUint(n)
		return nil
	}
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		literal = strconv.FormatInt(int64(f), 10)
	}
	n, err := strconv.ParseInt(literal, 10, to.Type().Bits())
	if err != nil {
		return fmt.Errorf("want a whole number that fits an %s, not %s", to.Type(), literal)
	}
	to.SetInt(n)
	return nil
}

func (c *configType) assignList(to reflect.Value, v any) error {
	list, ok := v.([]any)
	if !ok {
		return wanted("a list", v)
	}
	to.Set(reflect.MakeSlice(c.goType, len(list), len(list)))
	for i, e := range list {
		if err := c.elem.assign(to.Index(i), e); err != nil {
			return below("["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}

func (c *configType) assignMap(to reflect.Value, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return wanted("an object", v)
	}
	to.Set(reflect.MakeMapWithSize(c.goType, len(object)))
	for name, e := range object {
		value := reflect.New(c.elem.goType).Elem()
		if err := c.elem.assign(value, e); err != nil {
			return below(name, err)
		}
		to.SetMapIndex(reflect.ValueOf(name).Convert(c.goType.Key()), value)
	}
	return nil
}

func (c *configType) assignStruct(to reflect.Value, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return wanted("an object", v)
	}
	for name := range object {
		if !c.has(name) {
			return below(name, fmt.Errorf("there is no such field; want %s", c.names()))
		}
	}
	for i := range c.fields {
		f := &c.fields[i]
		given := object[f.name]
		if given == nil {
			if f.required {
				return below(f.name, errors.New("it is missing"))
			}
			if err := f.assignDefault(to.FieldByIndex(f.index)); err != nil {
				return below(f.name, err)
			}
			if f.typ.kind != configOwn {
				continue
			}
			if _, there := object[f.name]; !there {
				continue // a null is for the type to read
			}
		}
		if err := f.assign(to.FieldByIndex(f.index), given); err != nil {
			return below(f.name, err)
		}
	}
	return nil
}

// assignDefault fills in what is not there: the default, or those within.
func (f *configField) assignDefault(to reflect.Value) error {
	if f.fallback != nil {
		return f.typ.assign(to, Clone(f.fallback))
	}
	if f.typ.kind != configStruct {
		return nil
	}
	for i := range f.typ.fields {
		inner := &f.typ.fields[i]
		if err := inner.assignDefault(to.FieldByIndex(inner.index)); err != nil {
			return err
		}
	}
	return nil
}

// assign puts a value that is there into the field, if its tags allow it.
func (f *configField) assign(to reflect.Value, v any) error {
	if f.enum != nil && !slices.ContainsFunc(f.enum, func(e any) bool { return reflect.DeepEqual(e, v) }) {
		return fmt.Errorf("%s is not one of %s", AppendValue(nil, v), AppendValue(nil, f.enum))
	}
	if err := f.typ.assign(to, v); err != nil {
		return err
	}
	if f.min == nil && f.max == nil {
		return nil
	}
	size, what := measure(v)
	if f.min != nil && size < *f.min {
		return fmt.Errorf("want at least %s%s", AppendValue(nil, *f.min), what)
	}
	if f.max != nil && size > *f.max {
		return fmt.Errorf("want at most %s%s", AppendValue(nil, *f.max), what)
	}
	return nil
}

// measure is what the bounds of a field bound.
func measure(v any) (size float64, what string) {
	switch v := v.(type) {
	case int64:
		return float64(v), ""
	case float64:
		return v, ""
	case json.Number:
		f, _ := v.Float64() // infinite where it is beyond
		return f, ""
	case string:
		return float64(utf8.RuneCountInString(v)), " characters"
	case []any:
		return float64(len(v)), " elements"
	case map[string]any:
		return float64(len(v)), " members"
	}
	return 0, ""
}

func (c *configType) names() string {
	names := make([]string, len(c.fields))
	for i := range c.fields {
		names[i] = c.fields[i].name
	}
	if len(names) == 0 {
		return "none"
	}
	return quotedList(names)
}

// quotedList is names as a sentence lists them: "a", "b" or "c".
func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func wanted(what string, v any) error { return fmt.Errorf("want %s, not %s", what, TypeName(v)) }
