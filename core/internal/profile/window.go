package profile

import (
	"slices"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

const (
	// windowExact is how many occurrences a window keeps one by one.
	windowExact = 1000
	// windowSlots is into how many parts a window is cut beyond that.
	windowSlots = 60
	// typesKept is for how many event types a profile keeps lifetime numbers.
	typesKept = 500
)

// CountEvent enters one occurrence of an event into the profile's lifetime
// numbers and into the windows that stored conditions read, of which the
// aggregates are those of the event's type. A system event is no sign of life of
// the person.
func CountEvent(doc *record.Document, e *sdk.Event, aggregates []condition.Aggregate, now time.Time) {
	stats := &doc.Profile.Stats
	if e.Source != record.SourceSystem {
		if stats.FirstSeen.IsZero() || e.Time.Before(stats.FirstSeen) {
			stats.FirstSeen = e.Time
		}
		if e.Time.After(stats.LastSeen) {
			stats.LastSeen = e.Time
		}
	}
	if e.Type == "page-view" {
		stats.Views++
	}
	t, known := stats.Events[e.Type]
	if !known && len(stats.Events) >= typesKept {
		stats.Truncated = true
		return
	}
	t.Count++
	if t.First.IsZero() || e.Time.Before(t.First) {
		t.First = e.Time
	}
	if e.Time.After(t.Last) {
		t.Last = e.Time
	}
	stats.Events[e.Type] = t
	for i := range aggregates {
		a := &aggregates[i]
		if a.Type != e.Type || a.Window == 0 && a.Property == "" {
			continue
		}
		var room [windowNameRoom]byte
		name := appendWindowName(room[:0], a.Type, a.Property, a.Window)
		w := doc.Windows[string(name)]
		if w == nil {
			w = &record.Window{Span: a.Window.Milliseconds()}
			if doc.Windows == nil {
				doc.Windows = map[string]*record.Window{}
			}
			doc.Windows[string(name)] = w
		}
		var value any
		if a.Property != "" {
			if path, err := sdk.ParsePath(a.Property); err == nil {
				value, _ = e.Properties.Get(path)
			}
		}
		enter(w, e.Time.UnixMilli(), value, a.Property != "", now.UnixMilli())
	}
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

// enter adds one occurrence to a window, in order of time, and lets go of what
// has left it. A window without a span holds one sum, of all that ever came.
func enter(w *record.Window, at int64, value any, summed bool, now int64) {
	if !isNumber(value) {
		value = nil
	}
	if w.Span == 0 {
		spill(w, at, value)
		return
	}
	leave(w, now)
	if at <= now-w.Span {
		return
	}
	i, _ := slices.BinarySearch(w.Times, at+1)
	w.Times = slices.Insert(w.Times, i, at)
	if summed {
		w.Values = slices.Insert(w.Values, i, value)
	}
	bound(w, summed)
}

// bound moves the oldest occurrences of a window to their slots where there are too
// many to be kept one by one.
func bound(w *record.Window, summed bool) {
	for len(w.Times) > windowExact {
		var oldest any
		if summed {
			oldest = w.Values[0]
			w.Values = slices.Delete(w.Values, 0, 1)
		}
		spill(w, w.Times[0], oldest)
		w.Times = slices.Delete(w.Times, 0, 1)
	}
}

// spill adds an occurrence to its slot.
func spill(w *record.Window, at int64, value any) {
	if w.Slots == nil {
		w.Slots = map[int64]record.Slot{}
	}
	n := int64(0)
	if w.Span > 0 {
		n = slotOf(w, at)
	}
	s := w.Slots[n]
	s.Count++
	if value != nil {
		if sum, err := add(s.Sum, value, false); err == nil {
			s.Sum = sum
		}
	}
	w.Slots[n] = s
}

func slotLength(w *record.Window) int64 { return max(w.Span/windowSlots, 1) }

func slotOf(w *record.Window, at int64) int64 {
	length := slotLength(w)
	n := at / length
	if at < 0 && at%length != 0 {
		n--
	}
	return n
}

// leave drops what fell out of the window.
func leave(w *record.Window, now int64) {
	from := now - w.Span
	i, _ := slices.BinarySearch(w.Times, from+1)
	w.Times = slices.Delete(w.Times, 0, i)
	if w.Values != nil {
		w.Values = slices.Delete(w.Values, 0, i)
	}
	for n := range w.Slots {
		if (n+1)*slotLength(w) <= from {
			delete(w.Slots, n)
		}
	}
}
