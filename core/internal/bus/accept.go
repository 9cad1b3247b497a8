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

// Scarce is true while appends arrive and the processors of the machine have no
// time left: then work that nobody waits for had better gather into larger
// portions.
func (b *Bus) Scarce() bool { return b.watch.pressure.isScarce.Load() }

// Busy is true while accepting comes before processing: appends arrive, CPU is
// scarce, and INGEST is under half its bound.
func (b *Bus) Busy() bool { return b.watch.pressure.isBusy.Load() }

// Background does a portion of the work that nobody waits for. While the bus is
// busy such portions are done one at a time, each followed by a rest of nine
// times as long, so that they keep a tenth of a processor and the gateway has
// the others; as soon as it is not busy any more they go ahead.
func (b *Bus) Background(ctx context.Context, work func() error) error {
	p := &b.watch.pressure
	if !p.isBusy.Load() {
		return work()
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-p.relief():
		return work()
	case <-ctx.Done():
		// What is begun is finished before a stop, not slowed down.
		return work()
	}
	begun := time.Now()
	if err := work(); err != nil {
		return err
	}
	p.rest(ctx, min(restFactor*time.Since(begun), longestRest))
	return nil
}

// rest waits until the time is over, or the bus is not busy any more.
func (p *pressure) rest(ctx context.Context, wait time.Duration) {
	relieved := p.relief()
	if !p.isBusy.Load() {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-relieved:
	case <-ctx.Done():
	}
}

const (
	restFactor  = 9
	longestRest = time.Second
	// sampleEvery is how often the scarcity of CPU is measured while appends
	// arrive; a sample that finds none ends the sampling.
	sampleEvery = 100 * time.Millisecond
	// scarceLatency is the scheduling latency that a tenth of all goroutines
	// exceed where CPU is scarce.
	scarceLatency = time.Millisecond
)

// pressure measures whether processing should yield.
type pressure struct {
	half     func() bool   // INGEST is under half its bound
	turn     chan struct{} // held by who works while the bus is busy
	appends  atomic.Uint64
	isScarce atomic.Bool
	isBusy   atomic.Bool
	sampling atomic.Bool

	mu       sync.Mutex
	relieved chan struct{}
	samples  []metrics.Sample
	before   []uint64
	idle     idleShare
	share    func() (share float64, known bool) // of idle time, since the last look
	average  float64
}

func (p *pressure) init(half func() bool) {
	p.half = half
	p.turn = make(chan struct{}, 1)
	p.share, p.average = p.idle.look, 1
	p.relieved = make(chan struct{})
	p.samples = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
}

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
	scarce := arrived && p.scarce()
	p.isScarce.Store(scarce)
	busy := scarce && p.half()
	if p.isBusy.Swap(busy) && !busy {
		close(p.relieved)
		p.relieved = make(chan struct{})
	}
	if !arrived {
		p.before = nil
		p.idle.forget()
		p.average = 1
	}
	return arrived
}

// scarce looks at what the machine's processors were since the last sample,
// and at how long goroutines that could run waited.
func (p *pressure) scarce() bool {
	share, known := p.share()
	waiting := p.waiting()
	if !known {
		return waiting
	}
	// A sample is few ticks of the kernel's clock, so three count; and what
	// gives way leaves time idle, so more of it ends the scarcity than begins it.
	p.average += (share - p.average) / 3
	bound := scarceIdle
	if p.isScarce.Load() {
		bound = plentyIdle
	}
	return p.average < bound || waiting
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
