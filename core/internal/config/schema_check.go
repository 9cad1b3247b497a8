package config

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A check is a schema of the library's in the form that answers fastest: a tree
// that is walked along with a value and allocates nothing. It knows the common
// keywords of the types that package sdk reads JSON into. Where it is not sure,
// because the value is wrong, or of another type, or below a keyword that it
// does not know, the library has the last word.
//
// The zero check is sure of nothing.
type check struct {
	types   typeSet
	choices []choice // of const and enum: the value must be in each
	// of an object
	size       span
	properties []property
	declared   map[string]*jsonschema.Schema // the properties that are not others
	others     *check                        // nil: anything
	// of an array
	count span
	items []*check // each of which every item must pass
	// of a string
	length  span // in code points
	pattern jsonschema.Regexp
	// of a number
	limits []limit
}

// A property is one that a schema declares, requires, or both.
type property struct {
	name     string
	required bool
	check    *check // nil: not declared
}

// The fields of the library's schema that a check knows, and those that decide
// nothing: notes for people, and names that only references care about. A
// schema that sets any other is left to the library, and so are fields that a
// later version of it may bring.
var (
	checkedFields = []string{
		"Bool", "Types", "Enum", "Const",
		"MinProperties", "MaxProperties", "Required", "Properties", "AdditionalProperties",
		"MinItems", "MaxItems", "Items", "Items2020",
		"MinLength", "MaxLength", "Pattern",
		"Minimum", "Maximum", "ExclusiveMinimum", "ExclusiveMaximum",
	}
	silentFields = []string{
		"DraftVersion", "Location", "ID", "Anchor", "RecursiveAnchor", "DynamicAnchor",
		"Title", "Description", "Default", "Comment", "ReadOnly", "WriteOnly", "Examples", "Deprecated",
	}
)

// newCheck makes the check of a schema. Without references, which it does not
// know, schemas are trees: it ends.
func newCheck(s *jsonschema.Schema) *check {
	if !checkable(s) || s.Bool != nil && !*s.Bool {
		return &check{}
	}
	if s.Bool != nil {
		return &check{types: anyType, size: anySize, count: anySize, length: anySize}
	}
	c := &check{
		types:      newTypeSet(s.Types),
		size:       newSpan(s.MinProperties, s.MaxProperties),
		properties: newProperties(s),
		declared:   s.Properties,
		count:      newSpan(s.MinItems, s.MaxItems),
		length:     newSpan(s.MinLength, s.MaxLength),
		pattern:    s.Pattern,
		limits:     newLimits(s),
	}
	if s.Enum != nil {
		c.choices = append(c.choices, newChoice(s.Enum.Values))
	}
	if s.Const != nil {
		c.choices = append(c.choices, newChoice([]any{*s.Const}))
	}
	switch others := s.AdditionalProperties.(type) {
	case nil:
	case bool:
		if !others {
			c.others = &check{}
		}
	case *jsonschema.Schema:
		c.others = newCheck(others)
	default:
		return &check{}
	}
	if s.Items2020 != nil {
		c.items = append(c.items, newCheck(s.Items2020))
	}
	switch items := s.Items.(type) { // of the drafts before 2020-12
	case nil:
	case *jsonschema.Schema:
		c.items = append(c.items, newCheck(items))
	default: // one for each place
		return &check{}
	}
	return c
}

// checkable tells whether a schema itself, apart from those within it, sets
// nothing that a check does not know.
func checkable(s *jsonschema.Schema) bool {
	for field, value := range reflect.ValueOf(s).Elem().Fields() {
		if field.IsExported() && !value.IsZero() &&
			!slices.Contains(checkedFields, field.Name) && !slices.Contains(silentFields, field.Name) {
			return false
		}
	}
	return true
}

func newProperties(s *jsonschema.Schema) []property {
	var list []property
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		list = append(list, property{name, slices.Contains(s.Required, name), newCheck(s.Properties[name])})
	}
	for _, name := range s.Required {
		if _, ok := s.Properties[name]; !ok {
			list = append(list, property{name, true, nil})
		}
	}
	return list
}

// sure tells whether the value is certainly valid. False says nothing.
func (c *check) sure(value any) bool {
	if c.types&typesOf(value) == 0 {
		return false
	}
	for i := range c.choices {
		if !c.choices[i].has(value) {
			return false
		}
	}
	switch v := value.(type) {
	case string:
		return (c.length == anySize || c.length.has(utf8.RuneCountInString(v))) &&
			(c.pattern == nil || c.pattern.MatchString(v))
	case int64:
		for i := range c.limits {
			if !c.limits[i].allows(c.limits[i].orderInt(v)) {
				return false
			}
		}
	case float64:
		for i := range c.limits {
			if !c.limits[i].allows(c.limits[i].orderFloat(v)) {
				return false
			}
		}
	case json.Number:
		return len(c.limits) == 0
	case []any:
		return c.sureList(v)
	case map[string]any:
		return c.sureObject(v)
	}
	return true
}

func (c *check) sureList(list []any) bool {
	if !c.count.has(len(list)) {
		return false
	}
	for _, items := range c.items {
		for _, item := range list {
			if !items.sure(item) {
				return false
			}
		}
	}
	return true
}

func (c *check) sureObject(object map[string]any) bool {
	if !c.size.has(len(object)) {
		return false
	}
	declared := 0
	for i := range c.properties {
		p := &c.properties[i]
		value, ok := object[p.name]
		switch {
		case !ok && p.required:
			return false
		case ok && p.check != nil:
			if !p.check.sure(value) {
				return false
			}
			declared++
		}
	}
	if c.others == nil || declared == len(object) {
		return true
	}
	for name, value := range object {
		if _, ok := c.declared[name]; !ok && !c.others.sure(value) {
			return false
		}
	}
	return true
}

// A typeSet is a set of the types of JSON Schema.
type typeSet byte

const (
	typeNull typeSet = 1 << iota
	typeBoolean
	typeInteger
	typeNumber
	typeString
	typeArray
	typeObject

	anyType = typeNull | typeBoolean | typeInteger | typeNumber | typeString | typeArray | typeObject
)

var typeNames = map[string]typeSet{
	"null": typeNull, "boolean": typeBoolean, "integer": typeInteger, "number": typeNumber,
	"string": typeString, "array": typeArray, "object": typeObject,
}

func newTypeSet(types *jsonschema.Types) typeSet {
	if types == nil || types.IsEmpty() {
		return anyType
	}
	var set typeSet
	for _, name := range types.ToStrings() {
		set |= typeNames[name]
	}
	return set
}

// typesOf lists the types that a value certainly has; none: it is not of those
// that package sdk reads JSON into.
func typesOf(value any) typeSet {
	switch v := value.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case int64:
		return typeInteger | typeNumber
	case float64:
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return 0
		case v == math.Trunc(v):
			return typeInteger | typeNumber // 1.0 is an integer
		}
		return typeNumber
	case json.Number:
		return typeNumber // it may be an integer too
	case string:
		return typeString
	case []any:
		return typeArray
	case map[string]any:
		return typeObject
	}
	return 0
}

// A span bounds a size, at both ends included.
type span struct{ least, most int }

var anySize = span{0, math.MaxInt}

func newSpan(least, most *int) span {
	s := anySize
	if least != nil {
		s.least = *least
	}
	if most != nil {
		s.most = *most
	}
	return s
}

func (s span) has(n int) bool { return n >= s.least && n <= s.most }

// A choice is a list of values without its arrays, objects and numbers that
// nothing equals.
type choice struct {
	null, no, yes bool
	texts         map[string]bool
	numbers       []bound
}

func newChoice(values []any) choice {
	c := choice{texts: map[string]bool{}}
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			c.null = true
		case bool:
			c.yes, c.no = c.yes || v, c.no || !v
		case string:
			c.texts[v] = true
		default:
			if number, ok := rational(v); ok {
				c.numbers = append(c.numbers, newBound(number))
			}
		}
	}
	return c
}

func (c *choice) has(value any) bool {
	switch v := value.(type) {
	case nil:
		return c.null
	case bool:
		return v && c.yes || !v && c.no
	case string:
		return c.texts[v]
	case int64:
		return slices.ContainsFunc(c.numbers, func(n bound) bool { return n.orderInt(v) == 0 })
	case float64:
		return slices.ContainsFunc(c.numbers, func(n bound) bool { return n.orderFloat(v) == 0 })
	}
	return false
}
