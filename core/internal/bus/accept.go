package bus

import (
	"context"
	"fmt"
	"math"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Accepting says whether a gateway may append: nil, or ErrFull, ErrReserve or
// ErrUnavailable. It is cheap enough for every request.
func (b *Bus) Accepting() error { return b.watch.accepting() }

// Busy is true while accepting should come before processing: appends arrive,
// the processor is scarce, the backlog is more than about a second of work, and
// INGEST is under half its bound.
func (b *Bus) Busy() bool { return b.watch.pressure.busy() }

// Scarce is true while appends arrive and the processor is scarce: then work
// that nobody waits for had better gather into larger portions.
func (b *Bus) Scarce() bool { return b.watch.pressure.isScarce.Load() }

// Yield lets a busy gateway go first: it waits up to nine times what was worked
// before, so that a tenth of the rate is kept, and at most 250 ms. It returns
// at once where the bus is not busy, and as soon as it is not any more.
func (b *Bus) Yield(ctx context.Context, worked time.Duration) {
	p := &b.watch.pressure
	wait := min(9*worked, maxYield)
	if wait <= 0 || !p.busy() {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	relieved := p.relief()
	if !p.busy() {
		return
	}
	select {
	case <-t.C:
	case <-relieved:
	case <-ctx.Done():
	}
}

// ReportLag says how many messages of INGEST a partition's owner has not
// committed.
func (b *Bus) ReportLag(partition int, messages uint64) {
	b.watch.pressure.lag[partition].Store(messages)
}

const (
	maxYield = 250 * time.Millisecond
	// sampleEvery is how often the scarcity of CPU is measured while appends
	// arrive; a sample that finds none ends the sampling.
	sampleEvery = 100 * time.Millisecond
	// scarceLatency is the scheduling latency that a tenth of all goroutines
	// exceed where CPU is scarce.
	scarceLatency = time.Millisecond
	leastBacklog  = 256
)

// pressure measures whether processing should yield.
type pressure struct {
	half     func() bool // INGEST is under half its bound
	lag      []atomic.Uint64
	appends  atomic.Uint64
	consumed atomic.Uint64
	rate     atomic.Uint64 // messages consumed in the last second
	isScarce atomic.Bool
	isBusy   atomic.Bool
	sampling atomic.Bool

	mu       sync.Mutex
	relieved chan struct{}
	samples  []metrics.Sample
	before   []uint64
	ticks    int
	mark     uint64
	idle     idleShare
}

func (p *pressure) init(partitions int, half func() bool) {
	p.half = half
	p.lag = make([]atomic.Uint64, partitions)
	p.relieved = make(chan struct{})
	p.samples = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
}

func (p *pressure) busy() bool { return p.isBusy.Load() }

func (p *pressure) relief() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.relieved
}

// sample runs every sampleEvery while appends arrive, and returns false when
// none did since the last one.
func (p *pressure) sample() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	arrived := p.appends.Swap(0) > 0
	if p.ticks++; p.ticks >= int(time.Second/sampleEvery) || !arrived {
		now := p.consumed.Load()
		p.rate.Store(now - p.mark)
		p.mark, p.ticks = now, 0
	}
	scarce := arrived && p.scarce()
	p.isScarce.Store(scarce)
	busy := scarce && p.behind() && p.half()
	if p.isBusy.Swap(busy) && !busy {
		close(p.relieved)
		p.relieved = make(chan struct{})
	}
	if !arrived {
		p.before = nil
		p.idle.forget()
	}
	return arrived
}

func (p *pressure) behind() bool {
	var sum uint64
	for i := range p.lag {
		sum += p.lag[i].Load()
	}
	return sum > max(leastBacklog, p.rate.Load())
}

// scarce looks at what the machine's processors were since the last sample,
// and at how long goroutines that could run waited.
func (p *pressure) scarce() bool {
	share, known := p.idle.look()
	waiting := p.waiting()
	return known && share < scarceIdle || waiting
}

// waiting is true where a tenth of the goroutines waited long.
func (p *pressure) waiting() bool {
	metrics.Read(p.samples)
	if p.samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return false
	}
	h := p.samples[0].Value.Float64Histogram()
	before := p.before
	p.before = append([]uint64(nil), h.Counts...)
	if len(before) != len(h.Counts) {
		return false
	}
	var total, slow uint64
	for i, count := range h.Counts {
		n := count - before[i]
		total += n
		if low := h.Buckets[i]; !math.IsInf(low, -1) && low >= scarceLatency.Seconds() {
			slow += n
		}
	}
	return total > 0 && slow*10 > total
}

// accepting joins what is known of the disk, of INGEST's room, and of the
// server.
func (w *watch) accepting() error {
	if reason := w.unavailable.Load(); reason != nil {
		return *reason
	}
	if w.belowReserve.Load() {
		return errReserve
	}
	if w.nearlyFull() {
		return errFullForGateways
	}
	return nil
}

var (
	errReserve         = fmt.Errorf("%w; free some space or lower the reserve", ErrReserve)
	errFullForGateways = fmt.Errorf("%w for gateways: what is left is for the core's own commands", ErrFull)
	errIngestSilent    = fmt.Errorf("%w: appends are not acknowledged", ErrUnavailable)
)
