package profile

import (
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

const (
	// windowExact is how many occurrences a window keeps one by one.
	windowExact = 1000
	// windowSlots is into how many parts a window is cut beyond that.
	windowSlots = 60
	// typesKept is for how many event types a profile keeps lifetime numbers.
	typesKept = 500
)

// A window keeps the last occurrences one by one and those before them by slot. What
// is in a slot is never later than what is kept one by one, and while anything is in
// a slot, as many as there may be are kept one by one. So where no more than that lie
// in the window, all of them are kept one by one, and the answer is exact.

// CountEvent enters one occurrence of an event into the profile's lifetime
// numbers and into the windows that stored conditions read; those that nobody
// reads any more it drops. A system event is no sign of life of the person.
func CountEvent(doc *record.Document, e *sdk.Event, kept *Aggregates, now time.Time) {
	at := occurred(e)
	stats := &doc.Profile.Stats
	if e.Source != record.SourceSystem {
		if stats.FirstSeen.IsZero() || at.Before(stats.FirstSeen) {
			stats.FirstSeen = at
		}
		if at.After(stats.LastSeen) {
			stats.LastSeen = at
		}
	}
	if e.Type == "page-view" {
		stats.Views++
	}
	kept.Clear(doc)
	doc.Windows = kept.Enter(doc.Windows, e, now)
	t, known := stats.Events[e.Type]
	if !known && len(stats.Events) >= typesKept {
		stats.Truncated = true
		return
	}
	t.Count++
	if t.First.IsZero() || at.Before(t.First) {
		t.First = at
	}
	if at.After(t.Last) {
		t.Last = at
	}
	stats.Events[e.Type] = t
}

// occurred is when an event counts as having happened: what is dated after it was
// received comes from a clock that is ahead, and counts from when it was received.
func occurred(e *sdk.Event) time.Time {
	if e.Time.After(e.Received) {
		return e.Received
	}
	return e.Time
}

// Fill enters what was found of a profile's stored events into the windows, each
// find once, and tells whether it did. What is not kept, or not since the revision
// that it was looked for by, is left out.
func Fill(doc *record.Document, b *record.Backfill, kept *Aggregates, now time.Time) bool {
	kept.Clear(doc)
	if !doc.Filled[b.Profile].Before(b.Fill) {
		return false
	}
	entered := false
	for _, name := range sortedKeys(b.Windows) {
		found := b.Windows[name]
		if kept == nil || kept.since[name] != b.Since || found.Since != b.Since {
			continue
		}
		if doc.Windows == nil {
			doc.Windows = map[string]*record.Window{}
		}
		doc.Windows[name] = uniteWindows(doc.Windows[name], found, now)
		entered = true
	}
	if entered {
		keepFill(doc, b.Profile, b.Fill)
	}
	return entered
}

func keepFill(doc *record.Document, id string, at record.Fill) {
	if doc.Filled == nil {
		doc.Filled = map[string]record.Fill{}
	}
	doc.Filled[id] = at
}

// uniteWindows is a window of the occurrences of both; of windows kept since different
// revisions it is the later one.
func uniteWindows(a, b *record.Window, now time.Time) *record.Window {
	switch {
	case a == nil || a.Since < b.Since:
		return b
	case a.Since > b.Since:
		return a
	}
	if a.Span > 0 {
		leave(a, now.UnixMilli())
		leave(b, now.UnixMilli())
	}
	times, values := a.Times, a.Values
	summed := a.Values != nil || b.Values != nil
	a.Times, a.Values = make([]int64, 0, len(times)+len(b.Times)), nil
	for i, j := 0, 0; i < len(times) || j < len(b.Times); {
		if j == len(b.Times) || i < len(times) && times[i] <= b.Times[j] {
			a.Times = append(a.Times, times[i])
			if summed {
				a.Values = append(a.Values, values[i])
			}
			i++
			continue
		}
		a.Times = append(a.Times, b.Times[j])
		if summed {
			a.Values = append(a.Values, b.Values[j])
		}
		j++
	}
	for n, theirs := range b.Slots {
		mine := a.Slots[n]
		mine.Count += theirs.Count
		mine.Sum = plus(mine.Sum, theirs.Sum)
		mine.Last = max(mine.Last, theirs.Last)
		keepSlot(a, n, mine)
	}
	bound(a, summed)
	return a
}

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
	over := len(w.Times) - windowExact
	if over <= 0 {
		return
	}
	for i, at := range w.Times[:over] {
		var value any
		if summed {
			value = w.Values[i]
		}
		spill(w, at, value)
	}
	w.Times = slices.Delete(w.Times, 0, over)
	if summed {
		w.Values = slices.Delete(w.Values, 0, over)
	}
}

// spill adds an occurrence to its slot.
func spill(w *record.Window, at int64, value any) {
	n := int64(0)
	if w.Span > 0 {
		n = slotOf(w, at)
	}
	s, known := w.Slots[n]
	s.Count++
	if value != nil {
		if sum, err := add(s.Sum, value, false); err == nil {
			s.Sum = sum
		}
	}
	if !known || at > s.Last {
		s.Last = at
	}
	keepSlot(w, n, s)
}

func keepSlot(w *record.Window, n int64, s record.Slot) {
	if w.Slots == nil {
		w.Slots = map[int64]record.Slot{}
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
	for n, s := range w.Slots {
		if s.Last <= from {
			delete(w.Slots, n)
		}
	}
}
