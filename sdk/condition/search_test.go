package condition_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestPredicate(t *testing.T) {
	type (
		And     = condition.And
		Or      = condition.Or
		Not     = condition.Not
		Const   = condition.Const
		Compare = condition.Compare
		Field   = condition.Field
	)
	at := func(path ...string) Field { return Field{Path: sdk.Path(path)} }
	moment := func(path ...string) Field { return Field{Path: sdk.Path(path), Time: true} }
	equal := func(v any, path ...string) Compare {
		return Compare{Field: at(path...), Op: condition.Equal, Value: v}
	}
	lower := Field{Path: sdk.Path{"traits", "a"}, As: condition.Lowered}
	folded := Field{Path: sdk.Path{"traits", "a"}, As: condition.Folded}
	listed := Field{Path: sdk.Path{"traits", "a"}, As: condition.Listed}
	segments := Field{Path: sdk.Path{"segments"}, Missing: map[string]any{}}
	profile, event, session := condition.ProfileScope, condition.EventScope, condition.SessionScope
	for _, c := range []struct {
		source string
		scope  condition.Scope
		want   condition.Predicate
	}{
		{`true`, profile, Const(true)},
		{`null`, profile, Const(false)},
		{`1 < 2 && now > ago("1d")`, profile, Const(true)},
		{`profile.counters.orders >= 10`, profile, Compare{Field: at("counters", "orders"), Op: condition.GreaterOrEqual, Value: int64(10)}},
		{`10 <= profile.counters.orders`, profile, Compare{Field: at("counters", "orders"), Op: condition.GreaterOrEqual, Value: int64(10)}},
		{`profile.traits["a-b"].c == "x"`, profile, equal("x", "traits", "a-b", "c")},
		{`profile.traits.a != 5`, profile, Not{Of: equal(int64(5), "traits", "a")}},
		{`profile.traits.a == null`, profile, Not{Of: condition.Exists{Field: at("traits", "a")}}},
		{`has(profile.traits.a)`, profile, condition.Exists{Field: at("traits", "a")}},
		{`has(profile.traits)`, profile, Const(true)},
		{`profile.traits.a < null`, profile, Const(false)},
		{`profile.traits.vip`, profile, condition.Truth{Field: at("traits", "vip")}},
		{`!profile.traits.vip`, profile, Not{Of: condition.Truth{Field: at("traits", "vip")}}},
		{`profile.traits.a == 1 && (profile.traits.b == 2 && profile.traits.c == 3)`, profile,
			And{equal(int64(1), "traits", "a"), equal(int64(2), "traits", "b"), equal(int64(3), "traits", "c")}},
		{`profile.traits.a == 1 || profile.traits.b == 2 && profile.traits.c == 3`, profile,
			Or{equal(int64(1), "traits", "a"), And{equal(int64(2), "traits", "b"), equal(int64(3), "traits", "c")}}},
		{`has(profile.traits.a) ? profile.traits.b == 1 : profile.traits.c == 2`, profile, Or{
			And{condition.Exists{Field: at("traits", "a")}, equal(int64(1), "traits", "b")},
			And{Not{Of: condition.Exists{Field: at("traits", "a")}}, equal(int64(2), "traits", "c")},
		}},
		{`profile.traits.a in ["x", 1, null]`, profile,
			Or{Not{Of: condition.Exists{Field: at("traits", "a")}}, condition.In{Field: at("traits", "a"), Values: []any{"x", int64(1)}}}},
		{`profile.traits.a in []`, profile, Const(false)},
		{`"loyal" in profile.segments`, profile, condition.Has{Field: segments, Value: "loyal"}},
		{`["a", "b"].exists(v, v in profile.segments)`, profile,
			Or{condition.Has{Field: segments, Value: "a"}, condition.Has{Field: segments, Value: "b"}}},
		{`["a", "b"].all(v, v in profile.segments)`, profile,
			And{condition.Has{Field: segments, Value: "a"}, condition.Has{Field: segments, Value: "b"}}},
		{`profile.traits.l.exists(v, v == "a")`, profile, Or{condition.Has{Field: at("traits", "l"), Value: "a"}}},
		{`profile.traits.l.exists(v, v in ["a", 2])`, profile,
			Or{condition.Has{Field: at("traits", "l"), Value: "a"}, condition.Has{Field: at("traits", "l"), Value: int64(2)}}},
		{`profile.traits.a.startsWith("x" + "y")`, profile, condition.Text{Field: at("traits", "a"), Op: condition.StartsWith, Arg: "xy"}},
		{`profile.traits.a.matches("^x")`, profile, condition.Text{Field: at("traits", "a"), Op: condition.Matches, Arg: "^x"}},
		{`lower(profile.traits.a) == "x"`, profile, Compare{Field: lower, Op: condition.Equal, Value: "x"}},
		{`lower(profile.traits.a).contains("x")`, profile, condition.Text{Field: lower, Op: condition.Contains, Arg: "x"}},
		{`fold(profile.traits.a) == "x"`, profile, Compare{Field: folded, Op: condition.Equal, Value: "x"}},
		{`fold(profile.traits.a).startsWith(fold("É"))`, profile, condition.Text{Field: folded, Op: condition.StartsWith, Arg: "e"}},
		{`fold(profile.traits.a) in ["x", "y"]`, profile, condition.In{Field: folded, Values: []any{"x", "y"}}},
		{`"x" in list(profile.traits.a)`, profile, condition.Has{Field: listed, Value: "x"}},
		{`["x", "y"].exists(v, v in list(profile.traits.a))`, profile,
			Or{condition.Has{Field: listed, Value: "x"}, condition.Has{Field: listed, Value: "y"}}},
		{`list(profile.traits.a).exists(v, v == "x")`, profile, Or{condition.Has{Field: listed, Value: "x"}}},
		{`has(list(profile.traits.a))`, profile, condition.Exists{Field: at("traits", "a")}},
		{`list(profile.traits.a) == ["x"]`, profile, Compare{Field: listed, Op: condition.Equal, Value: []any{"x"}}},
		{`bucket("test", 100) < 10`, profile,
			condition.Bucket{Field: at("id"), Name: "test", Buckets: 100, Op: condition.Less, Value: int64(10)}},
		{`3 != bucket("test", 5)`, profile,
			Not{Of: condition.Bucket{Field: at("id"), Name: "test", Buckets: 5, Op: condition.Equal, Value: int64(3)}}},
		{`distance(session.geo.lat, session.geo.lon, 38.5, -9) < 10`, session,
			condition.Distance{Lat: at("geo", "lat"), Lon: at("geo", "lon"), FromLat: 38.5, FromLon: -9, Op: condition.Less, Value: int64(10)}},
		{`10 >= distance(38.5, -9, session.geo.lat, session.geo.lon)`, session,
			condition.Distance{Lat: at("geo", "lat"), Lon: at("geo", "lon"), FromLat: 38.5, FromLon: -9, Op: condition.LessOrEqual, Value: int64(10)}},
		{`profile.created >= day(now)`, profile,
			Compare{Field: moment("created"), Op: condition.GreaterOrEqual, Value: time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)}},
		{`profile.stats.last_seen < ago("1h")`, profile, Compare{Field: moment("stats", "last_seen"), Op: condition.Less, Value: now.Add(-time.Hour)}},
		{`profile.created > "2026-01-01"`, profile,
			Compare{Field: moment("created"), Op: condition.Greater, Value: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{`profile.traits.day > now`, profile, Compare{Field: at("traits", "day"), Op: condition.Greater, Value: now}},
		{`profile.traits.a > profile.traits.b`, profile, condition.CompareFields{Left: at("traits", "a"), Op: condition.Greater, Right: at("traits", "b")}},
		{`count("x") > 3`, profile,
			Compare{Field: Field{Path: sdk.Path{"stats", "events", "x", "count"}, Missing: int64(0)}, Op: condition.Greater, Value: int64(3)}},
		{`last("x") > ago("1h")`, profile, Compare{Field: moment("stats", "events", "x", "last"), Op: condition.Greater, Value: now.Add(-time.Hour)}},
		{`has(first("x"))`, profile, condition.Exists{Field: moment("stats", "events", "x", "first")}},
		{`profile.traits.a == duration("1h")`, profile, Const(false)},
		{`profile.traits.a > 0.0 / 0.0`, profile, Const(false)},
		{`event.type == "a"`, event, equal("a", "type")},
		{`"x" in event.tags`, event, condition.Has{Field: Field{Path: sdk.Path{"tags"}, Missing: []any{}}, Value: "x"}},
		{`session.ended == null`, session, Not{Of: condition.Exists{Field: moment("ended")}}},
	} {
		p, err := condition.Compile(c.source, c.scope)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.Predicate(now)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is %#v, %v; want %#v", c.source, got, err, c.want)
		}
	}
}

func TestPredicateRefuses(t *testing.T) {
	nested := "profile.traits.a == 1"
	for range 30 {
		nested = "((" + nested + ") ? true : has(profile.traits.b))"
	}
	for _, c := range []struct {
		source string
		scope  condition.Scope
		reason string
	}{
		{`count("x", "7d") > 3`, condition.ProfileScope, "the store keeps no figure of a window, which moves with time, also where profiles keep it"},
		{`count("x", "7d") > 3`, condition.ProfileScope, "have a flow with this condition keep a trait or a segment, and search for that"},
		{`sum("x", "total", "7d") > 3`, condition.ProfileScope, "the store keeps no figure of a window"},
		{`sum("x", "total") > 3`, condition.ProfileScope, "the sum is not kept in the store"},
		{`count("x") > 3`, condition.EventScope, "the search is over events"},
		{`profile.traits.a == 1`, condition.EventScope, "events, which do not hold the profile"},
		{`event.type == session.status`, condition.EventScope, "which do not hold the session"},
		{`row.a == 1`, condition.RowScope, "row is not kept in the store"},
		{`profile.counters.a / profile.counters.b > 2`, condition.ProfileScope, "does not compute with fields (/)"},
		{`double(profile.traits.a) > 2`, condition.ProfileScope, "does not compute with fields (double)"},
		{`timestamp(profile.traits.a) > now`, condition.ProfileScope, "does not convert"},
		{`size(profile.traits.a) > 2`, condition.ProfileScope, "does not compute with fields (size)"},
		{`profile.traits.a[0] == 1`, condition.ProfileScope, "one place of a list"},
		{`profile.traits.l.exists(x, x > 5)`, condition.ProfileScope, "does not loop over a field"},
		{`profile.traits.l.exists(x, x in [])`, condition.ProfileScope, "does not loop over a field"},
		{`profile.traits.l.exists(x, x == x)`, condition.ProfileScope, "does not loop over a field"},
		{`profile.traits.l.all(x, x == "a")`, condition.ProfileScope, "does not loop over a field"},
		{`profile.traits.a in profile.traits.l`, condition.ProfileScope, "not looked up in each other"},
		{`profile.traits.a.startsWith(profile.traits.b)`, condition.ProfileScope, "the text that is looked for is not known"},
		{`now in profile.traits.l`, condition.ProfileScope, "does not look for a time"},
		{`profile.traits.a ? has(profile.traits.b) : true`, condition.ProfileScope, "the question before ? could fail"},
		{`profile == null`, condition.ProfileScope, "the whole document"},
		{`profile.stats == {}`, condition.ProfileScope, "holds times"},
		{`profile.stats.events == profile.traits.a`, condition.ProfileScope, "holds times"},
		{`profile.traits.a > 1.0 / 0.0`, condition.ProfileScope, "infinite"},
		{`lower(profile.traits.a) == null`, condition.ProfileScope, "lower(x) is not compared with null"},
		{`has(lower(profile.traits.a))`, condition.ProfileScope, "lower(x) is not asked for"},
		{`profile.traits.a > now + duration("2000000h") + duration("2000000h") + duration("2000000h")+ duration("2000000h")+ duration("2000000h")+ duration("2000000h")+ duration("2000000h")+ duration("2000000h")` +
			strings.Repeat(` + duration("2500000h")`, 30), condition.ProfileScope, "does not fit"},
		{`fold(lower(profile.traits.a)) == "x"`, condition.ProfileScope, "does not compute with fields (fold of lower)"},
		{`fold(profile.traits.a) == null`, condition.ProfileScope, "fold(x) is not compared with null"},
		{`"a" in list(lower(profile.traits.a))`, condition.ProfileScope, "list of lower"},
		{`{"since": "2026-01-01"} in list(profile.segments.a)`, condition.ProfileScope, "holds times"},
		{`bucket("a", 10) == null`, condition.ProfileScope, "bucket is compared with null"},
		{`bucket("a", 10) in [1, 2]`, condition.ProfileScope, "does not compute with fields (bucket)"},
		{`bucket("a", 10) < 5`, condition.EventScope, "the search is over events"},
		{`distance(profile.traits.a, 1, 2, profile.traits.b) < 10`, condition.ProfileScope, "measures from a point that is written out"},
		{`distance(profile.traits.a, 1, 2, 3) < 10`, condition.ProfileScope, "the other one is two fields"},
		{`distance(profile.traits.a, profile.traits.b, null, 3) < 10`, condition.ProfileScope, "written out"},
		{`distance(profile.traits.a, profile.traits.b, 2, 3) < profile.traits.c`, condition.ProfileScope, "does not compute with fields (distance)"},
		{`distance(profile.traits.a, profile.traits.b, 2, 3) == null`, condition.ProfileScope, "distance is compared with null"},
		{`day(profile.created) == day(now)`, condition.ProfileScope, "x >= day(now)"},
		{nested, condition.ProfileScope, "more than 500 comparisons"},
		{`[` + strings.Repeat("1,", 40) + `1].exists(x, profile.traits.a in [` + strings.Repeat("1,", 40) + `1])`, condition.ProfileScope, "more than 500 comparisons"},
	} {
		p, err := condition.Compile(c.source, c.scope)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.Predicate(now)
		var e *condition.Error
		if !errors.As(err, &e) || got != nil || !strings.Contains(err.Error(), c.reason) || e.Source != c.source {
			t.Errorf("%s is %#v, %v; want an error with %q", c.source, got, err, c.reason)
		}
	}
}

// The leaves decide as the condition does, for any value.
func TestLeavesDecideAlike(t *testing.T) {
	values := []any{
		nil, true, false, int64(0), int64(5), 5.0, 5.5, math.NaN(), "", "a", "Ab", "2026-03-10T12:30:15.250Z", "2026-03-10", []any{}, []any{"a", int64(5)},
		map[string]any{}, map[string]any{"a": nil}, sdk.ParseNumber("12345678901234567890"),
	}
	for _, source := range []string{
		`profile.traits.v`, `has(profile.traits.v)`, `profile.traits.v == 5`, `profile.traits.v > 5`, `profile.traits.v <= "a"`, `profile.traits.v == now`, `profile.traits.v < now`,
		`profile.traits.v == [] `, `profile.traits.v == {}`, `profile.traits.v in ["a", 5, true]`, `"a" in profile.traits.v`, `5 in profile.traits.v`, `profile.traits.v.startsWith("a")`,
		`profile.traits.v.endsWith("b")`, `profile.traits.v.contains("b")`, `lower(profile.traits.v) == "ab"`, `lower(profile.traits.v).startsWith("ab")`,
		`lower(profile.traits.v) in ["ab"]`, `fold(profile.traits.v) >= "ab"`, `fold(profile.traits.v).contains("b")`, `5 in list(profile.traits.v)`, `list(profile.traits.v) == ["a", 5]`,
		`distance(profile.traits.v, profile.traits.v, 5, 5) <= 0`, `distance(profile.traits.v, profile.traits.v, 5.5, 5) > 1`, `profile.traits.v >= profile.traits.w`, `lower(profile.traits.v) == profile.traits.w`, `profile.traits.v > 12345678901234567889u`,
	} {
		p, err := condition.Compile(source, condition.ProfileScope)
		if err != nil {
			t.Fatal(err)
		}
		predicate, err := p.Predicate(now)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			want, wantErr := p.Bool(&condition.Vars{Now: now, Profile: map[string]any{"traits": map[string]any{"v": v, "w": "ab"}}})
			var got bool
			var gotErr error
			switch leaf := predicate.(type) {
			case condition.Text:
				got, gotErr = leaf.Test(v, nil)
			case condition.Distance:
				got, gotErr = leaf.Test(v, v)
			case condition.CompareFields:
				got, gotErr = leaf.Test(v, "ab")
			case interface{ Test(any) (bool, error) }:
				got, gotErr = leaf.Test(v)
			default:
				t.Fatalf("%s is a %T", source, predicate)
			}
			if got != want || (gotErr == nil) != (wantErr == nil) {
				t.Errorf("%s for %#v is %v (%v) by its leaf, and %v (%v) in memory", source, v, got, gotErr, want, wantErr)
			}
		}
	}
}
