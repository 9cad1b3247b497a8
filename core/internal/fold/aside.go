package fold

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An event may ask that it leave its profile as it is. It is validated, described
// and sent on like any other, and identifiers tell whom it is about; but nobody
// comes to hold one through it, and neither profile nor session change or begin.

// applyAside folds such an event into a copy of its profile, of which the event
// alone goes on. Where nobody has the profile it is about nobody.
func (f *Fold) applyAside() {
	if f.Doc == nil {
		f.annotate()
		return
	}
	kept := f.Doc
	doc, err := record.ParseDocument(kept.AppendJSON(nil))
	if err != nil {
		panic(fmt.Sprintf("a document that was written just now cannot be read: %v", err))
	}
	claims := f.Claims
	f.Doc, f.Claims = doc, nil
	f.enter()
	f.Claims = claims
	doc.Profile.Revision = kept.Profile.Revision
	f.changes, f.ended = nil, nil
	if doc.Session = kept.Session; doc.Session != nil && doc.Session.ID != f.event.Session {
		doc.Session = nil // the event's has not begun
	}
}
