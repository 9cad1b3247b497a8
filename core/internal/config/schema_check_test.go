package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tributary-bus/tributary/sdk"
)

// readSchema compiles a schema that must be right.
func readSchema(t testing.TB, text string) *Schema {
	t.Helper()
	nodes, err := readJSON([]byte(text))
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	s, err := compileSchema(nodes[0])
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func TestCheck(t *testing.T) {
	for _, test := range []struct{ name, schema, sure, library, wrong string }{
		// What the check is sure of, what the library finds right, and wrong;
		// each an array of values.
		{"anything", `{}`, `[null, true, 1, 1.5, 123456789012345678901234567890, "a", [], {}]`, `[]`, `[]`},
		{"true", `true`, `[null, 1, {}]`, `[]`, `[]`},
		{"false", `false`, `[]`, `[]`, `[null, 1, {}]`},
		{"notes", `{"$comment": "a", "title": "b", "description": "c", "default": 1, "examples": [1], "deprecated": true, "readOnly": true,
			"writeOnly": true, "$id": "urn:a", "$anchor": "b", "$defs": {"x": {"not": {}}}, "unit": "kg", "format": "email"}`, `[1, "a"]`, `[]`, `[]`},

		{"null", `{"type": "null"}`, `[null]`, `[]`, `[false, 0, ""]`},
		{"boolean", `{"type": "boolean"}`, `[true, false]`, `[]`, `[null, 0, "true"]`},
		{"integer", `{"type": "integer"}`, `[0, -1, 1.0, 1e3, -0.0, 1e300, 9223372036854775807]`,
			`[9223372036854775808, 1e400]`, `[1.5, 1e-9, 0.1000000000000000055511151231257827, "1", true]`},
		{"number", `{"type": "number"}`, `[0, 1.5, 1e400, 123456789012345678901234567890]`, `[]`, `["1", null, [1]]`},
		{"string", `{"type": "string"}`, `["", "a"]`, `[]`, `[1, null, ["a"]]`},
		{"array", `{"type": "array"}`, `[[], [1, "a"]]`, `[]`, `[{}, "a"]`},
		{"object", `{"type": "object"}`, `[{}, {"a": 1}]`, `[]`, `[[], null]`},
		{"several types", `{"type": ["null", "integer"]}`, `[null, 1]`, `[]`, `[1.5, "a"]`},

		{"const", `{"const": 1}`, `[1, 1.0, 1e0]`, `[]`, `[2, 1.0000000001, "1", true, null, [1]]`},
		{"const of a long number", `{"const": 9007199254740993}`, `[9007199254740993]`, `[]`, `[9007199254740992, 9007199254740992.0]`},
		{"const of a tenth", `{"const": 0.10}`, `[0.1]`, `[]`, `[0.10000000000000001, 0.1000000000000000055511151231257827]`},
		{"const of an array", `{"const": [1]}`, `[]`, `[[1], [1.0]]`, `[[], 1]`},
		{"enum", `{"enum": [null, true, "a", 2, 0.5, {"b": 1}]}`, `[null, true, "a", 2, 2.0, 0.5, 5e-1]`, `[{"b": 1}]`, `[false, "", "b", 0, 3, {}, []]`},
		{"no enum", `{"enum": []}`, `[]`, `[]`, `[1, null]`},
		{"enum and const", `{"enum": ["a", "b"], "const": "b"}`, `["b"]`, `[]`, `["a", "c"]`},
		{"enum and type", `{"enum": ["a", 1], "type": "string"}`, `["a"]`, `[]`, `[1, "b"]`},

		{"minimum", `{"minimum": 0.1}`, `[0.1, 1, 0.10000000000000002, "a"]`, `[1e400]`, `[0.09999999999999999, 0, -1, -1e400]`},
		{"maximum", `{"maximum": 9007199254740993}`, `[9007199254740993, 9007199254740992.0, -1e300]`, `[-1e400]`, `[9007199254740994, 9007199254740994.0]`},
		{"exclusive", `{"exclusiveMinimum": 0, "exclusiveMaximum": 1}`, `[0.5, 5e-324, 0.9999999999999999]`, `[]`, `[0, 1, -0.0, 1.0]`},
		{"beyond int64", `{"minimum": -9223372036854775809, "exclusiveMaximum": 9223372036854775808}`,
			`[-9223372036854775808, 9223372036854775807]`, `[-9223372036854775809]`, `[9223372036854775808, 1e19]`},
		{"beyond float64", `{"maximum": 1e400}`, `[1.7976931348623157e308, 9223372036854775807]`, `[1e399]`, `[1e401]`},

		{"length", `{"minLength": 2, "maxLength": 3}`, `["ab", "äöü", "😀😀", 1]`, `[]`, `["a", "ä", "abcd"]`},
		{"pattern", `{"pattern": "^[a-z]+$"}`, `["abc", 1]`, `[]`, `["", "ABC", "ä"]`},

		{"items", `{"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}`, `[[1], [1, 2], "a"]`, `[[9223372036854775808]]`, `[[], [1, 2, 3], ["a"], [1, 1.5]]`},
		{"no items", `{"items": false}`, `[[]]`, `[]`, `[[1]]`},
		{"items of draft 7", `{"$schema": "http://json-schema.org/draft-07/schema#", "items": {"type": "string"}}`, `[[], ["a"]]`, `[]`, `[[1]]`},
		{"items of draft 7, each its own", `{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}`, `[]`, `[[], ["a", 1]]`, `[[1]]`},

		{"required", `{"required": ["a", "b"], "properties": {"a": {"type": "string"}}}`, `[{"a": "x", "b": null}, 1]`, `[]`, `[{}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 1}]`},
		{"size", `{"minProperties": 1, "maxProperties": 2}`, `[{"a": 1}, {"a": 1, "b": 2}]`, `[]`, `[{}, {"a": 1, "b": 2, "c": 3}]`},
		{"closed", `{"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": false}`, `[{"a": 1}, {"a": 1, "b": 1}]`, `[]`, `[{"a": 1, "c": 1}, {"b": 1}]`},
		{"requires what is closed out", `{"required": ["a"], "additionalProperties": false}`, `[]`, `[]`, `[{}, {"a": 1}]`},
		{"open", `{"properties": {"a": {"type": "string"}}, "additionalProperties": true}`, `[{"a": "x", "c": 1}]`, `[]`, `[{"a": 1}]`},
		{"others", `{"properties": {"a": {}}, "additionalProperties": {"type": "integer"}}`, `[{}, {"a": "x"}, {"a": "x", "b": 1}]`, `[{"b": 9223372036854775808}]`, `[{"b": "x"}]`},
		{"required others", `{"required": ["b"], "additionalProperties": {"type": "integer"}}`, `[{"b": 1}]`, `[]`, `[{"b": "x"}]`},

		{"unknown below", `{"properties": {"a": {"multipleOf": 2}, "b": {"type": "string"}}}`, `[{}, {"b": "x"}]`, `[{"a": 4}]`, `[{"a": 3}, {"b": 1}]`},
		{"unknown", `{"type": "integer", "allOf": [{}]}`, `[]`, `[1]`, `["a"]`},
		{"not", `{"not": {"type": "string"}}`, `[]`, `[1]`, `["a"]`},
		{"any of", `{"anyOf": [{"type": "string"}, {"minimum": 1}]}`, `[]`, `["a", 1]`, `[0]`},
		{"names", `{"propertyNames": {"maxLength": 1}}`, `[]`, `[{"a": 1}]`, `[{"ab": 1}]`},
		{"patterns of names", `{"patternProperties": {"a": {"type": "string"}}, "additionalProperties": false}`, `[]`, `[{"ab": "x"}]`, `[{"ab": 1}, {"b": 1}]`},
		{"dependent", `{"dependentRequired": {"a": ["b"]}}`, `[]`, `[{"a": 1, "b": 1}]`, `[{"a": 1}]`},
		{"unevaluated", `{"properties": {"a": {}}, "unevaluatedProperties": false}`, `[]`, `[{"a": 1}]`, `[{"b": 1}]`},
		{"unique", `{"uniqueItems": true}`, `[]`, `[[1, 2]]`, `[[1, 1.0]]`},
		{"contains", `{"contains": {"const": 1}}`, `[]`, `[[2, 1]]`, `[[2]]`},
		{"places", `{"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}`, `[]`, `[["a", 1]]`, `[[1, 1]]`},
		{"reference", `{"properties": {"a": {"$ref": "#"}}}`, `[{}]`, `[{"a": {"a": {}}}]`, `[]`},
		{"format of draft 7", `{"$schema": "http://json-schema.org/draft-07/schema#", "format": "ipv4"}`, `[]`, `["127.0.0.1"]`, `["a"]`},
		{"exclusive of draft 4", `{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}`, `[2, 1.1]`, `[]`, `[1]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := readSchema(t, test.schema)
			for _, class := range []struct {
				values      string
				sure, valid bool
			}{{test.sure, true, true}, {test.library, false, true}, {test.wrong, false, false}} {
				list, err := sdk.ParseValue([]byte(class.values))
				if err != nil {
					t.Fatal(err)
				}
				for _, value := range list.([]any) {
					if got := s.check.sure(value); got != class.sure {
						t.Errorf("%T %v: sure is %v", value, value, got)
					}
					want, got := s.library.Validate(value), s.Validate(value)
					if (want == nil) != class.valid || !sameError(got, want) {
						t.Errorf("%T %v: %v, the library says %v", value, value, got, want)
					}
				}
			}
		})
	}
}

// sameError compares what the library says, which it says in any order.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	lines := func(err error) []string {
		list := strings.Split(err.Error(), "\n")
		slices.Sort(list)
		return list
	}
	return slices.Equal(lines(a), lines(b))
}

// What JSON has no word for does not come out of package sdk; should it come
// from elsewhere, then the library is asked.
func TestCheckIsNotSureOfWhatIsNoJSON(t *testing.T) {
	s := readSchema(t, `{"properties": {"a": {}}}`)
	for _, value := range []any{1, uint64(1), float32(1), struct{}{}, []string{"a"}, map[string]string{}, json.RawMessage("1")} {
		if s.check.sure(value) || s.check.sure(map[string]any{"a": value}) {
			t.Errorf("sure of a %T", value)
		}
	}
}

// Fields that the library may get must be looked at: does a check know them?
func TestEveryFieldOfTheLibraryHasItsPlace(t *testing.T) {
	left := []string{
		"Ref", "RecursiveRef", "DynamicRef", "Not", "AllOf", "AnyOf", "OneOf", "If", "Then", "Else", "Format",
		"PropertyNames", "PatternProperties", "Dependencies", "DependentRequired", "DependentSchemas", "UnevaluatedProperties",
		"UniqueItems", "Contains", "MinContains", "MaxContains", "AdditionalItems", "PrefixItems", "UnevaluatedItems",
		"ContentEncoding", "ContentMediaType", "ContentSchema", "MultipleOf", "Extensions",
	}
	places := map[string]int{}
	for _, name := range slices.Concat(checkedFields, silentFields, left) {
		places[name]++
	}
	for field := range reflect.TypeFor[jsonschema.Schema]().Fields() {
		if !field.IsExported() {
			continue
		}
		if places[field.Name] != 1 {
			t.Errorf("%s is in %d of the lists of what a check knows, what decides nothing and what is left to the library", field.Name, places[field.Name])
		}
		delete(places, field.Name)
		if !slices.Contains(left, field.Name) {
			continue
		}
		s := &jsonschema.Schema{}
		fill(t, reflect.ValueOf(s).Elem().FieldByIndex(field.Index))
		if newCheck(s).sure(nil) {
			t.Errorf("a check does not know %s and is sure", field.Name)
		}
	}
	if len(places) != 0 {
		t.Errorf("the library has no such fields: %v", places)
	}
}

// fill sets a field to something that is not its zero value.
func fill(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
	case reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), 1, 1))
	case reflect.Map:
		field.Set(reflect.MakeMap(field.Type()))
	case reflect.Interface:
		field.Set(reflect.ValueOf(true))
	default:
		t.Fatalf("no value for a field of %v", field.Type())
	}
}

// Typical schemas are what the check is for.
func TestCheckIsSureOfTypicalEvents(t *testing.T) {
	s := readSchema(t, orderSchema)
	value, err := sdk.ParseObject([]byte(order))
	if err != nil {
		t.Fatal(err)
	}
	if !s.check.sure(value) {
		t.Errorf("not sure: %v", s.Validate(value))
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.Validate(value) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const (
	orderSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Order", "type": "object",
	"required": ["total", "currency", "items"], "additionalProperties": false,
	"properties": {
		"total": {"type": "number", "minimum": 0, "description": "with tax"},
		"currency": {"enum": ["EUR", "SEK", "USD"]},
		"country": {"type": "string", "minLength": 2, "maxLength": 2, "pattern": "^[A-Z]+$"},
		"coupon": {"type": ["string", "null"]},
		"version": {"const": 2},
		"items": {"type": "array", "minItems": 1, "maxItems": 100, "items": {
			"type": "object", "required": ["sku", "quantity", "price"], "properties": {
				"sku": {"type": "string"}, "quantity": {"type": "integer", "exclusiveMinimum": 0}, "price": {"type": "number"}}}},
		"labels": {"type": "object", "additionalProperties": {"type": "string"}}
	}}`
	order = `{"total": 59.85, "currency": "EUR", "country": "SE", "coupon": null, "version": 2, "labels": {"till": "4", "shop": "Malmö"},
		"items": [{"sku": "A-1", "quantity": 2, "price": 19.95}, {"sku": "B-22", "quantity": 1, "price": 19.95}]}`
)

func BenchmarkSchema(b *testing.B) {
	s := readSchema(b, orderSchema)
	value, err := sdk.ParseObject([]byte(order))
	if err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name     string
		validate func(any) error
	}{{"library", s.library.Validate}, {"check", s.Validate}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := way.validate(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestExtremeNumbersAreNotShownToTheLibrary has numbers that it would write out
// with a million digits, or panic at.
func TestExtremeNumbersAreNotShownToTheLibrary(t *testing.T) {
	s := readSchema(t, `{"properties": {"list": {"items": {"properties": {"n": {"minimum": 5}}}}}}`)
	for literal, valid := range map[string]bool{
		"1e10000000": false, "1e-10000000": false, "-1E+99999999999999999999": false, "1e1001": false, "1e999": true, "7": true,
	} {
		v, err := sdk.ParseValue([]byte(`{"list":[{"n":` + literal + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Validate(v)
		if (err == nil) != valid {
			t.Errorf("%s: %v", literal, err)
		}
		if !valid && !strings.Contains(err.Error(), "list.0.n has an exponent") {
			t.Errorf("%s: %v", literal, err)
		}
	}
}
