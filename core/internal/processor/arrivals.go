package processor

import (
	"math"
	"time"
)

// arrivals estimates how often something arrives: an average that forgets
// within arrivalsMemory. The zero value has seen nothing.
type arrivals struct {
	rate float64 // a second, at the time
	at   time.Time
}

const arrivalsMemory = 500 * time.Millisecond

// add counts n that arrived.
func (a *arrivals) add(n int, now time.Time) {
	a.rate = a.now(now) + float64(n)/arrivalsMemory.Seconds()
	a.at = now
}

// within is how many can be expected in the time to come.
func (a *arrivals) within(d time.Duration, now time.Time) float64 {
	return a.now(now) * d.Seconds()
}

func (a *arrivals) now(now time.Time) float64 {
	if a.rate == 0 {
		return 0
	}
	return a.rate * math.Exp(-max(0, now.Sub(a.at)).Seconds()/arrivalsMemory.Seconds())
}
