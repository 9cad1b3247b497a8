package bus

import (
	"sync/atomic"
	"time"
)

const (
	// acceptFor is how long processing what INGEST keeps may take, at most, for
	// accepting to come first: what is accepted shows within about a minute.
	acceptFor = 30 * time.Second
	// drainAtFirst is what is assumed to be processed a second, in bytes of the
	// log, until it has been measured.
	drainAtFirst = 8 << 20
	// drainFollows is by how much of the difference the rate follows each second:
	// what is processed shows in jumps.
	drainFollows = 0.1
)

// A drain measures how many bytes of INGEST processing gets through in a second
// when it has the machine for itself.
type drain struct{ average atomic.Uint64 }

// saw notes how much was processed in a time, and whether processing had enough
// to do then, and did not give way.
func (d *drain) saw(processed int64, elapsed time.Duration, full bool) {
	if elapsed <= 0 || processed < 0 {
		return
	}
	rate, average := float64(processed)/elapsed.Seconds(), float64(d.rate())
	if rate > average || full {
		d.average.Store(max(uint64(average+(rate-average)*drainFollows), 1))
	}
}

// rate is in bytes a second.
func (d *drain) rate() uint64 {
	if average := d.average.Load(); average > 0 {
		return average
	}
	return drainAtFirst
}

// allows tells whether so many bytes are processed soon enough.
func (d *drain) allows(bytes uint64) bool {
	return float64(bytes) < float64(d.rate())*acceptFor.Seconds()
}
