package sdk

import (
	"encoding/json"
	"slices"
	"time"
)

// A Profile is what is known of one person.
type Profile struct {
	ID         string
	IDs        []string            // every profile id it ever had, its own first
	Identities map[string][]string // identity kind → values, in order of arrival
	Created    time.Time
	Updated    time.Time
	// Revision grows by one with each change; it is the document's external
	// version in the query store.
	Revision  uint64
	Traits    map[string]any
	Data      map[string]any // pii, contact, …
	Segments  map[string]any // id → {since}
	Consents  map[string]any
	Interests map[string]any
	Counters  map[string]any // numbers, exact to 34 significant digits
	Stats     Stats
}

// Stats counts what a profile did.
type Stats struct {
	Visits    int64
	Views     int64
	FirstSeen time.Time // earliest event time
	LastSeen  time.Time // latest event time
	// Events counts, for up to 500 event types, all that the profile ever did.
	Events map[string]TypeStats
	// Truncated is true where a further type came after the 500th.
	Truncated bool
}

// TypeStats is a profile's lifetime history of one event type, by event time.
type TypeStats struct {
	Count int64
	First time.Time
	Last  time.Time
}

// NewProfile returns an empty profile with all of its maps made.
func NewProfile(id string, created time.Time) *Profile {
	return &Profile{
		ID: id, IDs: []string{id}, Created: created, Updated: created,
		Identities: map[string][]string{}, Traits: map[string]any{}, Data: map[string]any{},
		Segments: map[string]any{}, Consents: map[string]any{}, Interests: map[string]any{},
		Counters: map[string]any{}, Stats: Stats{Events: map[string]TypeStats{}},
	}
}

// Section returns one of the profile's open objects by its name in the
// contract: traits, data, segments, consents, interests or counters.
func (p *Profile) Section(name string) (map[string]any, bool) {
	switch name {
	case "traits":
		return p.Traits, true
	case "data":
		return p.Data, true
	case "segments":
		return p.Segments, true
	case "consents":
		return p.Consents, true
	case "interests":
		return p.Interests, true
	case "counters":
		return p.Counters, true
	}
	return nil, false
}

// Field returns a field by its name in the contract: what a condition sees
// below `profile`. It is false for a name that profiles do not have.
func (p *Profile) Field(name string) (any, bool) {
	if section, ok := p.Section(name); ok {
		return section, true
	}
	switch name {
	case "id":
		return p.ID, true
	case "ids":
		return anyList(p.IDs), true
	case "identities":
		m := make(map[string]any, len(p.Identities))
		for kind, values := range p.Identities {
			m[kind] = anyList(values)
		}
		return m, true
	case "created":
		return p.Created, true
	case "updated":
		return p.Updated, true
	case "revision":
		return int64(p.Revision), true
	case "stats":
		return p.Stats.Map(), true
	}
	return nil, false
}

// Map returns the statistics as a value.
func (s *Stats) Map() map[string]any {
	m := map[string]any{"visits": s.Visits, "views": s.Views}
	if !s.FirstSeen.IsZero() {
		m["first_seen"], m["last_seen"] = s.FirstSeen, s.LastSeen
	}
	events := make(map[string]any, len(s.Events))
	for name, t := range s.Events {
		events[name] = map[string]any{"count": t.Count, "first": t.First, "last": t.Last}
	}
	m["events"] = events
	if s.Truncated {
		m["truncated"] = true
	}
	return m
}

// AppendJSON appends the profile in the form of the contract. Every field is
// present, and object names are sorted: equal profiles have equal texts.
func (p *Profile) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, p.ID)
	dst = append(dst, `,"ids":`...)
	dst = AppendValue(dst, p.IDs)
	dst = append(dst, `,"identities":{`...)
	kinds := make([]string, 0, len(p.Identities))
	for kind := range p.Identities {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for i, kind := range kinds {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, kind)
		dst = append(dst, ':')
		dst = AppendValue(dst, p.Identities[kind])
	}
	dst = append(dst, `},"created":`...)
	dst = AppendTime(dst, p.Created)
	dst = append(dst, `,"updated":`...)
	dst = AppendTime(dst, p.Updated)
	dst = append(dst, `,"revision":`...)
	dst = AppendValue(dst, p.Revision)
	for _, section := range [...]struct {
		name   string
		object map[string]any
	}{
		{"traits", p.Traits}, {"data", p.Data}, {"segments", p.Segments}, {"consents", p.Consents},
		{"interests", p.Interests}, {"counters", p.Counters},
	} {
		dst = append(dst, `,"`...)
		dst = append(dst, section.name...)
		dst = append(dst, `":`...)
		dst = AppendValue(dst, section.object)
	}
	dst = append(dst, `,"stats":`...)
	dst = p.Stats.appendJSON(dst)
	return append(dst, '}')
}

func (s *Stats) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"visits":`...)
	dst = AppendValue(dst, s.Visits)
	dst = append(dst, `,"views":`...)
	dst = AppendValue(dst, s.Views)
	if !s.FirstSeen.IsZero() {
		dst = append(dst, `,"first_seen":`...)
		dst = AppendTime(dst, s.FirstSeen)
		dst = append(dst, `,"last_seen":`...)
		dst = AppendTime(dst, s.LastSeen)
	}
	dst = append(dst, `,"events":{`...)
	names := make([]string, 0, len(s.Events))
	for name := range s.Events {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		t := s.Events[name]
		dst = AppendString(dst, name)
		dst = append(dst, `:{"count":`...)
		dst = AppendValue(dst, t.Count)
		dst = append(dst, `,"first":`...)
		dst = AppendTime(dst, t.First)
		dst = append(dst, `,"last":`...)
		dst = AppendTime(dst, t.Last)
		dst = append(dst, '}')
	}
	dst = append(dst, '}')
	if s.Truncated {
		dst = append(dst, `,"truncated":true`...)
	}
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (p Profile) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Profile) UnmarshalJSON(text []byte) error {
	m, err := ParseObject(text)
	if err != nil {
		return err
	}
	return p.fromMap(m)
}

// ProfileOf makes a profile of an object as [Profile.AppendJSON] writes it. The
// profile takes the object's values over.
func ProfileOf(o Object) (*Profile, error) {
	p := &Profile{}
	return p, p.fromMap(o.View())
}

func (p *Profile) fromMap(m map[string]any) error {
	*p = *NewProfile("", time.Time{})
	d := fields{m: m}
	p.ID = d.str("id")
	p.IDs = d.strs("ids")
	for kind, values := range d.object("identities") {
		p.Identities[kind] = toStrings(values)
	}
	p.Created, p.Updated = d.time("created"), d.time("updated")
	p.Revision = uint64(d.integer("revision"))
	for _, section := range [...]struct {
		name   string
		object *map[string]any
	}{
		{"traits", &p.Traits}, {"data", &p.Data}, {"segments", &p.Segments}, {"consents", &p.Consents},
		{"interests", &p.Interests}, {"counters", &p.Counters},
	} {
		if o := d.object(section.name); o != nil {
			*section.object = o
		}
	}
	s := fields{m: d.object("stats")}
	p.Stats.Visits, p.Stats.Views = s.integer("visits"), s.integer("views")
	p.Stats.FirstSeen, p.Stats.LastSeen = s.time("first_seen"), s.time("last_seen")
	for name, v := range s.object("events") {
		t, _ := v.(map[string]any)
		e := fields{m: t}
		p.Stats.Events[name] = TypeStats{Count: e.integer("count"), First: e.time("first"), Last: e.time("last")}
		d.keep(e.err)
	}
	p.Stats.Truncated, _ = s.m["truncated"].(bool)
	d.keep(s.err)
	return d.err
}

// fields reads a decoded object and keeps the first error.
type fields struct {
	m   map[string]any
	err error
}

func (d *fields) keep(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *fields) str(name string) string {
	s, _ := d.m[name].(string)
	return s
}

func (d *fields) strs(name string) []string { return toStrings(d.m[name]) }

func (d *fields) object(name string) map[string]any {
	o, _ := d.m[name].(map[string]any)
	return o
}

func (d *fields) integer(name string) int64 {
	switch n := d.m[name].(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	case json.Number:
		i, err := n.Int64()
		d.keep(err)
		return i
	}
	return 0
}

func (d *fields) time(name string) time.Time {
	s := d.str(name)
	if s == "" {
		return time.Time{}
	}
	t, err := ParseTime(s)
	d.keep(err)
	return t
}

func toStrings(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
