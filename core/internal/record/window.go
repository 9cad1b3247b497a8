package record

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tributary-bus/tributary/sdk"
)

// A Window holds the occurrences of one event type that fell into a span of
// time before now, by event time: each of them up to a bound, sums by slot
// beyond it. Times and spans are in milliseconds.
type Window struct {
	Span int64 // how far back it reaches
	// Since is the revision of the configuration from which on it is kept: events
	// that were processed by an earlier one are not in it but by a [Backfill].
	Since uint64
	// Times are the occurrences, ascending, with their values beside them
	// where a property is summed (null where it was no number).
	Times  []int64
	Values []any
	// Slots hold what no longer fits into Times: a sixtieth of the span each,
	// by the number of the slot since 1970.
	Slots map[int64]Slot
}

// A Slot is what a sixtieth of a window's span held.
type Slot struct {
	Count int64
	Sum   any   // number, or nil
	Last  int64 // when the last of its occurrences was
}

func (w *Window) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"span":`...)
	dst = strconv.AppendInt(dst, w.Span, 10)
	dst = append(dst, `,"since":`...)
	dst = strconv.AppendUint(dst, w.Since, 10)
	dst = append(dst, `,"times":[`...)
	for i, t := range w.Times {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, t, 10)
	}
	dst = append(dst, ']')
	if w.Values != nil {
		dst = append(dst, `,"values":`...)
		dst = sdk.AppendValue(dst, w.Values)
	}
	if len(w.Slots) > 0 {
		dst = append(dst, `,"slots":[`...)
		numbers := make([]int64, 0, len(w.Slots))
		for n := range w.Slots {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
		for i, n := range numbers {
			if i > 0 {
				dst = append(dst, ',')
			}
			s := w.Slots[n]
			dst = sdk.AppendValue(dst, []any{n, s.Count, s.Sum, s.Last})
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *Window) UnmarshalJSON(text []byte) error {
	var raw struct {
		Span   int64             `json:"span"`
		Since  uint64            `json:"since"`
		Times  []int64           `json:"times"`
		Values json.RawMessage   `json:"values"`
		Slots  []json.RawMessage `json:"slots"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*w = Window{Span: raw.Span, Since: raw.Since, Times: raw.Times}
	if raw.Values != nil {
		v, err := sdk.ParseValue(raw.Values)
		if err != nil {
			return err
		}
		w.Values, _ = v.([]any)
	}
	for _, slot := range raw.Slots {
		v, err := sdk.ParseValue(slot)
		if err != nil {
			return err
		}
		list, _ := v.([]any)
		if len(list) != 4 {
			return ErrMalformed
		}
		n, _ := list[0].(int64)
		count, _ := list[1].(int64)
		if w.Slots == nil {
			w.Slots = map[int64]Slot{}
		}
		last, _ := list[3].(int64)
		w.Slots[n] = Slot{Count: count, Sum: list[2], Last: last}
	}
	return nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
