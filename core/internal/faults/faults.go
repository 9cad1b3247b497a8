// Package faults tells of conditions that failed on what they were asked about,
// and so count as false: each time is counted, and the log says of each
// condition so once a minute at most.
package faults

import (
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/throttle"
)

const (
	every = time.Minute
	// maxPlaces bounds how many conditions are remembered; filters come from
	// whoever may listen.
	maxPlaces = 1000
)

// Faults counts and tells. It is safe for concurrent use.
type Faults struct {
	count *metrics.Counter
	log   *slog.Logger
	now   func() time.Time

	told *throttle.Throttle // by place
}

// New counts in a counter of a set, under a name.
func New(set *metrics.Set, name string, log *slog.Logger) *Faults {
	return &Faults{count: set.NewCounter(name), log: log, now: time.Now, told: throttle.New(every, maxPlaces)}
}

// Saw tells of a condition that failed at a place, such as "flow thank-you: if
// big". The error may quote the document, so the log has it at the level debug
// alone.
func (f *Faults) Saw(place string, err error) {
	f.count.Inc()
	f.log.Debug("a condition failed", "at", place, "error", err)
	if unsaid, loud := f.told.Say(place, f.now()); loud {
		f.log.Warn("a condition failed on what it was asked about and counts as false; the level debug says why", "at", place, "more_before", unsaid)
	}
}
