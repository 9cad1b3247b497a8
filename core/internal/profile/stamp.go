package profile

import (
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
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

// Superseded tells whether a field, whose path is also given as text, was changed by
// what happened later than at: itself, or what contains it.
func Superseded(doc *record.Document, path sdk.Path, text string, at time.Time) bool {
	return changed(doc, path, text).At > at.UnixMilli()
}

// changed is the latest change of a field or of what contains it.
func changed(doc *record.Document, path sdk.Path, text string) record.Stamp {
	last := doc.Fields[text]
	// What contains it has a beginning of the text for its own.
	end := 0
	for n, name := range path[:len(path)-1] {
		switch {
		case name == "" || strings.ContainsAny(name, `.["]`):
			end += len(name) + len(`[""]`)
		case n > 0:
			end += len(name) + len(".")
		default:
			end += len(name)
		}
		if n == 0 {
			continue // a section
		}
		if of := doc.Fields[text[:end]]; of.At > last.At || of.At == last.At && of.By > last.By {
			last = of
		}
	}
	return last
}
