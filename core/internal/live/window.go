package live

import (
	"sort"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// A windowSize bounds a window.
type windowSize struct{ events, bytes int }

// usualWindow holds what a reader who was away for a moment has missed.
var usualWindow = windowSize{events: 1024, bytes: 4 << 20}

// A window holds the events of the stream after one sequence, up to another
// one: each that there is in between.
type window struct {
	size   windowSize
	from   uint64 // events after it are held
	end    uint64 // up to here all is known
	events []bus.StoredEvent
	bytes  int
}

// reset empties the window, which then begins behind a sequence.
func (w *window) reset(size windowSize, end uint64) {
	*w = window{size: size, from: end, end: end}
}

func (w *window) add(e *bus.StoredEvent) {
	w.events = append(w.events, *e)
	w.bytes += len(e.Data)
	w.end = e.Seq
	drop := 0
	for n := len(w.events); n-drop > w.size.events || w.bytes > w.size.bytes && n-drop > 0; drop++ {
		first := &w.events[drop]
		w.from = first.Seq
		w.bytes -= len(first.Data)
		*first = bus.StoredEvent{}
	}
	w.events = w.events[drop:]
}

// after returns the events behind a sequence; false where some of them are not
// held any more.
func (w *window) after(seq uint64) ([]bus.StoredEvent, bool) {
	if seq < w.from {
		return nil, false
	}
	i := sort.Search(len(w.events), func(i int) bool { return w.events[i].Seq > seq })
	return w.events[i:], true
}
