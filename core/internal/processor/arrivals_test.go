package processor

import (
	"testing"
	"time"
)

// TestArrivals has a stream of arrivals begin, go on, burst and end.
func TestArrivals(t *testing.T) {
	var a arrivals
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	check := func(what string, least, most float64) {
		t.Helper()
		if got := a.within(gatherFor, now); got < least || got > most {
			t.Errorf("%s: %.2f expected within %s, want %.2f to %.2f", what, got, gatherFor, least, most)
		}
	}
	check("nothing arrived", 0, 0)
	steady := func(rate int) {
		for range 3 * rate {
			now = now.Add(time.Second / time.Duration(rate))
			a.add(1, now)
		}
	}
	steady(12)
	check("12 a second", 0.4, worthGathering)
	steady(400)
	check("400 a second", 18, 22)
	for range 100 { // portions of 20 every 50 ms, as gathering makes them
		now = now.Add(50 * time.Millisecond)
		a.add(20, now)
	}
	check("400 a second, gathered", 18, 22)
	now = now.Add(5 * time.Second)
	check("a pause", 0, 0.01)
	a.add(30, now)
	check("a burst", worthGathering/2, worthGathering)
}
