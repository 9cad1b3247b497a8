package profile

import (
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A profile keeps of each field when it was changed, by the time of the event, and by
// what: so that what happened earlier and arrives later does not take its place,
// and so that of two profiles that become one the later value is known.

// Stamp notes a change of a field; by is an event's id, or who wanted a patch.
func Stamp(doc *record.Document, path string, at time.Time, by string) {
	keep(doc, path, record.Stamp{At: at.UnixMilli(), By: by})
}

func keep(doc *record.Document, path string, s record.Stamp) {
	if doc.Fields == nil {
		doc.Fields = map[string]record.Stamp{}
	}
	doc.Fields[path] = s
}

// Superseded tells whether a field was changed by what happened later than at.
func Superseded(doc *record.Document, path string, at time.Time) bool {
	return doc.Fields[path].At > at.UnixMilli()
}
