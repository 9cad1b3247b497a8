package fold

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An event may ask that it leave its profile as it is. It is validated, described
// and sent on like any other, and identifiers tell whom it is about; but nobody
// comes to hold one through it, and neither profile nor session change or begin.

// applyAside folds such an event into a copy of its profile, of which the event
// alone goes on: with the session as it was. Where nobody has the profile it is about
// nobody.
func (f *Fold) applyAside() {
	if f.Doc == nil {
		f.annotate()
		return
	}
	doc, err := record.ParseDocument(f.Doc.AppendJSON(nil))
	if err != nil {
		panic(fmt.Sprintf("a document that was written just now cannot be read: %v", err))
	}
	f.Doc = doc
	f.follow()
	f.changes = nil
}
