package bench

import "time"

// A schedule says when a connection sends its requests. With a rate they are
// due at fixed times, whatever the answers do: a connection that is late sends
// at once, and its requests count as waiting from when they were due. Without
// one a request is due when the answer before it has come.
type schedule struct {
	due   time.Time
	every time.Duration // 0: no rate
	now   func() time.Time
	sleep func(time.Duration)
}

// newSchedule is that of connection i of n which together send rate requests a
// second, evenly spread.
func newSchedule(rate float64, i, n int, start time.Time) *schedule {
	s := &schedule{due: start, now: time.Now, sleep: time.Sleep}
	if rate > 0 {
		s.every = time.Duration(float64(n) / rate * float64(time.Second))
		s.due = start.Add(s.every * time.Duration(i) / time.Duration(n))
	}
	return s
}

// next waits until the next request is due and returns since when it is.
func (s *schedule) next() time.Time {
	now := s.now()
	if s.every == 0 {
		return now
	}
	due := s.due
	s.due = due.Add(s.every)
	if wait := due.Sub(now); wait > 0 {
		s.sleep(wait)
	}
	return due
}
