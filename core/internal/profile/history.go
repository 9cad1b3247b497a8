package profile

import (
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A History answers count, sum, first and last of conditions from a document,
// as they are at a time.
type History struct {
	Doc *record.Document // nil: nobody, who has done nothing
	Now time.Time        // where windows end
	// Kept says which windows of the document hold what they say; nil: all.
	Kept *Aggregates
}

var _ condition.History = (*History)(nil)

// Count implements condition.History. A window counts what lies after its
// start up to and including now.
func (h *History) Count(eventType string, window time.Duration) int64 {
	if h.Doc == nil {
		return 0
	}
	if window == 0 {
		return h.Doc.Profile.Stats.Events[eventType].Count
	}
	count, _ := h.read(eventType, "", window)
	return count
}

// Sum implements condition.History.
func (h *History) Sum(eventType, property string, window time.Duration) any {
	if h.Doc == nil {
		return nil
	}
	_, sum := h.read(eventType, property, window)
	return sum
}

// First implements condition.History.
func (h *History) First(eventType string) time.Time {
	if h.Doc == nil {
		return time.Time{}
	}
	return h.Doc.Profile.Stats.Events[eventType].First
}

// Last implements condition.History.
func (h *History) Last(eventType string) time.Time {
	if h.Doc == nil {
		return time.Time{}
	}
	return h.Doc.Profile.Stats.Events[eventType].Last
}

func (h *History) read(eventType, property string, window time.Duration) (count int64, sum any) {
	var room [windowNameRoom]byte
	name := appendWindowName(room[:0], eventType, property, window)
	w := h.Doc.Windows[string(name)]
	if w == nil || h.Kept != nil && h.Kept.stale(w, h.Kept.since[string(name)]) {
		return 0, nil
	}
	if w.Span == 0 {
		return w.Slots[0].Count, w.Slots[0].Sum
	}
	now := h.Now.UnixMilli()
	from := now - w.Span
	i, _ := slices.BinarySearch(w.Times, from+1)
	j, _ := slices.BinarySearch(w.Times, now+1)
	count = int64(j - i)
	if property != "" {
		for _, v := range w.Values[i:j] {
			sum = plus(sum, v)
		}
	}
	slots := make([]int64, 0, len(w.Slots))
	for n, s := range w.Slots {
		if s.Last > from && n*slotLength(w) <= now {
			slots = append(slots, n)
		}
	}
	slices.Sort(slots)
	for _, n := range slots {
		count += w.Slots[n].Count
		sum = plus(sum, w.Slots[n].Sum)
	}
	return count, sum
}

// plus adds numbers; nil is no number.
func plus(a, b any) any {
	if b == nil {
		return a
	}
	sum, err := add(a, b, false)
	if err != nil {
		return a
	}
	return sum
}
