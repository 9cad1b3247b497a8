package processor

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An event may ask that it leave its profile as it is. It is validated, described
// and sent on like any other, and identifiers tell whom it is about; but nobody
// comes to hold one through it, and neither profile nor session change or begin.

// applyAside folds such an event into a copy of its profile, of which the event
// alone goes on. Where nobody has the profile it is about nobody.
func (b *batch) applyAside(e *entry, a *application) error {
	if e.doc == nil {
		a.annotate()
		return nil
	}
	doc, err := record.ParseDocument(e.doc.AppendJSON(nil))
	if err != nil {
		return fmt.Errorf("copy a profile: %w", err)
	}
	b.weight += e.size // what the copy costs
	a.doc = doc
	a.apply(doc.Profile.ID, nil)
	doc.Profile.Revision = e.doc.Profile.Revision
	a.changes, a.ended = nil, nil
	if doc.Session = e.doc.Session; doc.Session != nil && doc.Session.ID != a.event.Session {
		doc.Session = nil // the event's has not begun
	}
	return nil
}
