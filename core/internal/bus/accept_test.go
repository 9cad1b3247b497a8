package bus

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd has the bus find callers in a queue and no CPU left, so that it is busy
// from the first sample with appends on, as long as below is true: that INGEST
// is under half its bound.
func crowd(b *Bus) (below *atomic.Bool) {
	below = new(atomic.Bool)
	below.Store(true)
	p := &b.watch.pressure
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = below.Load
	p.share = func() (float64, bool) { return 0, true }
	p.average, p.queue = 0, 2*busyCallers
	p.callers.Add(2 * busyCallers)
	return below
}

// arrive takes a sample in which appends have arrived.
func (p *pressure) arrive() {
	p.appends.Store(1)
	p.sample()
}

// passes tells whether background work may go ahead at once.
func (p *pressure) passes() bool {
	select {
	case <-p.opening():
		return true
	default:
		return false
	}
}

// Work that begins while the bus is busy and takes more than its share ends
// after the bus has stopped being busy: nobody would open the gate again that
// it closed then.
func TestWorkThatOutlastsTheRushClosesNothing(t *testing.T) {
	for name, over := range map[string]bool{"while it is busy": false, "when it is over": true} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Options{})
			p := &b.watch.pressure
			below := crowd(b)
			p.arrive()
			if !b.Busy() || !p.passes() {
				t.Fatal("not busy, or nothing of the share is left")
			}
			begun, done := make(chan struct{}), make(chan struct{})
			ended := make(chan error, 1)
			go func() {
				ended <- b.Background(t.Context(), func() error {
					close(begun)
					<-done
					// Longer than the share that a sample can leave.
					time.Sleep(2 * sampleEvery)
					return nil
				})
			}()
			<-begun
			if over {
				below.Store(false)
			}
			p.arrive()
			close(done)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if b.Busy() == over {
				t.Fatalf("busy: %t", b.Busy())
			}
			if got := p.passes(); got != over {
				t.Errorf("more work may go ahead: %t, want %t", got, over)
			}
		})
	}
}

// Whoever is held back is let go by the sampling itself: when appends do not
// arrive any more, the last sample opens the gate.
func TestTheLastSampleOpensTheGate(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	crowd(b)
	p := &b.watch.pressure
	eventually(t, 5*time.Second, "a rush, and nothing left of the share", func() bool {
		if err := b.Append(t.Context(), []Entry{{0, line1("a")}}); err != nil {
			t.Fatal(err)
		}
		p.spend(time.Hour)
		return b.Busy() && !p.passes()
	})
	var held sync.WaitGroup
	var early atomic.Int64
	for range 8 {
		held.Go(func() {
			_ = b.Background(t.Context(), func() error {
				if b.Busy() {
					early.Add(1)
				}
				return nil
			})
		})
	}
	ended := make(chan struct{})
	go func() { held.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("still held back 10 s after the last append")
	}
	if n := early.Load(); n > 0 {
		t.Errorf("%d went ahead while the bus was busy", n)
	}
	if b.Busy() || !p.passes() {
		t.Error("the gate is closed though nothing arrives")
	}
}

// Callers of Background, portions of work that end, and samples that find the
// bus busy and not busy, all at once: while it is not busy the gate is open,
// and nobody waits for ever.
func TestTheGateIsOpenWhileTheBusIsNotBusy(t *testing.T) {
	b := open(t, Options{})
	p := &b.watch.pressure
	below := crowd(b)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel() // lets go whoever hangs after all

	var went [8]atomic.Int64
	for i := range went {
		group.Go(func() {
			for ctx.Err() == nil {
				_ = b.Background(ctx, func() error { went[i].Add(1); return nil })
			}
		})
	}
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				p.spend(sampleEvery) // as if work had taken so long
				time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
			}
		})
	}
	closed := 0
	look := func() {
		t.Helper()
		p.mu.Lock()
		defer p.mu.Unlock()
		open := false
		select {
		case <-p.gate:
			open = true
		default:
			closed++
		}
		if open != p.open || !open && !p.isBusy.Load() {
			t.Fatalf("the gate is open: %t, said to be: %t; the bus is busy: %t", open, p.open, p.isBusy.Load())
		}
	}
	// Until the gate was found closed often enough for the rest to mean something.
	for samples, begun := 0, time.Now(); samples < 3000 || closed < 100; samples++ {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("of %d looks %d found the gate closed", samples, closed)
		}
		below.Store(rand.IntN(3) > 0)
		p.arrive()
		for range rand.IntN(4) {
			look()
		}
	}
	below.Store(false)
	p.arrive()
	var before [len(went)]int64
	for i := range went {
		before[i] = went[i].Load()
	}
	eventually(t, 10*time.Second, "everybody goes ahead when the rush is over", func() bool {
		look()
		for i := range went {
			// The first of them may have gone through before.
			if went[i].Load() < before[i]+2 {
				return false
			}
		}
		return true
	})
}

func TestBackgroundGoesAheadWhenTheBusIsClosed(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	p := &b.watch.pressure
	p.mu.Lock()
	p.isBusy.Store(true)
	p.let(false)
	p.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- b.Background(context.Background(), func() error { return nil }) }()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for ever")
	}
}
