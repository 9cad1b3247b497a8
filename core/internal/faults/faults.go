// Package faults tells of conditions that failed on what they were asked about,
// and so count as false: each time is counted, and the log says of each
// condition so once a minute at most.
package faults

import (
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
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

	mu   sync.Mutex
	told map[string]*told // by place
}

// told is when the log was told of a place, and how often it was not since.
type told struct {
	at    time.Time
	since int
}

// New counts in a counter of a set, under a name.
func New(set *metrics.Set, name string, log *slog.Logger) *Faults {
	return &Faults{count: set.NewCounter(name), log: log, now: time.Now, told: map[string]*told{}}
}

// Saw tells of a condition that failed at a place, such as "flow thank-you: if
// big". The error may quote the document, so the log has it at the level debug
// alone.
func (f *Faults) Saw(place string, err error) {
	f.count.Inc()
	f.log.Debug("a condition failed", "at", place, "error", err)
	f.mu.Lock()
	if len(f.told) >= maxPlaces && f.told[place] == nil {
		clear(f.told)
	}
	t := f.told[place]
	if t == nil {
		t = &told{}
		f.told[place] = t
	}
	now, unsaid := f.now(), t.since
	loud := now.Sub(t.at) >= every
	if loud {
		t.at, t.since = now, 0
	} else {
		t.since++
	}
	f.mu.Unlock()
	if loud {
		f.log.Warn("a condition failed on what it was asked about and counts as false; the level debug says why", "at", place, "more_before", unsaid)
	}
}
