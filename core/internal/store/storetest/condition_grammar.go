package storetest

import (
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// scopes of the conditions over each kind.
var scopes = map[store.Kind]condition.Scope{
	store.Events: condition.EventScope, store.Profiles: condition.ProfileScope, store.Sessions: condition.SessionScope,
}

// knownFields are paths that conditions over each kind ask for.
var knownFields = map[store.Kind][]string{
	store.Events: {
		"event.type", "event.session", "event.profile", "event.source", "event.id", "event.time", "event.received", "event.valid", "event.tags", "event.traits",
		"event.properties", "event.errors", "event.context", "event.traits.a",
	},
	store.Profiles: {
		"profile.id", "profile.created", "profile.updated", "profile.revision", "profile.ids", "profile.identities.email", "profile.segments.a.since", "profile.segments",
		"profile.stats.visits", "profile.stats.first_seen", "profile.stats.last_seen", "profile.stats.events.a.count", `profile.stats.events["ä-b"].last`, "profile.stats.truncated",
		`count("a")`, `count("ä-b")`, `first("a")`, `last("a")`, "profile.counters.a", "profile.counters", "profile.interests", "profile.consents.a", "profile.data.a",
	},
	store.Sessions: {
		"session.id", "session.profile", "session.started", "session.updated", "session.ended", "session.duration", "session.status", "session.events", "session.context",
		"session.device", "session.device.a", "session.geo", "session.geo.lat", "session.utm.a",
	},
}

// openObjects are those below which the drawn keys are.
var openObjects = map[store.Kind]string{store.Events: "event.properties", store.Profiles: "profile.traits", store.Sessions: "session.context"}

// places hold coordinates.
var places = map[store.Kind]string{store.Events: "event.traits", store.Profiles: "profile.data", store.Sessions: "session.geo"}

// forms are what each sort of expression may be; {sort} stands for another one.
// What stands twice is drawn more often. What is easily searched comes first:
// to that a failure shrinks.
var forms = map[string][]string{
	"condition": {
		"{test}", "{test}", "{test}", "({condition}) && ({condition})", "({condition}) && ({condition})", "({condition}) || ({condition})", "!({condition})",
		"({condition}) ? ({condition}) : ({condition})",
	},
	"test": {
		"{field} {comparison} {literal}", "{field} {comparison} {literal}", "{field} {comparison} {literal}", "{literal} {comparison} {field}", "{field} {comparison} {field}",
		"has({field})", `consented("a")`, "{field}", "{field} in {list}", "{cased} in {words}", "{literal} in {looked}", "{text} in {looked}", "{text} in {listed}",
		"{cased}.startsWith({text})", "{cased}.endsWith({text})", "{cased}.contains({text})", "{cased}.matches({pattern})", "matches({field}, {pattern})",
		"{cased} {comparison} {text}", "{cased} {comparison} {cased}", "{cased} {comparison} {literal}",
		"{looked}.exists(x, {element})", "{looked}.exists(x, {element})", "{list}.exists(x, {each})", "{list}.all(x, {each})", "{looked} {comparison} {looked}", "{looked} == {list}",
		"{distance} {comparison} {km}", "{bucket} {comparison} {number}", "{count} {comparison} {number}",
		"{computed} {comparison} {literal}", "{computed} {comparison} {literal}", "{calendar} {comparison} {number}", "{arithmetic} {comparison} {number}", "{literal} {comparison} {computed}", "{computed} in {list}", "{looked}.exists_one(x, {element})", "{looked}.all(x, {element})",
		"{field} in {field}", "{field}.contains({field})", "has({computed})",
	},
	"cased":  {"{field}", "lower({field})", "fold({field})"},
	"looked": {"{listed}", "{listed}", "{field}", "list({field})", "list({listed})"},
	"element": {
		`x == {literal}`, `{literal} == x`, "x in {list}", "x == x", "x > {number}", "x.startsWith({text})", "fold(x) == {text}", "has(x.a)", "x == {field}", "x", "x in x",
	},
	"each":     {"x in {looked}", "{field} == x", "{field} > x", "{field}.contains(x)", "fold({field}) == fold(x)", "x == {literal}", "{field} in [x, {literal}]"},
	"distance": {"distance({place}.lat, {place}.lon, 38.72, -9.14)", "distance(38.72, -9.14, {place}.lat, {place}.lon)", "distance({degree}, {degree}, {place}.lat, {place}.lon)", "distance({field}, {field}, {degree}, {degree})", "distance({degree}, {degree}, {field}, {field})", "distance({degree}, {field}, {degree}, {field})"},
	"km":       {"0", "2.5", "300", "4000", "4500", "5600", "{number}"},
	"degree":   {"38.72", "-9.14", "0", "{number}"},
	"bucket":   {`bucket({text}, 3)`, `bucket("a", 3)`, `bucket("a", 2)`, `bucket("a", {number})`},
	"count": {
		`count("a")`, `count({text})`, `count("a", {window})`, `sum("a", "total")`, `sum("a", "total", {window})`, `first({text})`, `last({text})`,
	},
	"computed": {"{converted}", "{arithmetic}", "{calendar}", "{collected}", "{counted}", "({condition}) ? ({value}) : ({value})", "({value})[{index}]"},
	"converted": {
		"double({field})", "int({field})", "string({field})", "bool({field})", "timestamp({field})", "duration({field})", "day({field})", "day({field}, {zone})",
		"lower({value})", "fold({value})", "list({value})",
	},
	"arithmetic": {"({amount}) + ({amount})", "({amount}) - ({amount})", "({amount}) * ({amount})", "({amount}) / ({amount})", "({amount}) % ({amount})", "-({amount})"},
	"amount":     {"{field}", "{number}", "{counted}", "{value}"},
	"counted":    {"size({field})", "{field}.size()", "{distance}", "{bucket}", "{count}"},
	"collected":  {"{looked}.filter(x, {element})", "{looked}.map(x, {element})", "{looked}.map(x, {element}, x)"},
	"calendar": {
		"{timed}.getFullYear({zone})", "{timed}.getMonth({zone})", "{timed}.getDayOfYear({zone})", "{timed}.getDayOfMonth({zone})", "{timed}.getDate({zone})",
		"{timed}.getDayOfWeek({zone})", "{timed}.getHours({zone})", "{timed}.getMinutes({zone})", "{timed}.getSeconds()", "{timed}.getMilliseconds()",
	},
	"timed":      {"now", "timestamp({field})", "{field}", "(now - {field})"},
	"value":      {"{field}", "{literal}", "{computed}"},
	"literal":    {"{text}", "{text}", "{number}", "{number}", "{number}", "null", "true", "false", "{moment}", "{list}", "{other}"},
	"moment":     {"now", "ago({window})", `timestamp("2026-03-28")`, `now + duration("1ms")`, "day(now)", "day(now, {zone})", "day({time}, {zone})"},
	"other":      {"{}", `{"a": 1}`, `{"a": null}`, `duration("1h")`, "1.0 / 0.0", "0.0 / 0.0", "1 + 1", `"a" + "b"`, `"2026-03-29"`, `size("ä")`, `[1, 2].map(x, x + 1)`, `lower("Ä")`, `fold("Ä")`},
	"list":       {"[]", "[{literal}]", "[{literal}, {literal}]", "[{literal}, {literal}, {literal}]", "{words}", "[[1]]", "[9007199254740993]", "list({literal})"},
	"words":      {"[{text}]", "[{text}, {text}]", "[{text}, {text}, null]"},
	"comparison": {"==", "!=", "<", "<=", ">", ">="},
	"window":     {`"1h"`, `"1d"`, `"10d"`, `"90s"`},
	"zone":       {`"Europe/Lisbon"`, `"Europe/Berlin"`, `"+05:30"`, `"America/New_York"`},
	"time":       {`"2026-03-29T00:59:59.999Z"`, `"2026-03-29"`, "ago({window})"},
	"index":      {"0", "1", `"a"`, "{value}"},
	"pattern":    {`"a"`, `"^a"`, `"b$"`, `"^$"`, `"(?i)ä"`, `"."`, `"^\\d+"`, `"a|ä"`, `"\u0000"`, `"(?s)^.{2}$"`, `"\\pL"`, `"[[:alpha:]]{1,3}"`},
}

// drawnSorts have no forms.
var drawnSorts = []string{"field", "listed", "place", "text", "number"}

// A grammar draws conditions over a kind, with the names and values of the
// documents that they will be asked of.
type grammar struct {
	kind  store.Kind
	words vocabulary
	// The paths of the documents' own fields, and those of lists among them.
	paths, lists []string
}

// newGrammar makes a grammar for documents.
func newGrammar(kind store.Kind, words vocabulary, documents []drawn) grammar {
	g := grammar{kind: kind, words: words}
	variable, object, _ := strings.Cut(openObjects[kind], ".")
	for _, d := range documents {
		g.collect(variable+"."+object, d.decoded[object], 2)
	}
	slices.Sort(g.paths)
	slices.Sort(g.lists)
	return g
}

func (g *grammar) collect(path string, v any, depth int) {
	if _, is := v.([]any); is {
		g.lists = append(g.lists, path)
	}
	m, is := v.(map[string]any)
	if !is || depth == 0 {
		return
	}
	for name, v := range m {
		at := path + "[" + quoted(name) + "]"
		g.paths = append(g.paths, at)
		g.collect(at, v, depth-1)
	}
}

// draw draws an expression of a sort. Where no depth is left it is the first
// that the sort may be.
func (g grammar) draw(t *rapid.T, sort string, depth int) string {
	switch sort {
	case "field":
		return g.field(t)
	case "listed":
		if len(g.lists) > 0 {
			return rapid.SampledFrom(g.lists).Draw(t, "list")
		}
		return g.field(t)
	case "place":
		return places[g.kind]
	case "text":
		return quoted(rapid.SampledFrom(g.words.words).Draw(t, "text"))
	case "number":
		return celNumber(rapid.SampledFrom(g.words.numbers).Draw(t, "number"))
	}
	form := forms[sort][0]
	if depth > 0 {
		form = rapid.SampledFrom(forms[sort]).Draw(t, sort)
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(form, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if _, known := forms[name]; closed && (known || slices.Contains(drawnSorts, name)) {
			b.WriteString(g.draw(t, name, depth-1))
			form = after
			continue
		}
		b.WriteByte('{') // a map
		form = rest
	}
}

// field draws a path: known, one of the documents, or any below the open object.
func (g grammar) field(t *rapid.T) string {
	switch rapid.IntRange(0, 3).Draw(t, "known") {
	case 0:
		return rapid.SampledFrom(knownFields[g.kind]).Draw(t, "field")
	case 1, 2:
		if len(g.paths) > 0 {
			return rapid.SampledFrom(g.paths).Draw(t, "field")
		}
	}
	path := openObjects[g.kind]
	for range rapid.IntRange(1, 2).Draw(t, "depth") {
		path += "[" + quoted(rapid.SampledFrom(g.words.keys).Draw(t, "key")) + "]"
	}
	return path
}

// celNumber writes a number as CEL reads it, where it can.
func celNumber(literal string) string {
	if _, err := strconv.ParseInt(literal, 10, 64); err == nil {
		return literal
	}
	if _, err := strconv.ParseUint(literal, 10, 64); err == nil {
		return literal + "u"
	}
	if !strings.ContainsAny(literal, ".e") {
		return `int("` + literal + `")`
	}
	if f, err := strconv.ParseFloat(literal, 64); err == nil {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return "1.0"
}
