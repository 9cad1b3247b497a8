package condition_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var (
	now       = time.Date(2026, 3, 10, 12, 30, 15, 250_000_000, time.UTC)
	fullScope = condition.NewScope("event", "profile", "session", "payload", "flow", "message", "meta", "row")
)

type failure string // an expected run-time error that contains this text

func TestValue(t *testing.T) {
	const missing = "profile.traits.missing"
	fail := func(s string) failure { return failure(s) }
	for _, c := range []struct {
		source string
		want   any
	}{
		// Reading.
		{`profile.traits.name`, "Ann"},
		{missing, nil},
		{missing + `.deeper.still`, nil},
		{`profile.traits.nil`, nil},
		{`profile.traits.name.first`, nil},
		{`profile.traits["name"]`, "Ann"},
		{`profile["traits"].name`, "Ann"},
		{`profile.traits.m["a-b"]`, int64(2)},
		{`profile.traits.m.for`, int64(3)},
		{`event.properties.for`, "x"},
		{`event.properties["a.b"]`, int64(1)},
		{`profile.traits.list[1]`, "two"},
		{`profile.traits.list[2]`, nil},
		{`profile.traits.list[99]`, nil},
		{`profile.traits.list[-1]`, nil},
		{`profile.traits.list["x"]`, nil},
		{`profile.traits.m[0]`, nil},
		{`profile.traits.m[` + missing + `]`, nil},
		{`profile.traits.list[` + missing + `]`, nil},
		{missing + `[0]`, nil},
		{`profile.traits.list[1.5]`, failure("compile")},
		{`profile.traits.list[profile.traits.score]`, fail("an index")},
		{`profile.traits.orders[0].items[1].q`, int64(7)},
		{`profile.traits[event.properties.for]`, nil},
		{`profile.traits["ÄÖ"]`, "ÄÖ"},
		{`event.session`, nil},
		{`event.tags`, []any{"ecommerce"}},
		{`event.errors`, []any{}},
		{`session.device.type`, "mobile"},
		{`session.geo`, nil},
		{`session.ended`, nil},
		{`session.duration`, int64(600)},
		{`payload.n`, int64(1)},
		{`payload.list`, []any{"x"}},
		{`payload`, map[string]any{"n": int64(1), "list": []any{"x"}}},
		{`flow`, nil},
		{`flow.run`, nil},
		{`message`, "text"},
		{`meta.headers.h`, "v"},
		{`meta.headers["h"] == "v"`, true},
		{`profile.stats.visits`, int64(3)},
		{`profile.stats.views`, int64(0)},
		{`profile.stats.events.order.count`, int64(4)},
		{`profile.stats.events["other"].count`, nil},
		{`profile.stats.events.order.last == now`, true},
		{`profile.stats.last_seen`, now},
		{`profile.identities.email[0]`, "ann@example.com"},
		{`profile.created`, now.Add(-48 * time.Hour)},
		{`now`, now},

		// Equality is by value, whatever the types.
		{`null == null`, true},
		{missing + ` == null`, true},
		{missing + ` != null`, false},
		{`profile.traits.nil == null`, true},
		{`profile.traits.name == null`, false},
		{missing + ` == 5`, false},
		{missing + ` != 5`, true},
		{`profile.traits.name == 5`, false},
		{`profile.traits.name != 5`, true},
		{`profile.traits.age == "41"`, false},
		{`profile.traits.age == 41.0`, true},
		{`profile.traits.list[3] == 3`, true},
		{`profile.traits.vip == true`, true},
		{`profile.traits.vip == 1`, false},
		{`profile.traits.empty == ""`, true},
		{`profile.traits.empty == null`, false},
		{`[1, 2] == [1.0, 2.0]`, true},
		{`profile.traits.list == [1, "two", null, 3, {"k": 1}]`, true},
		{`profile.traits.list != [1]`, true},
		{`profile.traits.m == {"a": 1, "a-b": 2, "for": 3}`, true},
		{`profile.traits.m == {"a": 1, "a-b": 2, "of": 3}`, false},
		{`profile.traits.none == []`, true},

		// Ordering with null or another type is false.
		{`null < 1`, false},
		{`null >= null`, false},
		{missing + ` > 5`, false},
		{missing + ` >= 5`, false},
		{missing + ` < 5`, false},
		{missing + ` <= 5`, false},
		{`5 > ` + missing, false},
		{`5 <= ` + missing, false},
		{missing + ` < ` + missing, false},
		{`profile.traits.name > 5`, false},
		{`profile.traits.name < 5`, false},
		{`profile.traits.vip < 5`, false},
		{`profile.traits.list < 5`, false},
		{`profile.traits.age < "5"`, false},
		{`profile.traits.vip > false`, true},
		{`"a" < "b"`, true},
		{`profile.traits.name >= "Ann"`, true},
		{`"Z" < "a"`, true},
		{`"é" > "z"`, true},

		// Numbers mix and are exact.
		{`profile.counters.orders >= 10`, true},
		{`profile.counters.orders > 10.0`, false},
		{`profile.counters.revenue > 10000`, true},
		{`10000 < profile.counters.revenue`, true},
		{`profile.traits.big == 9007199254740993`, true},
		{`profile.traits.big == 9007199254740992.0`, false},
		{`profile.traits.big > 9007199254740992.0`, true},
		{`profile.traits.huge > 9223372036854775807`, true},
		{`profile.traits.huge == 12345678901234567890u`, true},
		{`profile.traits.huge < 12345678901234567891u`, true},
		{`profile.traits.huge > 1e19`, true},
		{`profile.traits.precise > 0.12345678901234567`, true},
		{`-profile.traits.huge < 0`, true},
		{`1 == 1u`, true},

		// Arithmetic of null is null.
		{missing + ` + 1`, nil},
		{`1 + ` + missing, nil},
		{`"a" + ` + missing, nil},
		{missing + ` - 1`, nil},
		{missing + ` * 2`, nil},
		{missing + ` / 2`, nil},
		{missing + ` % 2`, nil},
		{`-` + missing, nil},
		{`now - ` + missing, nil},
		{`[1] + ` + missing, nil},
		{`null + "x"`, nil},
		{`profile.traits.age + 1`, int64(42)},
		{`profile.traits.age + 0.5`, 41.5},
		{`profile.traits.age / 2`, int64(20)},
		{`profile.traits.age / 2.0`, 20.5},
		{`profile.traits.age % 2`, int64(1)},
		{`profile.traits.huge + 1`, 12345678901234567891.0},
		{`event.properties.total * event.properties.quantity`, 450.75},
		{`"a" + "b"`, "ab"},
		{`[1] + [2]`, []any{int64(1), int64(2)}},
		{`-profile.traits.age`, int64(-41)},
		{`profile.traits.age / 0`, fail("division by zero")},
		{`profile.traits.age % 0`, fail("division by zero")},
		{`9223372036854775807 + profile.traits.age`, fail("does not fit")},
		{`profile.traits.age - 9223372036854775807 - 100`, fail("does not fit")},
		{`profile.traits.age * 9223372036854775807`, fail("does not fit")},
		{`profile.traits.name + 1`, fail("+ is not made for a string and a number")},
		{`profile.traits.name - "x"`, fail("- is not made for")},
		{`-profile.traits.name`, fail("- turns numbers")},
		{`profile.traits.score % 2`, fail("whole numbers")},

		// Conditions: null is false.
		{`!` + missing, true},
		{`!null`, true},
		{`!profile.traits.vip`, false},
		{`!(` + missing + ` > 5)`, true},
		{missing + ` && true`, false},
		{`true && ` + missing, false},
		{missing + ` || true`, true},
		{missing + ` || ` + missing, false},
		{missing + ` ? 1 : 2`, int64(2)},
		{`profile.traits.vip ? "yes" : "no"`, "yes"},
		{`profile.traits.name && true`, fail("this one is a string")},
		{`!profile.traits.name`, fail("this one is a string")},
		{`profile.traits.name ? 1 : 2`, fail("this one is a string")},
		{`profile.traits.name && false`, false},
		{`false && profile.traits.name`, false},
		{`profile.traits.name || true`, true},
		{`true || profile.traits.name`, true},
		{`profile.traits.name || false`, fail("this one is a string")},

		// Functions of null are null.
		{`has(` + missing + `)`, false},
		{`has(profile.traits.name)`, true},
		{`has(profile.traits.nil)`, false},
		{`has(profile.traits.none)`, true},
		{`has(event.traits)`, true},
		{`has(event.session)`, false},
		{`lower(` + missing + `)`, nil},
		{`lower(profile.traits.email) == "ann@example.com"`, true},
		{`lower("ÄÖÜ")`, "äöü"},
		{`lower(profile.traits.age)`, fail("lower takes a text")},
		{`size(` + missing + `)`, nil},
		{`size(profile.traits.list)`, int64(5)},
		{`profile.traits.list.size()`, int64(5)},
		{`size("äö")`, int64(2)},
		{`size(profile.traits.m)`, int64(3)},
		{`size(profile.traits.age)`, fail("size takes")},
		{missing + `.startsWith("A")`, nil},
		{`profile.traits.name.startsWith("A")`, true},
		{`profile.traits.name.startsWith(` + missing + `)`, nil},
		{`profile.traits.name.endsWith("nn")`, true},
		{missing + `.endsWith("nn")`, nil},
		{`profile.traits.name.contains("n")`, true},
		{missing + `.contains("n")`, nil},
		{`profile.traits.age.contains("n")`, fail("contains takes texts")},
		{`profile.traits.name.matches("^A.{2}$")`, true},
		{`matches(profile.traits.name, "b")`, false},
		{missing + `.matches("x")`, nil},
		{`profile.traits.age.matches("4")`, fail("matches takes texts")},

		// fold: case, marks and forms of letters.
		{`fold("ÁÉî Ñ Łódź STRASSE Straße")`, "aei n lodz strasse strasse"},
		{`fold("e\u0301") == fold("É")`, true},
		{`fold("O’Brien – ﬁne Ａ")`, "o'brien - fine a"},
		{`fold("İI")`, "ii"},
		{`fold("ÆØÅ þ đ")`, "aeoa th d"},
		{`fold("ΣΊΣΥΦΟΣ") == fold("σίσυφος")`, true},
		{`fold("й") == fold("и")`, false},
		{`fold("が") == fold("か")`, false},
		{`fold("й")`, "й"},
		{`fold(profile.traits.email) == "ann@example.com"`, true},
		{`fold(` + missing + `)`, nil},
		{`fold(profile.traits.age)`, fail("fold takes a text")},

		// list: one value like a list of one.
		{`list(profile.traits.name)`, []any{"Ann"}},
		{`list(profile.traits.none)`, []any{}},
		{`list(` + missing + `)`, nil},
		{`"Ann" in list(profile.traits.name)`, true},
		{`"two" in list(profile.traits.list)`, true},
		{`!("Ann" in list(profile.traits.age))`, true},
		{`"Ann" in list(` + missing + `)`, false},
		{`list(profile.traits.name).exists(n, n.startsWith("A"))`, true},
		{`"a" in list(profile.traits.m)`, false},

		// Places, in kilometres: Lisbon, Porto; half way round; across the date line.
		{`distance(38.7223, -9.1393, 41.1579, -8.6291) > 274.0 && distance(38.7223, -9.1393, 41.1579, -8.6291) < 275.0`, true},
		{`distance(0, 0, 0, 180) > 20015.0 && distance(0, 0, 0, 180) < 20015.2`, true},
		{`distance(0, 179.5, 0, -179.5) < 112.0`, true},
		{`distance(90, 0, 90, 77)  < 0.001`, true},
		{`distance(38.7, -9.1, 38.7, -9.1)`, 0.0},
		{`distance(` + missing + `, 0, 0, 0)`, nil},
		{`distance(0, 0, ` + missing + `, null)`, nil},
		{`distance(profile.traits.name, 0, 0, 0)`, fail("a latitude is a number of degrees, not a string")},
		{`distance(0, profile.counters.revenue, 0, 0)`, fail("a longitude is between -180 and 180")},
		{`distance(profile.traits.huge, ` + missing + `, 0, 0)`, fail("a latitude is between")},
		{`distance(profile.traits.missing, 0, 0, 0) < 10`, false},

		// Cohorts.
		{`bucket("a", 1)`, int64(0)},
		{`bucket("a", 100) == bucket("a", 100)`, true},
		{`bucket("a", 1000000) == bucket("b", 1000000)`, false},

		// Days begin at midnight of a zone.
		{`day(now)`, time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)},
		{`day("2026-03-10T23:30:00Z", "Europe/Lisbon")`, time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)},
		{`day("2026-03-10T23:30:00Z", "Europe/Berlin")`, time.Date(2026, 3, 10, 23, 0, 0, 0, time.UTC)},
		{`day("2026-03-29T12:00:00Z", "Europe/Berlin")`, time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)},
		{`day("2026-03-30T12:00:00Z", "Europe/Berlin")`, time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC)},
		{`day(now, "-03:00")`, time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)},
		{`day(profile.traits.day) == timestamp("2026-03-09")`, true},
		{`day(event.time) == day(now)`, true},
		{`day(` + missing + `)`, nil},
		{`day(row.blank)`, nil},
		{`day(profile.traits.word)`, fail("is not a time")},
		{`day(profile.traits.age)`, fail("day takes a time, not a number")},

		// in.
		{`1 in [1, 2]`, true},
		{`profile.traits.name in ["Bob", "Ann"]`, true},
		{missing + ` in ["a"]`, false},
		{missing + ` in [null]`, true},
		{`"a" in ` + missing, false},
		{`"two" in profile.traits.list`, true},
		{`1.0 in profile.traits.list`, true},
		{`"a-b" in profile.traits.m`, true},
		{`"z" in profile.traits.m`, false},
		{`1 in profile.traits.m`, false},
		{`"loyal" in profile.segments`, true},
		{`"ecommerce" in event.tags`, true},
		{`"A" in profile.traits.name`, fail("in looks into")},

		// Macros: null is an empty list.
		{missing + `.all(x, x > 1)`, true},
		{missing + `.exists(x, x > 1)`, false},
		{missing + `.exists_one(x, x > 1)`, false},
		{missing + `.filter(x, x > 1)`, []any{}},
		{missing + `.map(x, x)`, []any{}},
		{`profile.traits.list.exists(x, x == "two")`, true},
		{`profile.traits.list.all(x, x != "three")`, true},
		{`profile.traits.list.exists_one(x, x == 3)`, true},
		{`profile.traits.list.filter(x, x > 2)`, []any{int64(3)}},
		{`profile.traits.list.map(x, x.k)`, []any{nil, nil, nil, nil, int64(1)}},
		{`profile.traits.list.map(x, x > 0, x + 1)`, []any{int64(2), int64(4)}},
		{`profile.traits.orders.exists(o, o.items.exists(i, i.q > 5))`, true},
		{`profile.traits.orders.map(o, size(o.items))`, []any{int64(2), int64(0)}},
		{`profile.traits.m.map(k, k)`, []any{"a", "a-b", "for"}},
		{`["a", "z"].exists(c, c in event.properties.cats)`, true},
		{`event.properties.cats.exists(c, c in profile.traits.list)`, false},
		{`profile.traits.name.exists(x, true)`, fail("goes through a list")},
		{`profile.traits.list.exists(x, x.startsWith("t"))`, true},
		{`profile.traits.list.exists(x, x.startsWith("z"))`, fail("startsWith takes texts")},
		{`profile.traits.list.all(x, x.startsWith("z"))`, false},
		{`[1, 2, 3].exists(x, [2].exists(y, x == y))`, true},

		// Times.
		{`event.time < now`, true},
		{`event.time > ago("2m")`, true},
		{`event.time > ago("30s")`, false},
		{`ago("1w") == now - duration("7d")`, true},
		{`profile.traits.day < now`, true},
		{`profile.traits.at == now`, true},
		{`now == profile.traits.at`, true},
		{`profile.traits.at != now`, false},
		{`profile.traits.word < now`, false},
		{`profile.traits.word == now`, false},
		{`profile.traits.word != now`, true},
		{missing + ` < now`, false},
		{`now > ` + missing, false},
		{`profile.traits.age < now`, false},
		{`event.time >= "2026-03-10"`, true},
		{`"2026-03-11" > event.time`, true},
		{`profile.segments.loyal.since == "2026-01-01"`, true},
		{`profile.segments.other.since < now`, false},
		{`now - event.time`, 60.0},
		{`now - profile.traits.day > duration("1d12h")`, true},
		{`now - event.time == duration("60s")`, true},
		{`now + duration("1h") > now`, true},
		{`duration("1h") + duration("30m") == duration("90m")`, true},
		{`duration("1h") > 5 || profile.traits.vip`, failure("compile")},
		{`timestamp("2026-03-10T12:30:15.2509Z") == now`, true},
		{`timestamp(profile.traits.at)`, now},
		{`timestamp(profile.traits.word)`, fail("is not a time")},
		{`timestamp(` + missing + `)`, nil},
		{`timestamp(0)`, time.Unix(0, 0).UTC()},
		{`now.getFullYear()`, int64(2026)},
		{`now.getMonth()`, int64(2)},
		{`now.getDate()`, int64(10)},
		{`now.getDayOfMonth()`, int64(9)},
		{`now.getDayOfWeek()`, int64(2)},
		{`now.getDayOfYear()`, int64(68)},
		{`now.getHours()`, int64(12)},
		{`now.getHours("+05:30")`, int64(18)},
		{`now.getMinutes()`, int64(30)},
		{`now.getSeconds()`, int64(15)},
		{`now.getMilliseconds()`, int64(250)},
		{`(now - event.time).getSeconds()`, int64(60)},
		{`profile.traits.missing.getHours()`, nil},
		{`profile.traits.name.getHours()`, fail("asks a time")},

		// Conversions: empty text is null.
		{`double(row.total)`, 12.5},
		{`double(row.blank)`, nil},
		{`double(row.missing)`, nil},
		{`double(row.bad)`, fail(`"12,5" is not a number`)},
		{`double("nan" + row.missing)`, nil},
		{`double(profile.traits.word)`, fail("is not a number")},
		{`double(profile.traits.vip)`, fail("double takes")},
		{`double(3)`, 3.0},
		{`double("0.1")`, 0.1},
		{`int(row.id)`, int64(42)},
		{`int(row.blank)`, nil},
		{`int(row.total)`, fail("is not a whole number")},
		{`int(2.9)`, int64(2)},
		{`int(-2.9)`, int64(-2)},
		{`int("12345678901234567890")`, json.Number("12345678901234567890")},
		{`int(1e300)`, failure("compile")},
		{`int(profile.created)`, now.Add(-48 * time.Hour).Unix()},
		{`string(42)`, "42"},
		{`string(2.5)`, "2.5"},
		{`string(true)`, "true"},
		{`string(now)`, "2026-03-10T12:30:15.250Z"},
		{`string(duration("1h30m"))`, "1h30m0s"},
		{`string(` + missing + `)`, nil},
		{`string(profile.traits.list)`, fail("string takes one value")},
		{`bool("true")`, true},
		{`bool(row.missing)`, nil},
		{`bool(profile.traits.word)`, fail("neither true nor false")},
		{`duration(profile.traits.word)`, fail("is not a duration")},
		{`timestamp(row.date)`, time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)},

		// What happened before.
		{`count("order")`, int64(4)},
		{`count("order") >= 4`, true},
		{`count("never")`, int64(0)},
		{`count("order", "7d")`, int64(7)},
		{`sum("order", "total")`, int64(10)},
		{`sum("never", "total")`, nil},
		{`sum("order", "total", "2w") > 30`, true},
		{`first("order") < last("order")`, true},
		{`last("never")`, nil},
		{`last("never") < now`, false},
		{`last("order") > ago("1d")`, true},

		// Literals.
		{`{"a": [1, null], "b": {"c": "d"}}`, map[string]any{"a": []any{int64(1), nil}, "b": map[string]any{"c": "d"}}},
		{`{"total": event.properties.total}`, map[string]any{"total": 150.25}},
		{`[event.type, now - event.time]`, []any{"order-completed", 60.0}},
		{`'it''s' == "it" `, failure("compile")},
		{`r"\d" == "\\d"`, true},
		{`"a" // a comment`, "a"},
	} {
		p, err := condition.Compile(c.source, fullScope)
		if c.want == failure("compile") {
			if err == nil {
				t.Errorf("%s compiles", c.source)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.Value(testVars(t))
		if f, fails := c.want.(failure); fails {
			if err == nil || !strings.Contains(err.Error(), string(f)) {
				t.Errorf("%s is %#v, %v; want an error with %q", c.source, got, err, string(f))
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is %#v, %v; want %#v", c.source, got, err, c.want)
		}
		// Of a text no more is decoded than is asked for: it reads the same.
		if read, err := p.Value(textVars(t)); err != nil || string(sdk.AppendValue(nil, read)) != string(sdk.AppendValue(nil, got)) {
			t.Errorf("%s is %#v, %v of documents that are text; want %#v", c.source, read, err, c.want)
		}
	}
}

// A document says the same before and after it was stored: JSON writes a whole
// number without a fraction, however it came to be.
func TestWholeNumbers(t *testing.T) {
	for _, n := range []float64{10, 0, math.Copysign(0, -1), -3, 1 << 53, 1.152921504606847e18, -1e19, 1e20, 1e21, 1e300, 2.5, 1e-7} {
		before := map[string]any{"n": n, "list": []any{n}}
		text := sdk.AppendValue(nil, before)
		after, err := sdk.ParseObject(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{
			`payload.n`, `payload.n / 4`, `payload.n % 3`, `-payload.n`, `payload.n * 3`, `int(payload.n)`, `double(payload.n)`, `string(payload.n)`, `timestamp(payload.n)`,
			`[1, 2, 3][payload.n]`, `payload.list.map(x, x / 4)`, `1.0 / (payload.n * 2)`, `payload.n + 0.5`, `payload.list[0] / 4`, `payload["n"] / 4`,
		} {
			p, err := condition.Compile(source, condition.NewScope("payload"))
			if err != nil {
				t.Fatal(err)
			}
			want, wantErr := p.Value(&condition.Vars{Payload: before})
			for form, payload := range map[string]any{"decoded": after, "text": sdk.RawView(text)} {
				got, gotErr := p.Value(&condition.Vars{Payload: payload})
				if !reflect.DeepEqual(got, want) || (gotErr == nil) != (wantErr == nil) {
					t.Errorf("%s of %v is %#v (%v), and %#v (%v) %s", source, n, want, wantErr, got, gotErr, form)
				}
			}
		}
	}
}

// A document that was decoded from its JSON reads like the one in memory.
func TestDecodedDocument(t *testing.T) {
	v := testVars(t)
	decoded := *v
	decoded.Event = document(t, string(v.Event.(*sdk.Event).AppendJSON(nil)))
	decoded.Profile = document(t, string(v.Profile.(*sdk.Profile).AppendJSON(nil)))
	decoded.Session = document(t, string(v.Session.(*sdk.Session).AppendJSON(nil)))
	for _, source := range []string{
		`event.time`, `event.received`, `event.traits`, `event.context`, `event.tags`, `event.errors`, `event.session`,
		`event.properties.total`, `profile.created`, `profile.updated`, `profile.stats.first_seen`, `profile.stats.visits`,
		`profile.stats.events.order.first`, `profile.counters.revenue`, `profile.traits.huge`, `profile.traits.precise`,
		`profile.ids`, `profile.revision`, `session.duration`, `session.ended`, `session.device`, `session.context`, `session.geo`,
	} {
		p, err := condition.Compile(source, fullScope)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := p.Value(v)
		b, errB := p.Value(&decoded)
		if errA != nil || errB != nil || string(sdk.AppendValue(nil, a)) != string(sdk.AppendValue(nil, b)) {
			t.Errorf("%s is %#v (%v) in memory and %#v (%v) decoded", source, a, errA, b, errB)
		}
		if _, isTime := a.(time.Time); isTime && !reflect.DeepEqual(a, b) {
			t.Errorf("%s is %v in memory and %#v decoded", source, a, b)
		}
	}
}

func TestBool(t *testing.T) {
	for _, c := range []struct {
		source string
		want   bool
		fails  string
	}{
		{`profile.counters.orders >= 10`, true, ""},
		{`profile.traits.missing`, false, ""},
		{`null`, false, ""},
		{`profile.traits.vip`, true, ""},
		{`profile.traits.name`, false, "this one is a string"},
		{`profile.traits.name.startsWith(5)`, false, "compile"},
		{`profile.traits.age / 0 > 1`, false, "division by zero"},
		{`!(profile.traits.age / 0 > 1)`, false, "division by zero"},
	} {
		p, err := condition.Compile(c.source, fullScope)
		if c.fails == "compile" {
			if err == nil {
				t.Errorf("%s compiles", c.source)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Source() != c.source {
			t.Errorf("source of %s is %s", c.source, p.Source())
		}
		got, err := p.Bool(testVars(t))
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s is %v, %v", c.source, got, err)
		}
	}
}

// Whatever is missing, a condition is false or true, and never panics.
func TestNothingThere(t *testing.T) {
	for _, vars := range []*condition.Vars{
		nil, {},
		{Event: (*sdk.Event)(nil), Profile: (*sdk.Profile)(nil), Session: (*sdk.Session)(nil)},
		{Event: "text", Profile: int64(1), Row: []any{}, Meta: math.NaN()},
		{Profile: struct{}{}},
	} {
		for _, source := range []string{
			`event.type == "a" || profile.traits.x > 1 || session.duration > 5`, `has(event)`, `has(profile.stats)`, `"x" in profile.segments`,
			`event.tags.exists(t, t == "x")`, `count("x") > 0`, `profile.stats.visits > 0`, `row.a == 1`,
		} {
			p, err := condition.Compile(source, fullScope)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Bool(vars)
			if got && source != `has(event)` || err != nil && source != `has(event)` {
				t.Errorf("%s over %+v is %v, %v", source, vars, got, err)
			}
		}
	}
}

// One program serves many goroutines, each with documents of its own.
func TestConcurrentUse(t *testing.T) {
	p, err := condition.Compile(`profile.traits.list.exists(x, x == "two") && event.time > ago("2m") && count("order") == payload.n`, fullScope)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 8 {
		v := testVars(t)
		v.Payload = map[string]any{"n": n}
		wg.Go(func() {
			for range 500 {
				if got, err := p.Bool(v); got != (n == 4) || err != nil {
					t.Errorf("with %d it is %v, %v", n, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAggregates(t *testing.T) {
	p, err := condition.Compile(`count("a") > 1 && count("a", "7d") > 1 && count("a") < 5 && sum("b", "total", "1h") > 2 && has(first("c")) && has(last("c"))`, condition.ProfileScope)
	if err != nil {
		t.Fatal(err)
	}
	want := []condition.Aggregate{
		{Func: condition.Count, Type: "a"},
		{Func: condition.Count, Type: "a", Window: 7 * 24 * time.Hour},
		{Func: condition.Sum, Type: "b", Property: "total", Window: time.Hour},
		{Func: condition.First, Type: "c"},
		{Func: condition.Last, Type: "c"},
	}
	if got := p.Aggregates(); !reflect.DeepEqual(got, want) {
		t.Errorf("aggregates are %+v", got)
	}
}

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "2w": 14 * day, "1w2d12h": 9*day + 12*time.Hour,
		"1.5d": 36 * time.Hour, "-1d2h": -26 * time.Hour, "-2w": -14 * day, "0s": 0, "0d": 0, "250ms": 250 * time.Millisecond,
		"+1d": day,
	} {
		if got, err := condition.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "7", "d", "7 d", "7days", "1y", "seven", "-", "--1d", "1d-2h", "1e9d", "99999999w", "NaNd", "1d1"} {
		if got, err := condition.ParseDuration(s); err == nil {
			t.Errorf("%q is %v, want an error", s, got)
		}
	}
}

// What a condition reads is known, so that one that reads the event alone can
// be asked before the profile is there.
func TestVariables(t *testing.T) {
	for _, test := range []struct{ source, want string }{
		{"true", ""},
		{"now > timestamp('2026-01-01')", ""},
		{"event.properties.total > 100 && event.time > ago('1d')", "event"},
		{"event.properties.items.exists(profile_item, profile_item == 'tea')", "event"},
		{"profile.traits.vip || event.type == 'a' || event.id == 'b'", "event profile"},
		{"true || session.id == 's'", "session"},
		{"count('a') > 1", "profile"},
		{"event.type == 'a' && first('a') == null", "event profile"},
		{"payload.x == flow.run", "flow payload"},
	} {
		p, err := condition.CompileCondition(test.source, fullScope)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Variables(), " "); got != test.want {
			t.Errorf("%s reads %q, want %q", test.source, got, test.want)
		}
	}
}
