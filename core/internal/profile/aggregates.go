package profile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An Aggregate is a windowed count or a sum that profiles keep.
type Aggregate struct {
	Type     string
	Property string        // what is summed, a path below the event's properties; empty for a count
	Window   time.Duration // 0 is the lifetime
	// Since is the revision of the configuration from which on it is kept without
	// interruption.
	Since uint64

	name string // of its window in a document
	path sdk.Path
}

// KeptOf is what has to be kept for an aggregate that a condition reads; false where
// it is there for every profile and type, as a lifetime's count, first and last are.
func KeptOf(a condition.Aggregate) (Aggregate, bool) {
	return Aggregate{Type: a.Type, Property: a.Property, Window: a.Window}, a.Window != 0 || a.Property != ""
}

// String writes the aggregate as conditions do.
func (a Aggregate) String() string {
	text := "count("
	if a.Property != "" {
		text = "sum("
	}
	text += strconv.Quote(a.Type)
	if a.Property != "" {
		text += ", " + strconv.Quote(a.Property)
	}
	if a.Window != 0 {
		text += ", " + strconv.Quote(spanText(a.Window))
	}
	return text + ")"
}

// spanText writes a duration as conditions do: in days where it has nothing else.
func spanText(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// Aggregates are all that profiles keep by one revision of the configuration. They
// do not change. Nil keeps nothing and knows of nothing.
type Aggregates struct {
	revision uint64
	list     []Aggregate
	byType   map[string][]Aggregate
	since    map[string]uint64 // by the name of the window
}

// NewAggregates makes the aggregates of a revision; each is there once.
func NewAggregates(revision uint64, list []Aggregate) *Aggregates {
	a := &Aggregates{
		revision: revision, list: slices.Clone(list),
		byType: map[string][]Aggregate{}, since: make(map[string]uint64, len(list)),
	}
	for i := range a.list {
		one := &a.list[i]
		one.name = string(appendWindowName(nil, one.Type, one.Property, one.Window))
		if one.Property != "" {
			// A path that is none would have been refused with the condition.
			one.path, _ = sdk.ParsePath(one.Property)
		}
	}
	slices.SortFunc(a.list, func(x, y Aggregate) int {
		return cmp.Or(strings.Compare(x.Type, y.Type), cmp.Compare(x.Window, y.Window), strings.Compare(x.Property, y.Property))
	})
	for _, one := range a.list {
		a.byType[one.Type] = append(a.byType[one.Type], one)
		a.since[one.name] = one.Since
	}
	return a
}

// List are all aggregates, by type, window and property.
func (a *Aggregates) List() []Aggregate {
	if a == nil {
		return nil
	}
	return a.list
}

// Since is the revision from which on an aggregate is kept; 0: it is not kept.
func (a *Aggregates) Since(one Aggregate) uint64 {
	if a == nil {
		return 0
	}
	var room [windowNameRoom]byte
	return a.since[string(appendWindowName(room[:0], one.Type, one.Property, one.Window))]
}

// of are the aggregates of a type.
func (a *Aggregates) of(eventType string) []Aggregate {
	if a == nil {
		return nil
	}
	return a.byType[eventType]
}

// stale tells whether a window is none of those that are kept: of an aggregate that
// nobody reads any more, or that went and came again. One that is kept since a later
// revision is not: a profile that was merged into this one was ahead. Since is that of
// the aggregate of the window's name, 0 where it is not kept.
func (a *Aggregates) stale(w *record.Window, since uint64) bool {
	return w.Since <= a.revision && w.Since != since
}

// Clear drops the windows of a document that nobody reads any more. It looks once at
// what a document has: what is entered afterwards by the same revision is kept.
func (a *Aggregates) Clear(doc *record.Document) {
	if a == nil || doc.Cleared == a.revision && a.revision > 0 {
		return
	}
	doc.Cleared = a.revision
	for name, w := range doc.Windows {
		if a.stale(w, a.since[name]) {
			delete(doc.Windows, name)
		}
	}
	for id, at := range doc.Filled {
		if at.Since <= a.revision && !slices.ContainsFunc(a.list, func(one Aggregate) bool { return one.Since == at.Since }) {
			delete(doc.Filled, id)
		}
	}
}

// Enter enters an event into windows: those of its type's aggregates, but for such as
// are already kept since another revision. It returns the windows, which it makes
// where there are none. Now is when what fell out of a window leaves it.
func (a *Aggregates) Enter(windows map[string]*record.Window, e *sdk.Event, now time.Time) map[string]*record.Window {
	list := a.of(e.Type)
	for i := range list {
		windows = list[i].Enter(windows, e, now)
	}
	return windows
}

// Enter enters an event of the aggregate's type into its window.
func (a *Aggregate) Enter(windows map[string]*record.Window, e *sdk.Event, now time.Time) map[string]*record.Window {
	w := windows[a.name]
	if w == nil {
		w = &record.Window{Span: a.Window.Milliseconds(), Since: a.Since}
		if windows == nil {
			windows = map[string]*record.Window{}
		}
		windows[a.name] = w
	}
	if w.Since != a.Since {
		return windows
	}
	var value any
	if a.path != nil {
		value, _ = e.Properties.Get(a.path)
	}
	enter(w, occurred(e).UnixMilli(), value, a.path != nil, now.UnixMilli())
	return windows
}

// appendWindowName appends the key of a window in a document: a JSON array of
// event type, property and span in milliseconds.
func appendWindowName(dst []byte, eventType, property string, span time.Duration) []byte {
	dst = sdk.AppendString(append(dst, '['), eventType)
	dst = sdk.AppendString(append(dst, ','), property)
	return append(strconv.AppendInt(append(dst, ','), span.Milliseconds(), 10), ']')
}

// windowNameRoom is enough for most names.
const windowNameRoom = 96
