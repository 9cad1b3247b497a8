package sqlite

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var searchTime = time.Date(2026, 3, 10, 12, 30, 15, 250_000_000, time.UTC)

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

func compilePredicate(t testing.TB, source string, scope condition.Scope) condition.Predicate {
	t.Helper()
	program, err := condition.Compile(source, scope)
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Predicate(searchTime)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var eventColumns = map[string]string{
	"id": "id", "source": "source", "type": "type", "session": "session", "profile": "profile", "time": "time", "received": "received",
}

func TestWhereUsesIndices(t *testing.T) {
	db := openTable(t)
	if _, err := db.Exec(`
		CREATE TABLE events (id TEXT, source TEXT, type TEXT, session TEXT, profile TEXT, time TEXT, received TEXT, body TEXT);
		CREATE INDEX by_type ON events (type, time);
		CREATE INDEX by_profile ON events (profile, time) WHERE profile IS NOT NULL;
		CREATE INDEX by_received ON events (received)`); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		`event.type == "a"`:                                               "by_type (type=?)",
		`event.type == "a" && event.time > ago("1d")`:                     "by_type (type=? AND time>?)",
		`event.type in ["a", "b"] && event.properties.total > 5`:          "by_type (type=?)",
		`event.profile == "p" && event.time < now`:                        "by_profile (profile=? AND time>? AND time<?)",
		`event.received >= "2026-03-01" && event.received < "2026-04-01"`: "by_received (received>? AND received<?)",
		`event.type == "a" || event.profile == "p"`:                       "MULTI-INDEX OR",
	} {
		expression, args, err := where(compilePredicate(t, source, condition.EventScope), eventColumns)
		if err != nil {
			t.Fatal(err)
		}
		steps := plan(t, db, "SELECT id FROM events WHERE "+expression, args)
		if got := strings.Join(steps, "; "); !strings.Contains(got, want) {
			t.Errorf("%s: the plan is %s, want %s; SQL %s", source, got, want, expression)
		}
	}
}

// plan is how SQLite executes a query.
func plan(t *testing.T, db *sql.DB, query string, args []any) (steps []string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// quote writes a text as conditions read it.
func quote(s string) string { return string(sdk.AppendString(nil, s)) }

// Nothing of a condition becomes text of the statement.
func TestWhereBindsEverything(t *testing.T) {
	const evil = `x'"); DROP TABLE documents; --`
	for _, source := range []string{
		`event.type == %s`, `event.properties[%s] == %[1]s`, `%s in event.tags`, `event.properties.a.contains(%s)`, `lower(event.properties[%s]) == "a"`,
		`event.properties.a in [%s, 1]`, `event.properties[%s] > event.properties.b`, `event.properties[%s] > 5`, `event.properties.a == {"b": [%s]}`,
		`event.properties[%s] < now`, `event.properties.a.matches(%s)`, `fold(event.properties[%s]) == "a"`, `%s in list(event.properties[%[1]s])`,
		`distance(event.properties[%s], event.properties.b, 1, 2) < 3`,
	} {
		quoted := quote(evil)
		if strings.Contains(source, "matches") {
			quoted = quote(strings.ReplaceAll(evil, ")", `\)`))
		}
		expression, args, err := where(compilePredicate(t, fmt.Sprintf(source, quoted), condition.EventScope), eventColumns)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(expression, "DROP") || strings.Count(expression, "?") != len(args) {
			t.Errorf("%s: %s %q", source, expression, args)
		}
	}
}

func TestWhereRefuses(t *testing.T) {
	field := condition.Field{Path: sdk.Path{"a"}}
	for reason, p := range map[string]condition.Predicate{
		"NUL":               condition.Exists{Field: condition.Field{Path: sdk.Path{"a\x00b"}}},
		"is unknown":        nil,
		"comparison":        condition.Compare{Field: field, Op: "~", Value: int64(1)},
		"question":          condition.Not{Of: condition.Text{Field: field, Op: "soundsLike", Arg: "a"}},
		"years 1 to 9999":   condition.Or{condition.Compare{Field: field, Op: condition.Less, Value: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		`comparison "far"`:  condition.Distance{Lat: field, Lon: field, Op: "far", Value: int64(1)},
		`comparison "next"`: condition.Bucket{Field: field, Name: "a", Buckets: 2, Op: "next", Value: int64(1)},
		`comparison "like"`: condition.And{condition.CompareFields{Left: field, Op: "like", Right: field}},
		"lower of a text":   condition.Compare{Field: condition.Field{Path: field.Path, As: condition.Lowered}, Op: condition.Less, Value: searchTime},
	} {
		if sql, _, err := where(p, nil); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%#v is %q, %v; want an error with %q", p, sql, err, reason)
		}
	}
}

// The largest predicates stay below SQLite's bounds of depth and parameters.
func TestWhereOfManyParts(t *testing.T) {
	db := openTable(t)
	if _, err := db.Exec(`CREATE TABLE events (body TEXT NOT NULL); INSERT INTO events VALUES ('{"properties":{"a":3,"b":"c"}}'), ('{}')`); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		"event.properties.a in [" + strings.Repeat("7,", 450) + "3]",
		"event.properties.b in [" + strings.Repeat(`"x",`, 450) + `"c"]`,
		strings.Repeat("has(event.properties.a)&&", 160) + "true",
		strings.Repeat("!(", 40) + "has(event.properties.a)" + strings.Repeat(")", 40),
	} {
		expression, args, err := where(compilePredicate(t, source, condition.EventScope), nil)
		if err != nil {
			t.Fatal(err)
		}
		var found int
		if err := db.QueryRow("SELECT count(*) FROM events WHERE "+expression, args...).Scan(&found); err != nil || found != 1 {
			t.Errorf("%.60s… finds %d, %v, want the one", source, found, err)
		}
	}
}

func TestPatternCacheIsBounded(t *testing.T) {
	var c patternCache
	for i := range 3 * maxPatterns {
		re, err := c.compile(fmt.Sprintf(`"^%d$"`, i))
		if err != nil || !re.MatchString(fmt.Sprint(i)) || re.MatchString("x") {
			t.Fatalf("pattern %d: %v", i, err)
		}
	}
	if n := len(c.compiled); n > maxPatterns {
		t.Errorf("%d patterns are kept", n)
	}
}

func BenchmarkWhere(b *testing.B) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE documents (body TEXT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	const rows = 20_000
	tx, err := db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	for i := range rows {
		p := sdk.NewProfile(fmt.Sprintf("0198f1c2-0000-7000-8000-%012x", i), searchTime)
		p.Traits["email"], p.Traits["city"], p.Traits["total"] = fmt.Sprintf("user%d@Example.com", i), "Lisbon", 12.5+float64(i%977)
		p.Counters["orders"] = int64(i % 40)
		p.Stats.FirstSeen, p.Stats.LastSeen = searchTime, searchTime.Add(-time.Duration(i)*time.Minute)
		if _, err := tx.Exec("INSERT INTO documents VALUES (?)", string(p.AppendJSON(nil))); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	for _, source := range []string{
		`profile.counters.orders >= 10`, `profile.traits.total > 500.5`, `profile.traits.city == "Lisbon"`, `profile.stats.last_seen > ago("7d")`,
		`lower(profile.traits.email).endsWith("@example.com")`, `profile.traits.email.matches("^user1.*")`, `profile.traits.total > profile.counters.orders`,
	} {
		b.Run(source, func(b *testing.B) {
			expression, args, err := where(compilePredicate(b, source, condition.ProfileScope), nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var n int
				if err := db.QueryRow("SELECT count(*) FROM documents WHERE "+expression, args...).Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
