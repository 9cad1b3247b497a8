package store

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A Kind says what a document describes.
type Kind string

// The kinds of document.
const (
	Events   Kind = "events"
	Profiles Kind = "profiles"
	Sessions Kind = "sessions"
	// Changes are entries of profiles' change logs that no event of the store tells.
	Changes Kind = "changes"
)

// Kinds are all kinds.
var Kinds = []Kind{Events, Profiles, Sessions, Changes}

// Queried are the kinds that are asked for by conditions.
var Queried = []Kind{Events, Profiles, Sessions}

// The fields of each kind that a store keeps beside the body, as indices need
// them. All are texts; id comes first.
var (
	eventColumns   = []string{"id", "source", "type", "session", "profile", "time", "received"}
	profileColumns = []string{"id", "created", "updated"}
	sessionColumns = []string{"id", "profile", "started", "updated"}
	changeColumns  = []string{"id", "profile", "time", "received"}
)

// maxColumns is the number of columns of the kind that has the most.
const maxColumns = 7

// Columns names the first-level fields of the kind's documents that
// [Document.Column] gives, id first.
func (k Kind) Columns() []string {
	switch k {
	case Events:
		return eventColumns
	case Profiles:
		return profileColumns
	case Sessions:
		return sessionColumns
	case Changes:
		return changeColumns
	}
	return nil
}

// Changing tells whether a document of the kind may have later versions.
func (k Kind) Changing() bool { return k == Profiles || k == Sessions }

// Scope names the column that makes a document's id unique together with its
// field id: events are known by their source and their own id, sessions by
// their profile and the client's session id, changes by their profile. It is empty
// for profiles.
func (k Kind) Scope() string {
	switch k {
	case Events:
		return "source"
	case Sessions, Changes:
		return "profile"
	}
	return ""
}

// Times are the columns of the kind that every document has and that hold a
// time; the last of them is what changed last.
func (k Kind) Times() []string {
	switch k {
	case Events:
		return []string{"received", "time"}
	case Profiles:
		return []string{"created", "updated"}
	case Sessions:
		return []string{"started", "updated"}
	case Changes:
		return []string{"time", "received"}
	}
	return nil
}

// A Document is what a store keeps: the public form of an event, a profile,
// a session or a change.
type Document struct {
	Kind Kind
	// ID is the field id of a profile; source/id of an event; profile/id of a
	// session or a change.
	ID string
	// Version grows with every change: the revision of a profile or session, and
	// of its profile for a change; 1 for an event, which never changes.
	Version uint64
	Body    []byte // compact JSON
	// Config is the revision of the configuration by which an event was processed, 0
	// where its profile does not count it. It is kept beside the body.
	Config uint64
	// Log is of an event that changed its profile: what an entry of the change log
	// says of that, as record.CutChanges writes it, and the profile's revision.
	Log *Log
	// Sender is the profile that an event was sent to which is about nobody, since it is
	// not valid. It is not kept.
	Sender  string
	columns [maxColumns]string
}

// A Log is what an event has of an entry of the change log.
type Log struct {
	Revision uint64
	Changes  []byte
}

// Column returns the value of the kind's i-th column, empty where the document
// has none.
func (d *Document) Column(i int) string { return d.columns[i] }

// Key splits a document's id into the field id and the scope.
func (k Kind) Key(id string) (field, scope string) {
	if k.Scope() == "" {
		return id, ""
	}
	scope, field, _ = strings.Cut(id, "/")
	return field, scope
}

// ID joins a field id and a scope to a document's id.
func (k Kind) ID(field, scope string) string {
	if k.Scope() == "" {
		return field
	}
	return scope + "/" + field
}

// MaxBody bounds a document; what is larger is refused.
const MaxBody = 16 << 20

// NewDocument makes a document of a JSON object. It refuses a text that is not
// valid, and one without the fields that make up its id, version and times.
func NewDocument(kind Kind, body []byte) (Document, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	doc, err := ReadDocument(kind, body, dec)
	if err != nil {
		return Document{}, err
	}
	if rest := bytes.TrimSpace(body[dec.InputOffset():]); len(rest) > 0 {
		return Document{}, fmt.Errorf("read %s document %s: text goes on after the JSON object", kind, doc.ID)
	}
	return doc, nil
}

// ReadDocument makes a document of the next value of dec, whose whole input is
// text; the document's body is a part of text, not a copy.
func ReadDocument(kind Kind, text []byte, dec *jsontext.Decoder) (Document, error) {
	doc := Document{Kind: kind}
	if kind.Columns() == nil {
		return doc, fmt.Errorf("read document: unknown kind %q, want one of %v", kind, Kinds)
	}
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return doc, fmt.Errorf("read %s document: %w", kind, err)
		}
		return doc, fmt.Errorf("read %s document: want a JSON object", kind)
	}
	if _, err := dec.ReadToken(); err != nil {
		return doc, fmt.Errorf("read %s document: %w", kind, err)
	}
	start := dec.InputOffset() - 1
	var refused error
	keep := func(err error) {
		if refused == nil {
			refused = err
		}
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return doc, fmt.Errorf("read %s document: %w", kind, err)
		}
		at := doc.place(name)
		value, err := dec.ReadValue()
		if err != nil {
			return doc, fmt.Errorf("read %s document: %w", kind, err)
		}
		if at != elsewhere {
			keep(doc.set(at, value))
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return doc, fmt.Errorf("read %s document: %w", kind, err)
	}
	doc.Body = text[start:dec.InputOffset()]
	keep(doc.identify())
	if refused != nil {
		return doc, fmt.Errorf("read %s document %s: %w", kind, doc.ID, refused)
	}
	return doc, nil
}

// Where a field of a body goes.
const (
	elsewhere = -1
	revision  = -2
)

// place tells which column the field of a quoted name is.
func (d *Document) place(name jsontext.Value) int {
	name = name[1 : len(name)-1]
	if d.Kind != Events && string(name) == "revision" {
		return revision
	}
	for i, column := range d.Kind.Columns() {
		if string(name) == column {
			return i
		}
	}
	return elsewhere
}

func (d *Document) set(at int, value jsontext.Value) error {
	if at == revision {
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil {
			return fmt.Errorf("revision is %s, want a whole number below 2^63", value)
		}
		d.Version = n
		return nil
	}
	switch value.Kind() {
	case '"':
		// Quotes and nothing to unescape is what nearly all are.
		if bytes.IndexByte(value, '\\') < 0 {
			d.columns[at] = string(value[1 : len(value)-1])
			return nil
		}
		text, err := jsontext.AppendUnquote(nil, value)
		d.columns[at] = string(text)
		return err
	case 'n':
		return nil
	}
	return fmt.Errorf("%s is no string", d.Kind.Columns()[at])
}

// identify derives the id and the version from the fields, and checks what
// every document must have.
func (d *Document) identify() error {
	columns := d.Kind.Columns()
	scope := ""
	if name := d.Kind.Scope(); name != "" {
		scope = d.columns[slices.Index(columns, name)]
		if scope == "" || strings.Contains(scope, "/") {
			return fmt.Errorf("%s is %q, want a text without a slash", name, scope)
		}
	}
	d.ID = d.Kind.ID(d.columns[0], scope)
	if d.columns[0] == "" {
		return fmt.Errorf("it has no id")
	}
	for _, name := range d.Kind.Times() {
		if at := d.columns[slices.Index(columns, name)]; !canonicalTime(at) {
			return fmt.Errorf("%s is %q, want a time such as 2026-01-31T12:00:00.000Z", name, at)
		}
	}
	if d.Kind == Events {
		d.Version = 1
	}
	if d.Version == 0 || d.Version > math.MaxInt64 {
		return fmt.Errorf("it has no revision")
	}
	if len(d.Body) > MaxBody {
		return fmt.Errorf("its %d bytes are over the limit of %d", len(d.Body), MaxBody)
	}
	return nil
}

// canonicalTime tells whether s has the form in which times are stored, in
// which the order of texts is the order of times.
func canonicalTime(s string) bool {
	const form = "0000-00-00T00:00:00.000Z"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if digit := s[i] >= '0' && s[i] <= '9'; form[i] == '0' && !digit || form[i] != '0' && s[i] != form[i] {
			return false
		}
	}
	return true
}
