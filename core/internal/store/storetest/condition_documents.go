package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// The names and values that documents and conditions are drawn from: what one
// store or another might take for something else.
var (
	keyPool = []string{"a", "b", "a-b", "a.b", "ä", `q"q`, `b\s`, "$", "*", "", "for", "line\n", "0", "[0]", "é", "#", "'", "lat"}
	// wordPool has texts that are compared, looked for in each other, folded and
	// read as times.
	wordPool = []string{
		"", "a", "A", "ab", "b", "ä", "Ä", "a\u0308", "äb", "ß", "ẞ", "ss", "İ", "ﬁ", "fi", "Ａ", "O’Brien", "o'brien", "Łódź", "lodz", "й", "и\u0306", "がか", "𝄞x",
		"\x00", "a\x00b", "a\x00c", "{", "[1]", `{"a":1}`, "1", "true", "null", "%", "_", "'", `"`, `\`, "2026-03-28", "2026-03-29", "2026-03-29T02:30:15.250+02:00",
		"2026-03-29T00:30:15.250Z", "2026-03-29T00:30:15.2509Z", "2026-03-29T00:59:59.999Z", "2026-03-29T01:00:00Z", "2026-03-28 23:30:15", "0001-01-01T00:00:00.000Z",
		"2026-13-01", "1h", "shop",
	}
	numberPool = []string{
		"0", "-0.0", "1", "-1", "2", "10", "10.0", "1e1", "10.00000000000000000001", "9.99999999999999999999", "0.1", "0.10000000000000000001", "0.1000000000000000055511151231257827",
		"0.30000000000000004", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.5", "-9007199254740993", "9223372036854775807", "-9223372036854775808",
		"9223372036854775808", "18446744073709551615", "18446744073709551616", "1e19", "12345678901234567890123", "1.5", "1e300", "1e308", "1e400", "-1e400", "1e-300", "1e-400", "5e-324",
		"1152921504606846976", "1152921504606847000", "1.152921504606847e18", "1.152921504606846976e18", "123456789.123456789", "123456789.1234567891", "2.5", "38.72", "-9.14", "90", "-180",
		"90.00000000000000000001",
	}
)

// A vocabulary is the few names and values that documents and conditions have
// in common, so that they meet.
type vocabulary struct{ keys, words, numbers []string }

// themes are values that are nearly the same, or look like one another.
var themes = []vocabulary{
	{keys: []string{"a", "b", "lat"}, words: []string{`{"a":1}`, "[1]", "{}", "[]", "1", "true", "null", "{"}, numbers: []string{"1", "1.0"}},
	{keys: []string{"a", "b"}, words: []string{"\x00", "a\x00b", "a\x00c", "a", "a\x00", "b", ""}, numbers: []string{"0", "-0.0", "1e-400"}},
	{keys: []string{"ä", "a\u0308", "A"}, words: []string{"ä", "Ä", "a\u0308", "a", "A", "äb", "é", "E\u0301"}, numbers: []string{"2", "10"}},
	{keys: []string{"'", `"`, "a"}, words: []string{"'", `"`, `\`, "%", "_", "a%", "a_"}, numbers: []string{"38.72", "-9.14", "90.00000000000000000001"}},
	{keys: []string{"a", "a.b", "a-b"}, words: []string{
		"2026-03-29", "2026-03-29T00:30:15.250Z", "2026-03-29T02:30:15.250+02:00", "2026-03-29T00:30:15.2509Z", "2026-03-28T23:59:59.999Z", "2026-03-29T00:59:59.999Z", "2026-3-29",
	}, numbers: []string{"1774744215", "1774744215.0", "1.774744215e9"}},
	{keys: []string{"$", "$.a", "a"}, words: []string{"a", "ab", "b", "abab"}, numbers: []string{
		"10", "10.0", "1e1", "10.00000000000000000001", "9.99999999999999999999", "0.1", "0.10000000000000000001", "0.1000000000000000055511151231257827",
	}},
	{keys: []string{"a", "b", ""}, words: []string{"straße", "STRASSE", "ß", "ﬁ", "fi", "O’Brien", "o'brien"}, numbers: []string{
		"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.5", "9007199254740992.0", "9.007199254740993e15",
	}},
	{keys: []string{"a", "0", "[0]"}, words: []string{"a", "shop", "1h"}, numbers: []string{
		"9223372036854775807", "9223372036854775808", "9.223372036854775807e18", "1e19", "10000000000000000000", "1152921504606846976", "1152921504606847000", "1.152921504606847e18",
	}},
}

func drawVocabulary(t *rapid.T) vocabulary {
	from := vocabulary{keyPool, wordPool, numberPool}
	if rapid.Bool().Draw(t, "themed") {
		from = rapid.SampledFrom(themes).Draw(t, "theme")
	}
	few := func(of []string, n int, label string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), n, n).Draw(t, label)
	}
	return vocabulary{keys: few(from.keys, 3, "keys"), words: few(from.words, 4, "words"), numbers: few(from.numbers, 4, "numbers")}
}

// A drawn document in memory, as a store holds it, and decoded from that.
type drawn struct {
	document condition.Fielder
	stored   store.Document
	decoded  map[string]any
	history  condition.History
}

// draw makes the i-th document of a kind.
func (v vocabulary) draw(t *rapid.T, kind store.Kind, i int) drawn {
	var body []byte
	var d drawn
	switch kind {
	case store.Events:
		e := v.event(t, i)
		// The text is taken first: to look into an event decodes it.
		body, d.document = e.AppendJSON(nil), e
	case store.Profiles:
		p := v.profile(t, i)
		body, d.document, d.history = p.AppendJSON(nil), p, lifetime{p}
	case store.Sessions:
		s := v.session(t, i)
		body, d.document = s.AppendJSON(nil), s
	}
	return d.of(t, kind, body)
}

// A fataler is a test, of rapid or not.
type fataler interface{ Fatal(args ...any) }

// of adds what a store holds.
func (d drawn) of(t fataler, kind store.Kind, body []byte) drawn {
	var err error
	if d.stored, err = store.NewDocument(kind, body); err != nil {
		t.Fatal(err)
	}
	if d.decoded, err = sdk.ParseObject(body); err != nil {
		t.Fatal(err)
	}
	return d
}

// id gives each document its own, the first ones those that conditions ask for.
func id(i int) string {
	if known := []string{"a", "b", "ä", "A"}; i < len(known) {
		return known[i]
	}
	return fmt.Sprintf("d-%d", i)
}

func pick(t *rapid.T, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, "word") }

// moment is near Now: a little and a day away, and where days and hours of time
// zones begin.
func moment(t *rapid.T) time.Time {
	return Now.Add(rapid.SampledFrom([]time.Duration{
		0, time.Millisecond, -time.Millisecond, -time.Hour, -24 * time.Hour, -240 * time.Hour, 24 * time.Hour,
		-(30*time.Minute + 15250*time.Millisecond), -(30*time.Minute + 15251*time.Millisecond), 29*time.Minute + 44750*time.Millisecond, 29*time.Minute + 44749*time.Millisecond,
	}).Draw(t, "time"))
}

func (v vocabulary) event(t *rapid.T, i int) *sdk.Event {
	e := &sdk.Event{
		ID: id(i), Type: pick(t, wordPool[1:20]...), Source: pick(t, "shop", "a"),
		Session: pick(t, "", "a", "s"), Profile: pick(t, "", "a", "p"), Time: moment(t), Received: moment(t),
		Properties: sdk.RawObject([]byte(v.object(t, 2, 8))), Valid: rapid.Bool().Draw(t, "valid"),
		Tags: rapid.SliceOfN(rapid.SampledFrom(v.words), 0, 3).Draw(t, "tags"),
	}
	if rapid.Bool().Draw(t, "traits") {
		e.Traits = sdk.NewObject(v.place(t))
	}
	if !e.Valid {
		e.Errors = []sdk.FieldError{{Path: "a", Message: "b"}}
	}
	return e
}

func (v vocabulary) profile(t *rapid.T, i int) *sdk.Profile {
	p := sdk.NewProfile(id(i), moment(t))
	p.Updated, p.Revision = moment(t), uint64(rapid.IntRange(1, 11).Draw(t, "revision"))
	p.Traits, p.Counters, p.Interests = v.decoded(t, 2, 8), v.decoded(t, 0, 3), v.decoded(t, 1, 2)
	p.Consents, p.Data = v.decoded(t, 1, 2), v.place(t)
	p.Identities["email"] = rapid.SliceOfN(rapid.SampledFrom(v.words), 0, 3).Draw(t, "email")
	if rapid.Bool().Draw(t, "member") {
		p.Segments["a"] = map[string]any{"since": sdk.FormatTime(moment(t))}
	}
	p.Stats.Visits = int64(rapid.IntRange(0, 11).Draw(t, "visits"))
	p.Stats.Truncated = rapid.Bool().Draw(t, "truncated")
	if rapid.Bool().Draw(t, "seen") {
		p.Stats.FirstSeen, p.Stats.LastSeen = moment(t), moment(t)
	}
	for _, eventType := range []string{"a", "ä-b"} {
		if rapid.Bool().Draw(t, "happened") {
			p.Stats.Events[eventType] = sdk.TypeStats{Count: int64(rapid.IntRange(1, 11).Draw(t, "count")), First: moment(t), Last: moment(t)}
		}
	}
	return p
}

func (v vocabulary) session(t *rapid.T, i int) *sdk.Session {
	s := &sdk.Session{
		ID: id(i), Profile: pick(t, "a", "p"), Started: moment(t), Updated: moment(t), Status: pick(t, "active", "ended"),
		Events: int64(rapid.IntRange(0, 11).Draw(t, "events")), Revision: 1,
	}
	if rapid.Bool().Draw(t, "ended") {
		s.Ended = moment(t)
	}
	if rapid.Bool().Draw(t, "context") {
		s.Context = v.decoded(t, 2, 6)
		s.Context["device"], s.Context["geo"] = v.decoded(t, 1, 3), v.place(t)
	}
	return s
}

// json draws a JSON text, in forms that package sdk does not write too.
func (v vocabulary) json(t *rapid.T, depth int) string {
	kinds := 8
	if depth > 0 {
		kinds = 12
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return pick(t, "null", "true", "false")
	case 1, 2, 3:
		return rapid.SampledFrom(v.numbers).Draw(t, "number")
	case 4, 5, 6:
		return v.text(t)
	case 7, 8: // what a text says, not the text
		word := rapid.SampledFrom(v.words).Draw(t, "text")
		if _, err := sdk.ParseValue([]byte(word)); err == nil {
			return word
		}
		return quoted(word)
	case 9, 10:
		parts := make([]string, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range parts {
			parts[i] = v.json(t, depth-1)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.object(t, depth-1, 3)
}

func (v vocabulary) text(t *rapid.T) string {
	word := rapid.SampledFrom(v.words).Draw(t, "text")
	if word != "" && rapid.IntRange(0, 4).Draw(t, "escape") == 0 {
		return escaped(word)
	}
	return quoted(word)
}

func (v vocabulary) object(t *rapid.T, depth, most int) string {
	var parts, used []string
	for range rapid.IntRange(0, most).Draw(t, "fields") {
		key := rapid.SampledFrom(v.keys).Draw(t, "key")
		if slices.Contains(used, key) {
			continue
		}
		used = append(used, key)
		name := quoted(key)
		if key != "" && rapid.IntRange(0, 4).Draw(t, "escape") == 0 {
			name = escaped(key)
		}
		parts = append(parts, name+": "+v.json(t, depth))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// place is an object with, mostly, coordinates.
func (v vocabulary) place(t *rapid.T) map[string]any {
	m := v.decoded(t, 1, 3)
	for _, name := range []string{"lat", "lon"} {
		if rapid.IntRange(0, 9).Draw(t, "placed") > 0 {
			m[name] = sdk.ParseNumber(rapid.SampledFrom([]string{"38.72", "38.7", "-9.14", "0", "-0.0", "90", "-180", "41.16"}).Draw(t, "degrees"))
		}
	}
	return m
}

func (v vocabulary) decoded(t *rapid.T, depth, most int) map[string]any {
	m, err := sdk.ParseObject([]byte(v.object(t, depth, most)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// quoted writes a text as JSON does, and as CEL reads it.
func quoted(s string) string { return string(sdk.AppendString(nil, s)) }

// escaped writes every character as an escape.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

// lifetime is what a profile tells of its past events by itself.
type lifetime struct{ profile *sdk.Profile }

func (h lifetime) Count(eventType string, _ time.Duration) int64 {
	return h.profile.Stats.Events[eventType].Count
}
func (h lifetime) Sum(string, string, time.Duration) any { return nil }
func (h lifetime) First(eventType string) time.Time      { return h.profile.Stats.Events[eventType].First }
func (h lifetime) Last(eventType string) time.Time       { return h.profile.Stats.Events[eventType].Last }
