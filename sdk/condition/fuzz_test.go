package condition_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var seeds = []string{
	``, `true`, `event.type == "a"`, `profile.counters.orders >= 10 && !has(event.session)`, `count("a", "7d") > 3`, `sum("a", "b") * 2.5`,
	`event.tags.exists(t, t.startsWith("x"))`, `profile.traits.list.map(x, x > 0, x + 1)[0]`, `event.time > ago("7d") ? [1] : {"a": null}`,
	`lower(profile.traits["a-b"]).matches("^a.*$")`, `row.x == 'it\'s'`, `"""a""" in [r"\d", b"x"]`, `((((`, `a.b.c`, `1 + + 1`, `{{ x }}`,
	`now - timestamp("2026-01-01") > duration("1w")`, `-9223372036854775808 / -1`, `1u % 0u`, `x = 1`, `profile.traits.orders.exists(o, o.items.exists(i, i.q > 5))`,
	"event.type ==\n// comment\n\"a\"", `[1].all(a, [2].exists_one(b, a == b))`, `fold(event.type) in list(payload.a)`, `distance(session.geo.lat, session.geo.lon, 38.7, -9) < 5`, `bucket("x", 10) < 3`, `day(now, "+02:00") > day("2026-01-01")`, `int("99999999999999999999")`, `0x7fffffffffffffff + 0`,
}

// Whatever the text is, it compiles or gives an error that names its place;
// what compiles runs without a panic and searches what it says.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	v := testVars(f)
	f.Fuzz(func(t *testing.T, source string) {
		began := time.Now()
		defer func() {
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		}()
		tpl, err := condition.CompileTemplate(source, fullScope)
		checkError(t, source, err)
		if err == nil {
			if _, err := tpl.Value(v); err != nil && tpl.Literal() {
				t.Errorf("literal template fails: %v", err)
			}
		}
		p, err := condition.Compile(source, fullScope)
		checkError(t, source, err)
		if err != nil {
			return
		}
		for _, vars := range []*condition.Vars{v, {}, nil} {
			if got, err := p.Bool(vars); got && err != nil {
				t.Errorf("%q is true with the error %v", source, err)
			}
			value, err := p.Value(vars)
			if err == nil {
				sdk.AppendValue(nil, value)
			}
		}
		_, err = p.Predicate(now)
		checkError(t, source, err)
	})
}

func checkError(t *testing.T, source string, err error) {
	if err == nil {
		return
	}
	var e *condition.Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("%q gives a %T: %v", source, err, err)
	case e.Line < 1 || e.Column < 1 || e.Line > 1+strings.Count(source, "\n"):
		t.Errorf("%q: the error is at line %d, column %d: %v", source, e.Line, e.Column, err)
	case e.Message == "" || utf8.ValidString(source) && !utf8.ValidString(err.Error()):
		t.Errorf("%q gives an error without words: %q", source, err)
	}
}

// Any expression of the grammar over any document is true or false, and a
// negation is the contrary unless it failed.
func TestBoolNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := expression(t, 4)
		p, err := condition.Compile(source, fullScope)
		if err != nil {
			return
		}
		v := &condition.Vars{
			Event:   map[string]any{"type": value(t, 2), "properties": map[string]any{"a": value(t, 3), "b": value(t, 3)}, "time": value(t, 1)},
			Profile: map[string]any{"traits": value(t, 3), "stats": value(t, 3), "segments": value(t, 3)},
			Payload: value(t, 3), Now: now,
		}
		is, err := p.Bool(v)
		if is && err != nil {
			t.Fatalf("%s is true with the error %v", source, err)
		}
		if _, err := p.Value(v); err != nil && !strings.Contains(err.Error(), "condition ") {
			t.Fatalf("%s: %v", source, err)
		}
		negation, compileErr := condition.Compile("!("+source+")", fullScope)
		if compileErr != nil {
			return
		}
		not, notErr := negation.Bool(v)
		if (err == nil) != (notErr == nil) || err == nil && is == not {
			t.Fatalf("%s is %v (%v), and its negation %v (%v)", source, is, err, not, notErr)
		}
	})
}

func value(t *rapid.T, depth int) any {
	kinds := 9
	if depth > 0 {
		kinds = 11
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2, 3:
		return rapid.SampledFrom([]any{int64(0), int64(1), int64(-1), int64(1) << 53, int64(math.MaxInt64), int64(math.MinInt64), 7}).Draw(t, "int")
	case 4, 5:
		return rapid.SampledFrom([]any{0.5, 1.0, 1e300, -1e-300, 9007199254740992.0}).Draw(t, "float")
	case 6:
		return sdk.ParseNumber(rapid.SampledFrom([]string{"12345678901234567890", "-1e999", "0.12345678901234567890123", "1e-999"}).Draw(t, "number"))
	case 7, 8:
		return rapid.SampledFrom([]string{"", "a", "A", "ä", "2026-01-01", "2026-01-01T00:00:00Z", "12", "\x00"}).Draw(t, "text")
	case 9:
		return struct{}{}
	case 10:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "length") {
		m[rapid.SampledFrom([]string{"a", "b", "events", "since"}).Draw(t, "key")] = value(t, depth-1)
	}
	return m
}

func expression(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{
			"null", "true", "false", "0", "1", "-1.5", `"a"`, `""`, "now", `ago("1d")`, `duration("1h")`, "[]", `[1, "a", null]`, `{"a": 1}`,
			"event.type", "event.time", "event.properties.a", "event.properties.b", "profile.traits.a", "profile.traits.a.b", "profile.stats.events.a.count",
			"profile.stats.visits", "profile.segments.a.since", "payload", "payload.a", "payload[0]", `count("a")`, `last("a")`, `sum("a", "b")`, "event", "session.duration", `bucket("a", 3)`, `distance(event.properties.a, payload.a, profile.traits.a, 5)`,
		}).Draw(t, "leaf")
	}
	sub := func() string { return "(" + expression(t, rapid.IntRange(0, depth-1).Draw(t, "depth")) + ")" }
	switch rapid.IntRange(0, 6).Draw(t, "form") {
	case 0:
		return sub() + rapid.SampledFrom([]string{"&&", "||"}).Draw(t, "op") + sub()
	case 1:
		return rapid.SampledFrom([]string{"!", "-", "has", "size", "lower", "fold", "list", "day", "double", "int", "string", "bool", "timestamp", "duration"}).Draw(t, "op") + sub()
	case 2:
		return sub() + " " + rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">=", "in"}).Draw(t, "op") + " " + sub()
	case 3:
		return sub() + rapid.SampledFrom([]string{"+", "-", "*", "/", "%"}).Draw(t, "op") + sub()
	case 4:
		return sub() + "?" + sub() + ":" + sub()
	case 5:
		return sub() + rapid.SampledFrom([]string{".startsWith", ".endsWith", ".contains"}).Draw(t, "method") + sub()
	}
	switch rapid.IntRange(0, 2).Draw(t, "part") {
	case 0:
		return sub() + "[" + sub() + "]"
	case 1:
		return sub() + "." + rapid.SampledFrom([]string{"a", "getHours()", `matches("a")`}).Draw(t, "field")
	}
	name := rapid.SampledFrom([]string{"all", "exists", "exists_one", "filter", "map"}).Draw(t, "macro")
	return sub() + "." + name + "(x, " + rapid.SampledFrom([]string{"x > 0", `x == "a"`, "x", "x.a == null"}).Draw(t, "body") + ")"
}
