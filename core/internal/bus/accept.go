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

// Behind is true while INGEST keeps so much, as of the last second, that
// processing it takes seconds.
func (b *Bus) Behind() bool {
	_, bytes := b.watch.backlog()
	return bytes > behindBytes
}

// Busy is true while accepting comes before processing: callers queue up to
// append, CPU is scarce, INGEST is under half its bound, and what it keeps is
// processed soon.
func (b *Bus) Busy() bool { return b.watch.pressure.isBusy.Load() }

// Background does a portion of the work that nobody waits for. While the bus is
// busy such work is held back but for a tenth of the time, so that the gateway
// has the processors; what gathers meanwhile is then done in large portions.
// When ctx ends it goes ahead: a stop finishes what is begun.
func (b *Bus) Background(ctx context.Context, work func() error) error {
	p := &b.watch.pressure
	select {
	case <-p.opening():
	case <-ctx.Done():
	}
	begun := time.Now()
	err := work()
	p.spend(time.Since(begun))
	return err
}

const (
	// busyCallers is how many callers of Append at a time make a queue; it lasts
	// until there are fewer than calmCallers.
	busyCallers = 20
	calmCallers = 10
	// backgroundShare is the part of the time that background work has while
	// the bus is busy.
	backgroundShare = 0.1
	// behindBytes is what some tens of thousands of events take in INGEST.
	behindBytes = 16 << 20
	// deepest bounds what one long portion of work takes of the time after it.
	deepest = 2 * time.Second
	// sampleEvery is how often the scarcity of CPU is measured while appends
	// arrive; a sample that finds none ends the sampling.
	sampleEvery = 100 * time.Millisecond
	// scarceLatency is the scheduling latency that a tenth of all goroutines
	// exceed where CPU is scarce.
	scarceLatency = time.Millisecond
)

// pressure measures whether processing should yield.
type pressure struct {
	room     func() bool   // INGEST keeps little enough for accepting to come first
	appends  atomic.Uint64 // since the last sample
	callers  atomic.Int64  // in Append now
	isScarce atomic.Bool
	isBusy   atomic.Bool
	sampling atomic.Bool

	mu      sync.Mutex
	gate    chan struct{} // closed while background work may go ahead
	open    bool
	credit  time.Duration // of background work, while the bus is busy
	queue   float64       // callers, over some samples
	samples []metrics.Sample
	before  []uint64
	idle    idleShare
	share   func() (share float64, known bool) // of idle time, since the last look
	average float64
}

func (p *pressure) init(room func() bool) {
	p.room = room
	p.share, p.average = p.idle.look, 1
	p.gate, p.open = make(chan struct{}), true
	close(p.gate)
	p.samples = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
}

// opening returns a channel that is closed when background work may go ahead.
func (p *pressure) opening() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

// spend counts background work that was done, and closes the gate when it has
// had its share.
func (p *pressure) spend(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isBusy.Load() {
		return
	}
	p.credit = max(p.credit-d, -deepest)
	p.let(p.credit > 0)
}

// end lets all go ahead: there is no gateway any more to give way to.
func (p *pressure) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate != nil { // else it never began
		p.isBusy.Store(false)
		p.let(true)
	}
}

// let opens and closes the gate of background work.
func (p *pressure) let(open bool) {
	switch {
	case open && !p.open:
		close(p.gate)
	case !open && p.open:
		p.gate = make(chan struct{})
	}
	p.open = open
}

// sample runs every sampleEvery while appends arrive, and returns false when
// none did since the last one.
func (p *pressure) sample() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	arrived := p.appends.Swap(0) > 0
	scarce := arrived && p.scarce()
	p.isScarce.Store(scarce)
	p.queue += (float64(p.callers.Load()) - p.queue) / 3
	queue := float64(busyCallers)
	if p.isBusy.Load() {
		queue = calmCallers
	}
	busy := scarce && p.queue >= queue && p.room()
	p.isBusy.Store(busy)
	p.credit = min(p.credit+time.Duration(backgroundShare*float64(sampleEvery)), sampleEvery)
	p.let(!busy || p.credit > 0)
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
