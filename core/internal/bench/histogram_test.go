package bench

import (
	"math"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	for i := 1; i <= 100_000; i++ {
		h.record(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{
		0: time.Microsecond, 0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond,
	} {
		got := h.quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 0.01 {
			t.Errorf("quantile %g = %s, want %s within 1 %%", q, got, want)
		}
	}
	if got := new(histogram).quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %s", got)
	}
}

func TestHistogramBuckets(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 63, 64, 127, 128, 129, 1000, 1 << 20, 1<<20 - 1, time.Hour, math.MaxInt64} {
		b := bucketOf(d)
		if b < 0 || b >= buckets {
			t.Fatalf("%d falls into bucket %d of %d", d, b, buckets)
		}
		if off := math.Abs(float64(middleOf(b)) - float64(d)); off > float64(d)/100 {
			t.Errorf("%d falls into bucket %d, whose middle is %d", d, b, middleOf(b))
		}
		if d > 0 && bucketOf(d-1) > b {
			t.Errorf("%d falls into a lower bucket than %d", d, d-1)
		}
	}
	var h histogram
	h.record(-time.Second)
	if h.quantile(1) != 0 {
		t.Error("a negative duration is more than nothing")
	}
}

func TestHistogramAdd(t *testing.T) {
	var a, b, both histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		both.record(d)
		if i%3 == 0 {
			a.record(d)
		} else {
			b.record(d)
		}
	}
	a.add(&b)
	if a != both {
		t.Error("two histograms together are not that of all durations")
	}
}
