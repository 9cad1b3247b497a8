package sqlite

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var searchTime = time.Date(2026, 3, 10, 12, 30, 15, 250_000_000, time.UTC)

// A searched document in memory, decoded from its JSON, and its JSON.
type searched struct {
	document condition.Fielder
	decoded  map[string]any
	body     string
	history  condition.History
}

// subject is what is searched: a kind of document, the columns beside its
// JSON, and how one is drawn.
type subject struct {
	variable string
	scope    condition.Scope
	columns  []string
	fields   []string // paths that conditions ask for
	draw     func(v vocabulary, t *rapid.T) searched
}

var subjects = []subject{
	{
		"event", condition.EventScope, []string{"id", "source", "type", "session", "profile", "time", "received"},
		[]string{
			"event.type", "event.session", "event.profile", "event.source", "event.id", "event.time", "event.received", "event.valid", "event.tags", "event.traits",
			"event.properties", "event.errors", "event.context", "event.traits.a",
		}, vocabulary.drawEvent,
	},
	{
		"profile", condition.ProfileScope, []string{"id", "created", "updated"},
		[]string{
			"profile.id", "profile.created", "profile.updated", "profile.revision", "profile.ids", "profile.identities.email", "profile.segments.a.since", "profile.segments",
			"profile.stats.visits", "profile.stats.first_seen", "profile.stats.last_seen", "profile.stats.events.a.count", `profile.stats.events["ä-b"].last`,
			`count("a")`, `count("ä-b")`, `first("a")`, `last("a")`, "profile.counters.a", "profile.counters", "profile.interests", "profile.stats.truncated",
		}, vocabulary.drawProfile,
	},
	{
		"session", condition.SessionScope, []string{"id", "profile", "started", "updated"},
		[]string{
			"session.id", "session.profile", "session.started", "session.updated", "session.ended", "session.duration", "session.status", "session.events", "session.context",
			"session.device", "session.device.a", "session.geo", "session.utm.a",
		}, vocabulary.drawSession,
	},
}

// open objects, below which the drawn keys are.
var openObjects = map[string]string{"event": "event.properties", "profile": "profile.traits", "session": "session.context"}

var (
	keys = []string{"a", "b", "a-b", "a.b", "ä", `q"q`, `b\s`, "$", "*", "", "for", "line\n", "0", "[0]", "é", "#"}
	// Words are compared, looked for in each other, and read as times.
	words = []string{
		"", "a", "A", "ab", "b", "ä", "Ä", "äb", "ß", "ẞ", "İ", "𝄞x", "\x00", "a\x00b", "a\x00c", "{", "[1]", `{"a":1}`, "1", "true", "null", "%", "_", "'", `"`, `\`,
		"2026-03-09", "2026-03-10T14:30:15.250+02:00", "2026-03-10T12:30:15.250Z", "2026-03-10T12:30:15.2509Z", "2026-03-10 12:30:15", "0001-01-01T00:00:00.000Z", "2026-13-01", "shop",
	}
	numbers = []string{
		"0", "-0.0", "1", "-1", "2", "10", "10.0", "1e1", "10.00000000000000000001", "9.99999999999999999999", "0.1", "0.10000000000000000001", "0.1000000000000000055511151231257827",
		"0.30000000000000004", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.5", "-9007199254740993", "9223372036854775807", "-9223372036854775808",
		"9223372036854775808", "18446744073709551615", "18446744073709551616", "1e19", "12345678901234567890123", "1.5", "1e300", "1e308", "1e400", "-1e400", "1e-300", "1e-400", "5e-324",
		"1152921504606846976", "1152921504606847000", "1.152921504606847e18", "1.152921504606846976e18", "123456789.123456789", "123456789.1234567891", "2.5",
	}
)

// A vocabulary is the few names and values that documents and conditions have
// in common, so that they meet.
type vocabulary struct{ keys, words, numbers []string }

func drawVocabulary(t *rapid.T) vocabulary {
	few := func(of []string, n int, label string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), n, n).Draw(t, label)
	}
	return vocabulary{keys: few(keys, 3, "keys"), words: few(words, 4, "words"), numbers: few(numbers, 4, "numbers")}
}

// drawJSON draws a JSON text, in forms that package sdk does not write too.
func (v vocabulary) drawJSON(t *rapid.T, depth int) string {
	kinds := 6
	if depth > 0 {
		kinds = 9
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
	case 1, 2, 3:
		return rapid.SampledFrom(v.numbers).Draw(t, "number")
	case 4, 5, 6:
		return v.drawText(t)
	case 7:
		parts := make([]string, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range parts {
			parts[i] = v.drawJSON(t, depth-1)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.drawObject(t, depth-1, 3)
}

func (v vocabulary) drawText(t *rapid.T) string {
	word := rapid.SampledFrom(v.words).Draw(t, "text")
	if word != "" && rapid.IntRange(0, 4).Draw(t, "escape") == 0 {
		return quoteEscaped(word)
	}
	return string(sdk.AppendString(nil, word))
}

// quoteEscaped writes every character as an escape.
func quoteEscaped(s string) string {
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

func (v vocabulary) drawObject(t *rapid.T, depth, most int) string {
	var parts, used []string
	for range rapid.IntRange(0, most).Draw(t, "fields") {
		key := rapid.SampledFrom(v.keys).Draw(t, "key")
		if slices.Contains(used, key) {
			continue
		}
		used = append(used, key)
		name := string(sdk.AppendString(nil, key))
		if key != "" && rapid.IntRange(0, 4).Draw(t, "escape") == 0 {
			name = quoteEscaped(key)
		}
		parts = append(parts, name+": "+v.drawJSON(t, depth))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (v vocabulary) drawMap(t *rapid.T, depth, most int) map[string]any {
	m, err := sdk.ParseObject([]byte(v.drawObject(t, depth, most)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func drawTime(t *rapid.T) time.Time {
	return searchTime.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, -time.Millisecond, -time.Hour, -24 * time.Hour, -240 * time.Hour, 24 * time.Hour}).Draw(t, "time"))
}

func drawWord(t *rapid.T, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(t, "word")
}

func (v vocabulary) drawEvent(t *rapid.T) searched {
	e := &sdk.Event{
		ID: drawWord(t, "a", "b", "ä"), Type: drawWord(t, words[1:12]...), Source: drawWord(t, "shop", "a"),
		Session: drawWord(t, "", "a", "s"), Profile: drawWord(t, "", "a", "p"), Time: drawTime(t), Received: drawTime(t),
		Properties: sdk.RawObject([]byte(v.drawObject(t, 2, 8))), Valid: rapid.Bool().Draw(t, "valid"),
		Tags: rapid.SliceOfN(rapid.SampledFrom(v.words), 0, 3).Draw(t, "tags"),
	}
	if rapid.Bool().Draw(t, "traits") {
		e.Traits = sdk.NewObject(v.drawMap(t, 1, 3))
	}
	if !e.Valid {
		e.Errors = []sdk.FieldError{{Path: "a", Message: "b"}}
	}
	// The text is taken first: to look into an event decodes it.
	body := e.AppendJSON(nil)
	return decode(t, e, body, nil)
}

func (v vocabulary) drawProfile(t *rapid.T) searched {
	p := sdk.NewProfile(drawWord(t, "a", "b"), drawTime(t))
	p.Updated, p.Revision = drawTime(t), uint64(rapid.IntRange(1, 11).Draw(t, "revision"))
	p.Traits, p.Counters, p.Interests = v.drawMap(t, 2, 8), v.drawMap(t, 0, 3), v.drawMap(t, 1, 2)
	p.Identities["email"] = rapid.SliceOfN(rapid.SampledFrom(v.words), 0, 3).Draw(t, "email")
	if rapid.Bool().Draw(t, "member") {
		p.Segments["a"] = map[string]any{"since": sdk.FormatTime(drawTime(t))}
	}
	p.Stats.Visits = int64(rapid.IntRange(0, 11).Draw(t, "visits"))
	p.Stats.Truncated = rapid.Bool().Draw(t, "truncated")
	if rapid.Bool().Draw(t, "seen") {
		p.Stats.FirstSeen, p.Stats.LastSeen = drawTime(t), drawTime(t)
	}
	for _, eventType := range []string{"a", "ä-b"} {
		if rapid.Bool().Draw(t, "happened") {
			p.Stats.Events[eventType] = sdk.TypeStats{Count: int64(rapid.IntRange(1, 11).Draw(t, "count")), First: drawTime(t), Last: drawTime(t)}
		}
	}
	return decode(t, p, p.AppendJSON(nil), profileHistory{p})
}

func (v vocabulary) drawSession(t *rapid.T) searched {
	s := &sdk.Session{
		ID: drawWord(t, "a", "b"), Profile: drawWord(t, "", "a"), Started: drawTime(t), Updated: drawTime(t), Status: drawWord(t, "active", "ended"),
		Events: int64(rapid.IntRange(0, 11).Draw(t, "events")), Revision: 1,
	}
	if rapid.Bool().Draw(t, "ended") {
		s.Ended = drawTime(t)
	}
	if rapid.Bool().Draw(t, "context") {
		s.Context = v.drawMap(t, 2, 6)
		s.Context["device"] = v.drawMap(t, 1, 3)
	}
	return decode(t, s, s.AppendJSON(nil), nil)
}

func decode(t *rapid.T, document condition.Fielder, body []byte, history condition.History) searched {
	decoded, err := sdk.ParseObject(body)
	if err != nil {
		t.Fatal(err)
	}
	return searched{document: document, decoded: decoded, body: string(body), history: history}
}

type profileHistory struct{ profile *sdk.Profile }

func (h profileHistory) Count(eventType string, _ time.Duration) int64 {
	return h.profile.Stats.Events[eventType].Count
}
func (h profileHistory) Sum(string, string, time.Duration) any { return nil }
func (h profileHistory) First(eventType string) time.Time {
	return h.profile.Stats.Events[eventType].First
}
func (h profileHistory) Last(eventType string) time.Time {
	return h.profile.Stats.Events[eventType].Last
}

// drawField draws a path, known or below the open object.
func (s subject) drawField(v vocabulary, t *rapid.T) string {
	if rapid.IntRange(0, 2).Draw(t, "known") == 0 {
		return rapid.SampledFrom(s.fields).Draw(t, "field")
	}
	path := openObjects[s.variable]
	for range rapid.IntRange(1, 2).Draw(t, "depth") {
		path += "[" + celText(rapid.SampledFrom(v.keys).Draw(t, "key")) + "]"
	}
	return path
}

// celText writes a text as CEL reads it; JSON's escapes are CEL's too.
func celText(s string) string { return string(sdk.AppendString(nil, s)) }

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

func (v vocabulary) drawLiteral(t *rapid.T) string {
	switch rapid.IntRange(0, 9).Draw(t, "literal") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
	case 1, 2, 3:
		return celNumber(rapid.SampledFrom(v.numbers).Draw(t, "number"))
	case 4, 5, 6:
		return celText(rapid.SampledFrom(v.words).Draw(t, "text"))
	case 7:
		return rapid.SampledFrom([]string{"now", `ago("1h")`, `ago("1d")`, `ago("10d")`, `timestamp("2026-03-09")`, `now + duration("1ms")`}).Draw(t, "moment")
	case 8:
		return rapid.SampledFrom([]string{"[]", "[1]", `[1, "a"]`, `["a", null, 2.5]`, "[[1]]", "[9007199254740993]"}).Draw(t, "list")
	}
	return rapid.SampledFrom([]string{"{}", `{"a": 1}`, `{"a": null}`, `duration("1h")`, "1.0 / 0.0", "0.0 / 0.0", "1 + 1", `"a" + "b"`}).Draw(t, "other")
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

func (s subject) drawCondition(v vocabulary, t *rapid.T, depth int) string {
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "joined") > 0 {
		a := "(" + s.drawCondition(v, t, depth-1) + ")"
		switch rapid.IntRange(0, 4).Draw(t, "operator") {
		case 0, 1:
			return a + " && (" + s.drawCondition(v, t, depth-1) + ")"
		case 2:
			return a + " || (" + s.drawCondition(v, t, depth-1) + ")"
		case 3:
			return a + " ? (" + s.drawCondition(v, t, depth-1) + ") : (" + s.drawCondition(v, t, depth-1) + ")"
		}
		return "!" + a
	}
	f, comparison := s.drawField(v, t), rapid.SampledFrom(comparisons).Draw(t, "comparison")
	list := func() string {
		parts := make([]string, rapid.IntRange(0, 4).Draw(t, "length"))
		same := rapid.Bool().Draw(t, "texts")
		for i := range parts {
			if parts[i] = v.drawLiteral(t); same {
				parts[i] = celText(rapid.SampledFrom(v.words).Draw(t, "text"))
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	switch rapid.IntRange(0, 13).Draw(t, "form") {
	case 0, 1, 2:
		return f + " " + comparison + " " + v.drawLiteral(t)
	case 3:
		return v.drawLiteral(t) + " " + comparison + " " + f
	case 4:
		return f + " " + comparison + " " + s.drawField(v, t)
	case 5:
		return "has(" + f + ")"
	case 6:
		return f
	case 7:
		return f + " in " + list()
	case 8:
		return v.drawLiteral(t) + " in " + f
	case 9:
		if rapid.Bool().Draw(t, "lower") {
			f = "lower(" + f + ")"
		}
		method := rapid.SampledFrom([]string{"startsWith", "endsWith", "contains"}).Draw(t, "method")
		return f + "." + method + "(" + celText(rapid.SampledFrom(v.words).Draw(t, "text")) + ")"
	case 10:
		if rapid.Bool().Draw(t, "lower") {
			f = "lower(" + f + ")"
		}
		return f + ".matches(" + celText(rapid.SampledFrom([]string{"a", "^a", "b$", "^$", "(?i)ä", ".", `^\d+`, "a|ä", "\x00"}).Draw(t, "pattern")) + ")"
	case 11:
		return "lower(" + f + ") " + comparison + " " + rapid.SampledFrom([]string{`"a"`, `"ä"`, `"ab"`, `"ß"`, `""`, "null", `"a` + `\u0000` + `b"`, "lower(" + s.drawField(v, t) + ")"}).Draw(t, "text")
	case 12:
		return f + ".exists(x, " + rapid.SampledFrom([]string{`x == "a"`, "x in " + list(), "1 == x", "x == x"}).Draw(t, "looked") + ")"
	}
	return list() + "." + drawWord(t, "exists", "all") + "(x, " + rapid.SampledFrom([]string{"x in " + f, f + " == x", "x == 1", f + " > x"}).Draw(t, "each") + ")"
}

// openTable makes a table of documents as the store has it.
func openTable(t *testing.T) *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func fill(t fataler, db *sql.DB, s subject, documents []searched) {
	columns := "f_" + strings.Join(s.columns, " TEXT, f_") + " TEXT"
	if _, err := db.Exec("DROP TABLE IF EXISTS documents; CREATE TABLE documents (n INTEGER PRIMARY KEY, " + columns + ", body TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	for n, d := range documents {
		args := []any{n}
		for _, name := range s.columns {
			args = append(args, d.decoded[name])
		}
		args = append(args, d.body)
		if _, err := db.Exec("INSERT INTO documents VALUES (?"+strings.Repeat(",?", len(args)-1)+")", args...); err != nil {
			t.Fatal(err)
		}
	}
}

func (s subject) columnNames() map[string]string {
	names := map[string]string{}
	for _, name := range s.columns {
		names[name] = "f_" + name
	}
	return names
}

func find(t fataler, db *sql.DB, s subject, p condition.Predicate, columns map[string]string) []int {
	expression, args, err := where(p, columns)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	rows, err := db.Query("SELECT n FROM documents WHERE "+expression+" ORDER BY n", args...)
	if err != nil {
		t.Fatalf("%s %q: %v", expression, args, err)
	}
	defer rows.Close()
	found := []int{}
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s %q: %v", expression, args, err)
	}
	return found
}

// vars are those of one document.
func (s subject) vars(document any, history condition.History) *condition.Vars {
	v := &condition.Vars{Now: searchTime, History: history}
	switch s.variable {
	case "event":
		v.Event = document
	case "profile":
		v.Profile = document
	case "session":
		v.Session = document
	}
	return v
}

func expected(t fataler, s subject, program *condition.Program, documents []searched) []int {
	want := []int{}
	for n, d := range documents {
		is, err := program.Bool(s.vars(d.document, d.history))
		decoded, decodedErr := program.Bool(s.vars(d.decoded, d.history))
		if is != decoded || (err == nil) != (decodedErr == nil) {
			t.Fatalf("%s is %v (%v) in memory and %v (%v) decoded, for %s", program.Source(), is, err, decoded, decodedErr, d.body)
		}
		if is {
			want = append(want, n)
		}
	}
	return want
}

// What SQLite finds is what the condition finds in memory, for every document
// and every condition that can be searched.
func TestWhereFindsWhatConditionsFind(t *testing.T) {
	db := openTable(t)
	searches, refused, some := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(subjects).Draw(t, "subject")
		v := drawVocabulary(t)
		documents := make([]searched, rapid.IntRange(6, 16).Draw(t, "documents"))
		for i := range documents {
			documents[i] = s.draw(v, t)
		}
		fill(t, db, s, documents)
		for range 60 {
			source := s.drawCondition(v, t, 2)
			program, err := condition.Compile(source, s.scope)
			if err != nil {
				continue
			}
			predicate, err := program.Predicate(searchTime)
			if err != nil {
				refused++
				continue
			}
			want := expected(t, s, program, documents)
			for _, columns := range []map[string]string{nil, s.columnNames()} {
				if got := find(t, db, s, predicate, columns); !slices.Equal(got, want) {
					expression, args, _ := where(predicate, columns)
					t.Fatalf("%s finds %v, want %v\nSQL %s\nargs %q\n%s", source, got, want, expression, args, bodies(documents))
				}
			}
			if searches++; len(want) > 0 && len(want) < len(documents) {
				some++
			}
		}
	})
	t.Logf("%d searches, of which %d found some and not all; %d refused", searches, some, refused)
	want := 2000
	if testing.Short() {
		want = 500 // rapid draws a fifth then
	}
	if searches < want || some < searches/10 {
		t.Errorf("only %d searches, of which %d found some and not all: too few to tell", searches, some)
	}
}

func bodies(documents []searched) string {
	var b strings.Builder
	for n, d := range documents {
		fmt.Fprintf(&b, "%d: %s\n", n, d.body)
	}
	return b.String()
}
