package sqlite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// What the file's header says: whose it is, and which tables it has.
const (
	applicationID = 0x54726962 // "Trib"
	schemaVersion = 4
)

// Every table has the columns of its kind, exactly as the body has them (null
// where it has none), the version, and the body. The statistics are fixed, not
// gathered, so that every installation has the same query plans: a profile has
// few events, a type many.
//
// An event belongs to a part: the events that were stored at about the same time.
// Where people come in no order, an index that starts with them is written to
// in as many places as there are people, and soon each event costs a page read
// and two written; one that starts with the part is written to at its end only,
// whatever the table's size. A question about one person looks into each part:
// SQLite skips from one to the next by itself. The same goes for changes.
//
// What an event tells of changes stands in its row, so that it costs no index; the
// table of changes has what no event tells.
var (
	createSchema = fmt.Sprintf(`
CREATE TABLE events (
	id TEXT NOT NULL, source TEXT NOT NULL, type TEXT, session TEXT, profile TEXT,
	time TEXT NOT NULL, received TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
	config INTEGER NOT NULL, part INTEGER NOT NULL, revision INTEGER, changes TEXT,
	UNIQUE (id, source)
);
CREATE INDEX events_profile ON events (part, profile, time) WHERE profile IS NOT NULL;
CREATE INDEX events_type ON events (type, time);
CREATE INDEX events_time ON events (time);
CREATE INDEX events_received ON events (received);
CREATE TABLE profiles (
	id TEXT NOT NULL UNIQUE, created TEXT NOT NULL, updated TEXT NOT NULL,
	version INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE INDEX profiles_created ON profiles (created);
CREATE INDEX profiles_updated ON profiles (updated);
CREATE TABLE sessions (
	id TEXT NOT NULL, profile TEXT NOT NULL, started TEXT NOT NULL, updated TEXT NOT NULL,
	version INTEGER NOT NULL, body TEXT NOT NULL,
	UNIQUE (id, profile)
);
CREATE INDEX sessions_profile ON sessions (profile, started);
CREATE INDEX sessions_started ON sessions (started);
CREATE INDEX sessions_updated ON sessions (updated);
CREATE TABLE changes (
	id TEXT NOT NULL, profile TEXT NOT NULL, time TEXT NOT NULL, received TEXT NOT NULL,
	version INTEGER NOT NULL, body TEXT NOT NULL, part INTEGER NOT NULL,
	UNIQUE (id, profile)
);
CREATE INDEX changes_profile ON changes (part, profile);
CREATE INDEX changes_received ON changes (received);
CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL);
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
	('events', 'sqlite_autoindex_events_1', '1000000 1 1'),
	('events', 'events_profile', '1000000 65536 5 1'),
	('events', 'events_type', '1000000 20000 10'),
	('events', 'events_time', '1000000 10'),
	('events', 'events_received', '1000000 10'),
	('profiles', 'sqlite_autoindex_profiles_1', '100000 1'),
	('profiles', 'profiles_created', '100000 5'),
	('profiles', 'profiles_updated', '100000 5'),
	('sessions', 'sqlite_autoindex_sessions_1', '300000 1 1'),
	('sessions', 'sessions_profile', '300000 5 1'),
	('sessions', 'sessions_started', '300000 5'),
	('sessions', 'sessions_updated', '300000 5'),
	('changes', 'sqlite_autoindex_changes_1', '1000000 1 1'),
	('changes', 'changes_profile', '1000000 65536 5'),
	('changes', 'changes_received', '1000000 10');
PRAGMA application_id = %d;
PRAGMA user_version = %d;
`, applicationID, schemaVersion)

	dropSchema = `
DROP TABLE IF EXISTS events;
DROP TABLE IF EXISTS profiles;
DROP TABLE IF EXISTS sessions;
DROP TABLE IF EXISTS changes;
DROP TABLE IF EXISTS position;
`
)

// configOf is what a query selects for the configuration of a kind's documents.
func configOf(kind store.Kind) string {
	if kind == store.Events {
		return "config"
	}
	return "0"
}

// wholeOf is what a query selects for a kind's documents: body, configuration, and what
// they tell of changes. [scanWhole] reads it.
func wholeOf(kind store.Kind) string {
	if kind == store.Events {
		return "body, config, revision, changes"
	}
	return "body, 0, NULL, NULL"
}

// keyArgs are the values of the key columns of a document's id.
func keyArgs(kind store.Kind, id string) []any {
	field, scope := kind.Key(id)
	if kind.Scope() != "" {
		return []any{field, scope}
	}
	return []any{field}
}

// partSize is how many events a part has: their share of an index fits into
// the page cache.
const partSize = 1 << 16

// upsert inserts a document, or replaces an older version of it. Behind the body
// comes, of an event or a change, its part, and of an event the configuration and what it
// tells of changes; they stay.
func upsert(kind store.Kind) string {
	columns := append(slices.Clone(kind.Columns()), "version", "body")
	sets := make([]string, len(columns))
	for i, name := range columns {
		sets[i] = name + " = excluded." + name
	}
	if !kind.Changing() {
		columns = append(columns, "part")
	}
	if kind == store.Events {
		columns = append(columns, "config", "revision", "changes")
	}
	return fmt.Sprintf("%s DO UPDATE SET %s WHERE excluded.version > %s.version", insert(kind, columns), strings.Join(sets, ", "), kind)
}

// renewal is an upsert for documents of which, as a rule, only the last of the
// times and the body change. It leaves alone the indices of the other columns,
// and where one of those has changed, the document.
func renewal(kind store.Kind) string {
	columns := kind.Columns()
	changing := columns[len(columns)-1]
	var same strings.Builder
	for _, name := range columns {
		if name != changing && !slices.Contains(kind.Keys(), name) {
			fmt.Fprintf(&same, " AND excluded.%[1]s IS %[2]s.%[1]s", name, kind)
		}
	}
	return fmt.Sprintf("%s DO UPDATE SET %[2]s = excluded.%[2]s, version = excluded.version, body = excluded.body WHERE excluded.version > %[3]s.version%[4]s",
		insert(kind, append(slices.Clone(columns), "version", "body")), changing, kind, same.String())
}

// insert is a statement up to what is to be done where the key is known.
func insert(kind store.Kind, columns []string) string {
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s) ON CONFLICT (%s)",
		kind, strings.Join(columns, ", "), strings.Repeat(", ?", len(columns)-1), strings.Join(kind.Keys(), ", "))
}

// remove deletes a document by its key, up to a version.
func remove(kind store.Kind) string {
	return fmt.Sprintf("DELETE FROM %s WHERE %s = ? AND version <= ?", kind, strings.Join(kind.Keys(), " = ? AND "))
}
