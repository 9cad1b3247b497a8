package condition_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct {
		name, source string
		scope        condition.Scope
		line, column int
		message      string // of the error
		wayOut       string // what it must say besides
	}{
		{"empty", "  ", fullScope, 1, 1, "empty", "true"},
		{"unknown variable", `profil.traits.x > 1`, fullScope, 1, 1, "unknown name profil", "event, profile, session"},
		{"unquoted text", `event.type == order`, fullScope, 1, 15, "unknown name order", `"order"`},
		{"variable out of scope", `event.type == "a"`, condition.ProfileScope, 1, 1, "event is not known here", "profile, now"},
		{"row out of scope", `row.x == "a"`, condition.EventScope, 1, 1, "row is not known here", "event"},
		{"unknown field of profile", "true &&\n  profile.foo > 1", fullScope, 2, 10, "unknown field profile.foo", "profile.traits"},
		{"unknown field in brackets", `profile["foo"]`, fullScope, 1, 8, "unknown field profile.foo", "counters"},
		{"unknown field of event", `event.total > 5`, fullScope, 1, 6, "unknown field event.total", "event.properties"},
		{"unknown field of session", `session.foo`, fullScope, 1, 8, "unknown field session.foo", "duration"},
		{"unknown field of statistics", `profile.stats.visit > 1`, fullScope, 1, 14, "unknown field profile.stats.visit", "first_seen"},
		{"unknown field of a type's statistics", `profile.stats.events.order.counts > 1`, fullScope, 1, 27, "unknown field profile.stats.events.order.counts", "count, first, last"},
		{"unknown field of a membership", `profile.segments["a-b"].until < now`, fullScope, 1, 24, `unknown field profile.segments`, "since"},
		{"text that is no time in a list for a time", `event.time in ["2026-01-01", "soon"]`, fullScope, 1, 15, "a time is looked for", "RFC 3339"},
		{"field of a text", `event.type.x`, fullScope, 1, 11, "has no field x", ""},
		{"number with text", `1 < "a"`, fullScope, 1, 3, "a number never compares with a string", "double(x)"},
		{"number equals text", `5 == "5"`, fullScope, 1, 3, "never compares", "convert"},
		{"text field with number", `event.type > 5`, fullScope, 1, 12, "a string never compares with a number", ""},
		{"time with number", `event.time > 5`, fullScope, 1, 12, "a time never compares with a number", ""},
		{"time with bad text", `event.time > "soon"`, fullScope, 1, 14, "beside a time", "RFC 3339"},
		{"lists have no order", `[1] < [2]`, fullScope, 1, 5, "no order", "=="},
		{"number as operand of &&", `5 && true`, fullScope, 1, 1, "&& joins conditions, this is a number", "has(x)"},
		{"text as operand of !", `!"a"`, fullScope, 1, 2, "! joins conditions, this is a string", ""},
		{"list before ?", `[1] ? 1 : 2`, fullScope, 1, 1, "joins conditions", ""},
		{"text plus number", `"a" + 1`, fullScope, 1, 5, "+ is not made for a string and a number", "string(x)"},
		{"minus text", `-"a"`, fullScope, 1, 1, "- turns numbers", ""},
		{"modulo of double", `5.0 % 2.0`, fullScope, 1, 5, "% is not made for", ""},
		{"division by zero", `1 / 0`, fullScope, 1, 3, "division by zero", ""},
		{"overflow", `9223372036854775807 + 1`, fullScope, 1, 21, "does not fit", ""},
		{"integer literal", `92233720368547758070 > 1`, fullScope, 1, 1, "invalid int literal", ""},
		{"method of number", `(5).startsWith("a")`, fullScope, 1, 2, "startsWith takes texts, not a number", "string(x)"},
		{"argument of method", `event.type.contains(5)`, fullScope, 1, 21, "contains takes texts, not a number", ""},
		{"nullable field of another type", `session.ended > 5`, fullScope, 1, 15, "a time never compares with a number", ""},
		{"function of a nullable field", `lower(session.ended) == "a"`, fullScope, 1, 6, "lower takes a string, not a time", ""},
		{"arithmetic of a nullable field", `event.session + 1 > 5`, fullScope, 1, 15, "+ is not made for a string and a number", ""},
		{"in a number", `5 in 5`, fullScope, 1, 3, "in looks into a list or a map", ""},
		{"in a text", `"a" in event.type`, fullScope, 1, 5, "in looks into", "contains"},
		{"in values of another type", `event.type in [1, 2]`, fullScope, 1, 12, "a string is never one of these", "string(x)"},
		{"literal in values of another type", `5 in ["a", "b"]`, fullScope, 1, 3, "a number is never one of these", ""},
		{"fold of number", `fold(5) == "a"`, fullScope, 1, 5, "fold takes a string, not a number", ""},
		{"fold as method", `event.type.fold() == "a"`, fullScope, 1, 16, "fold is no method", "fold(x)"},
		{"list compared with a text", `list(event.type) == "a"`, fullScope, 1, 18, "a list never compares with a string", ""},
		{"list of nothing", `list() == []`, fullScope, 1, 5, "list takes one value, not 0", "list(x)"},
		{"distance of two values", `distance(session.geo.lat, session.geo.lon) < 5`, fullScope, 1, 9, "takes the latitude and longitude of two points", "distance(session"},
		{"distance of texts", `distance("38", "9", 1, 2) < 5`, fullScope, 1, 10, "a latitude is a number of degrees, not a string", ""},
		{"latitude beyond the pole", `distance(session.geo.lat, session.geo.lon, 91, 0) < 5`, fullScope, 1, 44, "a latitude is between -90 and 90 degrees", ""},
		{"longitude beyond the date line", `distance(session.geo.lat, session.geo.lon, 0, -180.5) < 5`, fullScope, 1, 47, "a longitude is between -180 and 180 degrees", ""},
		{"distance compared with a text", `distance(session.geo.lat, session.geo.lon, 0, 0) < "5 km"`, fullScope, 1, 50, "a number never compares with a string", ""},
		{"bucket without a profile", `bucket("a", 10) < 1`, condition.RowScope, 1, 7, "there is no profile here", "row"},
		{"bucket without a number", `bucket("a") < 1`, fullScope, 1, 7, "a name and a number of buckets, not 1", "bucket("},
		{"bucket of a field", `bucket(profile.traits.a, 10) < 1`, fullScope, 1, 22, "written out", ""},
		{"bucket without a name", `bucket("", 10) < 1`, fullScope, 1, 8, "written out", ""},
		{"no buckets", `bucket("a", 0) < 1`, fullScope, 1, 13, "from 1 to 1000000", ""},
		{"buckets of a field", `bucket("a", profile.counters.n) < 1`, fullScope, 1, 29, "written out", ""},
		{"too many buckets", `bucket("a", 1000001) < 1`, fullScope, 1, 13, "from 1 to 1000000", ""},
		{"day of number", `day(5) > now`, fullScope, 1, 5, "day takes a time, not a number", "day(now)"},
		{"day of nothing", `day() > now`, fullScope, 1, 4, "day takes a time", "day(now"},
		{"day of a bad text", `day("soon") > now`, fullScope, 1, 4, "is not a time", ""},
		{"day in no zone", `day(now, "Mars/Base") > now`, fullScope, 1, 10, "time zone", "Europe/Paris"},
		{"day in a zone of the machine", `day(now, "Local") > now`, fullScope, 1, 10, "depends on the machine", ""},
		{"day in a zone of a field", `day(now, event.properties.z) > now`, fullScope, 1, 26, "written out", ""},
		{"size of number", `size(5)`, fullScope, 1, 5, "size takes", ""},
		{"lower of number", `lower(5) == "a"`, fullScope, 1, 6, "lower takes a string, not a number", ""},
		{"unknown function", `upper(event.type) == "A"`, fullScope, 1, 6, "unknown function upper", "lower"},
		{"unknown method", `event.type.upper() == "A"`, fullScope, 1, 17, "unknown method upper", "startsWith"},
		{"function as method", `event.type.lower() == "a"`, fullScope, 1, 17, "lower is no method", "lower(x)"},
		{"method as function", `startsWith(event.type, "a")`, fullScope, 1, 11, "startsWith is called on a value", "x.startsWith"},
		{"macro as function", `exists(event.tags, "a")`, fullScope, 1, 7, "exists is called on a value", ""},
		{"too many arguments", `lower("a", "b")`, fullScope, 1, 6, "lower takes one value, not 2", ""},
		{"bad pattern", `event.type.matches("(")`, fullScope, 1, 20, "missing closing )", "RE2"},
		{"look-ahead", `event.type.matches("(?=a)")`, fullScope, 1, 20, "invalid or unsupported", "RE2"},
		{"pattern from a field", `event.type.matches(event.properties.p)`, fullScope, 1, 36, "a pattern is written out", ""},
		{"pattern of many repetitions", `event.type.matches("(a{1,900}b{1,900}c{1,900})")`, fullScope, 1, 20, "repetitions", ""},
		{"long pattern", `event.type.matches("` + strings.Repeat("a", 600) + `")`, fullScope, 1, 20, "longer than 512", ""},
		{"bad window", `count("a", "7 days") > 1`, fullScope, 1, 12, "not a duration", "7d"},
		{"empty window", `count("a", "0s") > 1`, fullScope, 1, 12, "longer than nothing", ""},
		{"negative window", `count("a", "-1d") > 1`, fullScope, 1, 12, "longer than nothing", "count("},
		{"window of a field", `count("a", event.properties.w) > 1`, fullScope, 1, 28, "written out", "7d"},
		{"type of a field", `count(event.type) > 1`, fullScope, 1, 12, "written out", ""},
		{"count of nothing", `count() > 1`, fullScope, 1, 6, "count does not take 0 values", ""},
		{"sum without property", `sum("a") > 1`, fullScope, 1, 4, "sum does not take 1 values", "total"},
		{"sum of bad property", `sum("a", "x..y") > 1`, fullScope, 1, 10, "empty name", ""},
		{"last with window", `last("a", "7d") > now`, fullScope, 1, 5, "last does not take 2 values", ""},
		{"count without profile", `count("a") > 1`, condition.RowScope, 1, 6, "there is no profile here", "row"},
		{"ago of nonsense", `event.time > ago("soon")`, fullScope, 1, 18, "not a duration", "7d"},
		{"ago of a field", `event.time > ago(event.properties.x)`, fullScope, 1, 34, "written out", "ago("},
		{"ago ahead", `event.time > ago("-1d")`, fullScope, 1, 18, "ago looks back", "now +"},
		{"bad timestamp", `timestamp("soon") > now`, fullScope, 1, 10, "is not a time", "RFC 3339"},
		{"bad zone", `now.getHours("Mars/Base") > 1`, fullScope, 1, 14, "time zone", "Europe/Paris"},
		{"macro without name", `event.tags.exists("x", true)`, fullScope, 1, 18, "takes a name", "list.exists(x"},
		{"macro with one argument", `event.tags.exists(x)`, fullScope, 1, 18, "takes a name", ""},
		{"macro over text", `event.type.exists(x, true)`, fullScope, 1, 18, "goes through a list", ""},
		{"macro named like a variable", `event.tags.exists(event, event == "x")`, fullScope, 1, 18, "is a variable already", "another name"},
		{"macro of no condition", `event.tags.exists(x, 5)`, fullScope, 1, 22, "takes a condition, this is a number", ""},
		{"loop variable outside", `event.tags.exists(x, x == "a") && x == "b"`, fullScope, 1, 35, "unknown name x", ""},
		{"message type", `Foo{a: 1}`, fullScope, 1, 4, "no message types", ""},
		{"bytes", `b"a" == event.type`, fullScope, 1, 1, "no bytes", ""},
		{"key of a map", `{1: 2}`, fullScope, 1, 2, "a key of a map is a text", ""},
		{"double key", `{"a": 1, "a": 2}`, fullScope, 1, 10, "stands twice", ""},
		{"single =", `event.type = "a"`, fullScope, 1, 12, "token recognition error", "=="},
		{"and", `true and false`, fullScope, 1, 6, "mismatched input", "&&"},
		{"open quote", `event.type == "a`, fullScope, 1, 15, "token recognition error", "close the quote"},
		{"open parenthesis", `(true || false`, fullScope, 1, 15, "missing ')'", "parenthesis"},
		{"reserved key", `event.properties.in == 1`, fullScope, 1, 18, "no viable alternative", `["in"]`},
		{"number as key", `event.properties.2x == 1`, fullScope, 1, 17, "mismatched input", `["2x"]`},
		{"too long", `event.type == "` + strings.Repeat("x", 5000) + `"`, fullScope, 1, 1, "at most 4096 bytes", ""},
		{"too deep", strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), fullScope, 1, 1, "recursion", "split"},
		{"too many nodes", "[" + strings.Repeat("1,", 1500) + "1]", fullScope, 1, 2000, "more than 1000 parts", "split"},
		{"not UTF-8", "event.type == \"\xff\"", fullScope, 1, 1, "not UTF-8", ""},
		{"loop in a loop", `profile.traits.a.exists(x, profile.traits.b.exists(y, x == y))`, fullScope, 1, 24, "steps", "one list only"},
		{"loop over a built list", `profile.traits.a.map(x, [x, x]).exists(y, y.exists(z, z == 1))`, fullScope, 1, 39, "steps", ""},
		{"loops over literals", `[1,2,3,4,5,6,7,8,9,0].all(a, [1,2,3,4,5,6,7,8,9,0].all(b, [1,2,3,4,5,6,7,8,9,0].all(c, [1,2,3,4,5,6,7,8,9,0].all(d, [1,2,3,4,5,6,7,8,9,0].all(e, a+b+c+d+e == event.properties.x)))))`, fullScope, 1, 26, "steps", ""},
		{"nine loops", strings.Repeat("[1].all(x, ", 9) + "true" + strings.Repeat(")", 9), fullScope, 1, 96, "more than 8 loops", ""},
	} {
		_, err := condition.Compile(c.source, c.scope)
		var e *condition.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %s gives %v", c.name, c.source, err)
			continue
		}
		if e.Source != c.source || !strings.Contains(e.Message, c.message) || !strings.Contains(e.WayOut, c.wayOut) && !strings.Contains(e.Message, c.wayOut) {
			t.Errorf("%s: %v", c.name, err)
		}
		if e.Line != c.line || e.Column != c.column {
			t.Errorf("%s: at line %d, column %d; want %d, %d: %v", c.name, e.Line, e.Column, c.line, c.column, err)
		}
		if len(c.source) < 1000 && len(err.Error()) > 700 {
			t.Errorf("%s: the message has %d bytes: %v", c.name, len(err.Error()), err)
		}
	}
}

func TestCompileCondition(t *testing.T) {
	for source, ok := range map[string]bool{
		`event.type == "a"`: true, `event.valid`: true, `event.properties.flag`: true, `null`: true, `event.type.contains("a")`: true,
		`event.type`: false, `1 + 1`: false, `event.time`: false, `size(event.tags)`: false, `count("a")`: false, `event.tags`: false,
	} {
		if _, err := condition.CompileCondition(source, fullScope); (err == nil) != ok {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// A document can be larger than the estimate assumes; the bound holds then too.
func TestStepsAreBounded(t *testing.T) {
	list := make([]any, 300_000)
	for i := range list {
		list[i] = int64(i)
	}
	v := &condition.Vars{Event: &sdk.Event{Properties: sdk.NewObject(map[string]any{"list": list, "text": strings.Repeat("ab", 500_000)})}}
	for _, c := range []struct {
		source string
		fails  bool
	}{
		{`event.properties.list.exists(x, x == 299999)`, false},
		{`event.properties.list.exists(x, x in event.properties.list && x > 2000)`, true},
		{`!event.properties.list.exists(x, -1 in event.properties.list)`, true},
		{`[1,2,3,4,5].exists(x, event.properties.list == event.properties.list && x > 5)`, true},
		{`[1,2,3,4,5,6,7,8,9].all(x, event.properties.text + event.properties.text != "x")`, true},
		{`[1,2,3].all(x, event.properties.text.matches("b$"))`, true},
		{`event.properties.text.contains("ba")`, false},
	} {
		p, err := condition.Compile(c.source, fullScope)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, err := p.Bool(v)
		if (err != nil) != c.fails || got == c.fails {
			t.Errorf("%s is %v, %v", c.source, got, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %v", c.source, took)
		}
	}
}

func TestTemplateAsText(t *testing.T) {
	template, err := condition.CompileTemplate(`https://x/{{ payload.a }}?b={{ payload.b }}`, condition.NewScope("payload"))
	if err != nil {
		t.Fatal(err)
	}
	vars := &condition.Vars{Payload: map[string]any{"a": now, "b": []any{int64(1)}}}
	got, err := template.Text(vars, func(before, value string) string { return "<" + before + "|" + value + ">" })
	want := `https://x/<https://x/|2026-03-10T12:30:15.250Z>?b=<https://x/<https://x/|2026-03-10T12:30:15.250Z>?b=|[1]>`
	if got != want || err != nil || template.Prefix() != "https://x/" {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct {
		source string
		want   any
	}{
		{``, ""},
		{`plain`, "plain"},
		{`{{ profile.counters.orders }}`, int64(10)},
		{`{{profile.traits.vip}}`, true},
		{`{{ profile.traits.missing }}`, nil},
		{`{{ profile.traits.m }}`, map[string]any{"a": int64(1), "a-b": int64(2), "for": int64(3)}},
		{`{{ now }}`, now},
		{` {{ now }}`, " 2026-03-10T12:30:15.250Z"},
		{`Hello {{ profile.traits.name }}!`, "Hello Ann!"},
		{`Hello {{ profile.traits.missing }}!`, "Hello !"},
		{`{{ profile.traits.name }}{{ profile.counters.orders }}`, "Ann10"},
		{`{{ event.properties.total }}/{{ profile.traits.vip }}/{{ event.tags }}`, `150.25/true/["ecommerce"]`},
		{`{{ {"a": {"b": 1}} }}`, map[string]any{"a": map[string]any{"b": int64(1)}}},
		{`{{ "}}" }}.`, "}}."},
		{`{{ '"}}' + r'\' + """}}" """ }}.`, `"}}\}}" .`},
		{`{{ "{{" }} and }}`, "{{ and }}"},
		{`{ not } one`, "{ not } one"},
		{"ä {{ 'ö\\'}}' }} ü", "ä ö'}} ü"},
	} {
		tpl, err := condition.CompileTemplate(c.source, fullScope)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := tpl.Value(testVars(t))
		if err != nil || string(sdk.AppendValue(nil, got)) != string(sdk.AppendValue(nil, c.want)) || typeOf(got) != typeOf(c.want) {
			t.Errorf("%s is %#v, %v; want %#v", c.source, got, err, c.want)
		}
		if tpl.Source() != c.source || tpl.Literal() == strings.Contains(c.source, "{{") {
			t.Errorf("%s: source %s, literal %v", c.source, tpl.Source(), tpl.Literal())
		}
	}
	for _, c := range []struct {
		source       string
		line, column int
		message      string
	}{
		{`Hello {{ profile.foo }}`, 1, 17, "unknown field profile.foo"},
		{"ä\nö {{\n profile.foo }}", 3, 9, "unknown field profile.foo"},
		{"ä\nö {{ profile.foo }}", 2, 13, "unknown field profile.foo"},
		{`a {{ profile.traits.x`, 1, 3, "has no end"},
		{`a {{ "x }}`, 1, 3, "has no end"},
		{`{{ }}`, 1, 3, "empty"},
		{`{{ a } }`, 1, 1, "has no end"},
		{"\xff", 1, 1, "UTF-8"},
	} {
		_, err := condition.CompileTemplate(c.source, fullScope)
		var e *condition.Error
		if !errors.As(err, &e) || e.Line != c.line || e.Column != c.column || !strings.Contains(e.Message, c.message) || e.Source != c.source {
			t.Errorf("%q: %v", c.source, err)
		}
	}
	tpl, err := condition.CompileTemplate(`{{ profile.traits.age / 0 }}`, fullScope)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := tpl.Value(testVars(t)); err == nil {
		t.Errorf("division by zero is %v", v)
	}
	tpl, err = condition.CompileTemplate(`{{ count("a") }} {{ count("a") + count("b") }}`, fullScope)
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.Aggregates(); len(got) != 2 || got[1].Type != "b" {
		t.Errorf("aggregates are %v", got)
	}
}

func typeOf(v any) string { return sdk.TypeName(v) }
