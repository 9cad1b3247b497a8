package bench

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are 1/64 of their value wide,
// so that a quantile is known to 1 %, from a nanosecond to centuries, in a
// fixed 29 KB. The zero value is empty.
type histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

const (
	bucketBits = 6
	perOctave  = 1 << bucketBits
	buckets    = (64 - bucketBits) * perOctave
)

func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)]++
	h.total++
	h.max = max(h.max, d)
}

// add takes in what another one counted.
func (h *histogram) add(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// quantile is the duration that the share q of all recorded ones does not
// exceed; 0 where nothing was recorded.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.total)), h.total-1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return min(middleOf(i), h.max)
		}
	}
	return h.max
}

// bucketOf is exact below 128 ns; above, the highest seven bits decide.
func bucketOf(d time.Duration) int {
	v := uint64(d)
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - bucketBits - 1
	return shift*perOctave + int(v>>shift)
}

func middleOf(bucket int) time.Duration {
	if bucket < 2*perOctave {
		return time.Duration(bucket)
	}
	shift := bucket/perOctave - 1
	low := uint64(bucket%perOctave+perOctave) << shift
	return time.Duration(low + (1<<shift)/2)
}
