package bench

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// clock moves only when somebody sleeps or the test says so.
type clock struct{ at time.Time }

func (c *clock) on(s *schedule) *schedule {
	s.now = func() time.Time { return c.at }
	s.sleep = func(d time.Duration) { c.at = c.at.Add(d) }
	return s
}

func TestScheduleSpreadsRequestsEvenly(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i := range 4 {
		c := &clock{at: start}
		s := c.on(newSchedule(100, i, 4, start))
		for n := range 5 {
			want := start.Add(time.Duration(i)*10*time.Millisecond + time.Duration(n)*40*time.Millisecond)
			if due := s.next(); !due.Equal(want) || !c.at.Equal(want) {
				t.Errorf("request %d of connection %d is due at %s and sent at %s, want %s", n, i, due, c.at, want)
			}
		}
	}
}

func TestScheduleCountsLatenessFromWhenARequestWasDue(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	c := &clock{at: start}
	s := c.on(newSchedule(10, 0, 1, start))
	s.next()
	c.at = start.Add(time.Second) // the answer took that long
	for n := 1; n <= 10; n++ {
		if due, want := s.next(), start.Add(time.Duration(n)*100*time.Millisecond); !due.Equal(want) {
			t.Errorf("request %d is due at %s, want %s", n, due, want)
		}
		if !c.at.Equal(start.Add(time.Second)) {
			t.Fatalf("request %d is late and was not sent at once", n)
		}
	}
}

func TestScheduleWithoutARateNeverWaits(t *testing.T) {
	c := &clock{at: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	s := c.on(newSchedule(0, 3, 4, c.at))
	for range 3 {
		now := c.at
		if due := s.next(); !due.Equal(now) || !c.at.Equal(now) {
			t.Errorf("due at %s, sent at %s, want %s", due, c.at, now)
		}
		c.at = c.at.Add(time.Millisecond)
	}
}

func TestLagIsSampledAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 6500*time.Millisecond)
		defer cancel()
		n, looks := 0.0, 0
		samples, err := sampleLag(ctx, 2*time.Second, time.Second, func() (sample, error) {
			time.Sleep(300 * time.Millisecond) // the server takes its time
			if looks++; looks == 3 {
				return sample{}, errNoLag
			}
			n++
			return sample{behind: n}, nil
		})
		if err != nil || len(samples) != 4 {
			t.Fatalf("%d samples, %v; want 4", len(samples), err)
		}
		for i, s := range samples {
			at := []time.Duration{0, time.Second, 3 * time.Second, 4 * time.Second}[i]
			if s.at != at || s.behind != float64(i+1) {
				t.Errorf("sample %d is %+v", i, s)
			}
		}
	})
}

func TestSlope(t *testing.T) {
	for name, test := range map[string]struct {
		behind []float64
		want   float64
	}{
		"level":   {[]float64{5, 5, 5, 5}, 0},
		"growing": {[]float64{0, 100, 200, 300, 400}, 100},
		"falling": {[]float64{300, 200, 100}, -100},
		"noise":   {[]float64{10, -10, -10, 10}, 0},
		"single":  {[]float64{7}, 0},
	} {
		var samples []sample
		for i, behind := range test.behind {
			samples = append(samples, sample{at: time.Duration(i) * time.Second, behind: behind})
		}
		if got := slope(samples); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: slope %g, want %g", name, got, test.want)
		}
	}
}
