package fold

import "github.com/tributary-bus/tributary/core/internal/record"

// Some things change by time alone. A document says when the first of them does; then
// its partition's owner sends the command that does what is due. It does whatever is
// due by the instant that the command carries and nothing else, so that one which
// comes twice, or when the profile has moved on, does nothing.

// dueOf is the earliest instant, in milliseconds since 1970, at which something about
// the profile changes by time alone, 0 where nothing does.
func (f *Fold) dueOf(doc *record.Document) int64 {
	if doc.State != record.StateLive {
		return 0
	}
	return visitsDue(doc)
}

// sooner is the earlier of two instants, of which 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// applyDue does what is due. Its id is not kept: a repetition is told by the document.
func (f *Fold) applyDue() {
	if f.live() {
		f.endVisits()
	}
}
