package config

import (
	"time"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// An Import maps the rows of a file or a table to events of a source.
type Import struct {
	ID, Source string
	Event      *EventMapping
}

// Map makes the event of one row. The row's values are what the file has: text
// for CSV, typed values where the format knows types.
func (i *Import) Map(row map[string]any, now time.Time) (Mapped, error) {
	m, err := i.Event.Map(&condition.Vars{Row: row, Now: now})
	if err == nil && m.Source == "" {
		m.Source = i.Source
	}
	return m, err
}

func compileImport(f *form, id string) any {
	return &Import{ID: id, Source: f.wantText("source"), Event: f.mapping("event", condition.RowScope)}
}

// checkImport reports what an import needs and the set does not have. The
// types of its events need no event-type: like every type, they may be known
// by name alone.
func checkImport(c *checker, compiled any, s *Set) {
	i := compiled.(*Import)
	s.wantSource(c, "spec.source", i.Source)
	if i.Event.source != nil && i.Event.source.template == nil {
		s.wantSource(c, "spec.event.source", i.Event.source.literal)
	}
	s.wantKinds(c, i.Event)
}

// wantKinds reports kinds of identifier that a mapping names and that are not in
// the set.
func (s *Set) wantKinds(c *checker, m *EventMapping) {
	for _, id := range m.ids {
		s.wantKind(c, below("spec.event.ids", id.name), id.name)
	}
}

// wantKind reports a kind of identifier that is not in the set.
func (s *Set) wantKind(c *checker, path, name string) {
	if _, ok := s.Kind(name); !ok && !s.deleted(c, KindIdentification, name) {
		c.fail(nil, path, "unknown kind of identifier; %s, or apply an identification of that id", Meant(name, s.kindNames()))
	}
}
