package config

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
)

// A check must never be sure of what the library refuses. Of a schema that it
// knows whole, it must be sure of all that the library takes.
func TestCheckAgreesWithTheLibrary(t *testing.T) {
	for _, test := range []struct {
		name  string
		known bool
	}{{"keywords that a check knows", true}, {"all keywords", false}} {
		t.Run(test.name, func(t *testing.T) {
			var values, sure, valid int
			for seed := range uint64(800) {
				g := &generator{rand.New(rand.NewPCG(seed, 0)), test.known}
				form := g.root(3)
				text := sdk.AppendValue(nil, form)
				s := readSchema(t, string(text))
				for range 20 {
					value := g.value(form, 4)
					is, want := s.check.sure(value), s.library.Validate(value)
					if is && want != nil || test.known && !is && want == nil {
						t.Fatalf("seed %d: %s of %s: sure is %v, the library says %v", seed, sdk.AppendValue(nil, value), text, is, want)
					}
					values++
					if is {
						sure++
					}
					if want == nil {
						valid++
					}
				}
			}
			// Values that are all wrong, or schemas that are all unknown, would test nothing.
			t.Logf("%d values, %d valid, of %d of them sure", values, valid, sure)
			if valid < values/5 || valid > values*4/5 || sure < valid/5 {
				t.Errorf("of %d values only %d are valid, and %d surely so", values, valid, sure)
			}
		})
	}
}

// A generator makes schemas and values that are about as often right as wrong.
type generator struct {
	*rand.Rand
	known bool // only what a check knows and is sure of
}

func (g *generator) once(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

var (
	someNames = []string{"a", "b", "c", "ä"}
	someTexts = []string{"", "a", "b", "ä", "abc", "ÄÖ", "😀", "a b"}
	// The numbers are at the edges of what int64 and float64 hold.
	someNumbers = []string{
		"0", "-0.0", "1", "1.0", "-1", "2", "3", "1.5", "0.1", "0.3", "0.30000000000000004", "1e3", "1000", "1e-7", "1e20", "1e21",
		"9007199254740991", "9007199254740992.0", "9007199254740993", "9223372036854775807", "-9223372036854775808",
		"5e-324", "-5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "-1.7976931348623157e308",
	}
	// longNumbers are those that package sdk leaves as they are written.
	longNumbers = []string{
		"9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "1e400", "-1e400", "1e-400",
		"0.1000000000000000055511151231257827", "2.5e-324", "9007199254740993.5",
	}
)

func (g *generator) number() any {
	switch g.IntN(5) {
	case 0:
		return int64(g.Uint64() >> g.IntN(64))
	case 1:
		if f := math.Float64frombits(g.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case 2:
		if !g.known {
			return sdk.ParseNumber(pick(g, longNumbers...))
		}
	}
	return sdk.ParseNumber(pick(g, someNumbers...))
}

// root makes a schema that stands for itself, of so many levels at most.
func (g *generator) root(depth int) any {
	s, ok := g.schema(depth).(map[string]any)
	if !ok {
		return true
	}
	if !g.known {
		s["$defs"] = map[string]any{"x": g.schema(0)}
	}
	return s
}

// schema makes a schema within another.
func (g *generator) schema(depth int) any {
	if g.once(20) {
		return !g.once(4)
	}
	s := map[string]any{}
	below := func() any { return g.schema(depth - 1) }
	set := func(in int, name string, value func() any) {
		if g.once(in) {
			s[name] = value()
		}
	}
	bound := func() any {
		if g.once(3) {
			return sdk.ParseNumber(pick(g, longNumbers...))
		}
		return g.number()
	}
	size := func() any { return int64(g.IntN(3)) }
	names := func() any { return []any{pick(g, someNames...)} }
	set(2, "type", func() any {
		types := []any{pick(g, "null", "boolean", "integer", "number", "string", "array", "object")}
		if g.once(2) {
			types = append(types, pick(g, "object", "array"))
		}
		return slices.Compact(types)
	})
	set(10, "const", func() any { return g.plain(g.depthOfConstants()) })
	set(8, "enum", func() any {
		list := make([]any, 1+g.IntN(4))
		for i := range list {
			list[i] = g.plain(g.depthOfConstants())
		}
		return list
	})
	set(6, "minimum", bound)
	set(6, "maximum", bound)
	set(12, "exclusiveMinimum", bound)
	set(12, "exclusiveMaximum", bound)
	set(6, "minLength", size)
	set(6, "maxLength", size)
	set(6, "pattern", func() any { return pick(g, "^a", "[a-z]$", "ä", "^[^a]*$") })
	set(6, "minItems", size)
	set(6, "maxItems", size)
	set(8, "minProperties", size)
	set(8, "maxProperties", size)
	set(2, "required", names)
	if depth > 0 {
		set(2, "items", below)
		set(1, "properties", func() any {
			properties := map[string]any{}
			for range g.IntN(4) {
				properties[pick(g, someNames...)] = below()
			}
			return properties
		})
		set(3, "additionalProperties", below)
	}
	if g.known || !g.once(3) {
		return s
	}
	if depth > 0 {
		several := func() any { return []any{below(), below()} }
		set(6, "allOf", several)
		set(6, "anyOf", several)
		set(6, "oneOf", several)
		set(6, "not", below)
		set(6, "if", below)
		set(6, "then", below)
		set(6, "else", below)
		set(6, "prefixItems", several)
		set(6, "contains", below)
		set(6, "unevaluatedItems", below)
		set(6, "unevaluatedProperties", below)
		set(6, "propertyNames", below)
		set(6, "patternProperties", func() any { return map[string]any{"[ab]": below()} })
		set(6, "dependentSchemas", func() any { return map[string]any{"a": below()} })
		set(6, "$ref", func() any { return "#/$defs/x" })
		set(6, "$dynamicRef", func() any { return "#/$defs/x" })
	}
	set(6, "dependentRequired", func() any { return map[string]any{"a": names()} })
	set(6, "uniqueItems", func() any { return true })
	set(6, "multipleOf", func() any { return pick[any](g, int64(2), 0.1, 1.5) })
	return s
}

// depthOfConstants keeps arrays and objects out of schemas that a check must
// know whole.
func (g *generator) depthOfConstants() int {
	if g.known {
		return 0
	}
	return 1
}

// plain makes any value, of so many levels at most.
func (g *generator) plain(depth int) any {
	kinds := 4
	if depth > 0 {
		kinds = 6
	}
	switch g.IntN(kinds) {
	case 0:
		return pick[any](g, nil, true, false)
	case 1:
		if !g.known && g.once(8) {
			return "1" // which the library finds equal to the number; a check does not
		}
		return pick(g, someTexts...)
	case 2, 3:
		return g.number()
	case 4:
		list := make([]any, g.IntN(3))
		for i := range list {
			list[i] = g.plain(depth - 1)
		}
		return list
	}
	object := map[string]any{}
	for range g.IntN(3) {
		object[pick(g, someNames...)] = g.plain(depth - 1)
	}
	return object
}

// value makes a value that has something of the schema's.
func (g *generator) value(schema any, depth int) any {
	s, _ := schema.(map[string]any)
	if s == nil || depth == 0 || g.once(12) {
		return g.plain(min(depth, 1))
	}
	if value, ok := s["const"]; ok && !g.once(5) {
		return value
	}
	if list, ok := s["enum"].([]any); ok && !g.once(5) {
		return pick(g, list...)
	}
	kind := pick(g, "string", "number", "array", "object", "object")
	if types, ok := s["type"].([]any); ok {
		kind = pick(g, types...).(string)
	}
	switch kind {
	case "null":
		return nil
	case "boolean":
		return g.once(2)
	case "string":
		return pick(g, someTexts...)
	case "integer", "number":
		for _, name := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
			if value, ok := s[name]; ok && g.once(2) {
				return g.near(value)
			}
		}
		return g.number()
	case "array":
		list := make([]any, g.IntN(3))
		for i := range list {
			list[i] = g.value(s["items"], depth-1)
		}
		return list
	}
	object := map[string]any{}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range someNames {
		if below, ok := properties[name]; ok && !g.once(4) {
			object[name] = g.value(below, depth-1)
		}
	}
	if g.once(3) {
		object[pick(g, someNames...)] = g.value(s["additionalProperties"], depth-1)
	}
	if required, ok := s["required"].([]any); ok && !g.once(4) {
		name := required[0].(string)
		if _, ok := object[name]; !ok {
			below, ok := properties[name]
			if !ok {
				below = s["additionalProperties"]
			}
			object[name] = g.value(below, depth-1)
		}
	}
	return object
}

// near makes an int64 or float64 that is a number, or next to it.
func (g *generator) near(number any) any {
	switch v := number.(type) {
	case int64:
		if g.once(2) {
			return float64(v)
		}
		return v + int64(g.IntN(3)) - 1
	case float64:
		return pick(g, v, math.Nextafter(v, 0), math.Nextafter(v, 1e308), math.Round(v))
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return g.number()
}

// The order of an int64 or a float64 to a bound is that of the decimals.
func TestBoundOrdersAsDecimalsDo(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(1, 2)), false}
	equal := 0
	for range 50_000 {
		number := g.number()
		want, ok := rational(number)
		if !ok {
			t.Fatalf("%v is no number", number)
		}
		if g.once(8) { // a bound that no float64 is, in between two of them
			want.Add(want, new(big.Rat).SetFrac64(int64(g.IntN(3)-1), 1<<62))
		}
		b := newBound(want)
		value := g.near(number)
		decimal, ok := rational(value)
		if !ok {
			continue
		}
		var got int
		switch v := value.(type) {
		case int64:
			got = b.orderInt(v)
		case float64:
			got = b.orderFloat(v)
		default:
			continue
		}
		if order := decimal.Cmp(want); got != order {
			t.Fatalf("%T %v to %s: got %d, want %d", value, value, want.RatString(), got, order)
		} else if order == 0 {
			equal++
		}
	}
	if equal < 1000 {
		t.Errorf("only %d equal", equal)
	}
}

// huge is a number that takes the library long, or that it cannot compare.
var huge = regexp.MustCompile(`[eE][+-]?0*[1-9][0-9]{3}`)

func FuzzSchema(f *testing.F) {
	f.Add([]byte(orderSchema), []byte(order))
	for seed := range uint64(20) {
		g := &generator{rand.New(rand.NewPCG(seed, 1)), seed%2 == 0}
		schema := g.root(2)
		f.Add(sdk.AppendValue(nil, schema), sdk.AppendValue(nil, g.value(schema, 3)))
	}
	f.Fuzz(func(t *testing.T, schema, text []byte) {
		if len(schema) > 1<<12 || len(text) > 1<<12 || huge.Match(schema) || huge.Match(text) {
			return
		}
		nodes, err := readJSON(bytes.TrimSpace(schema))
		if err != nil || len(nodes) != 1 {
			return
		}
		s, err := compileSchema(nodes[0])
		if err != nil {
			return
		}
		value, err := sdk.ParseValue(text)
		if err != nil {
			return
		}
		if err := s.library.Validate(value); err != nil && s.Validate(value) == nil {
			t.Fatalf("accepted: %v", err)
		}
	})
}
