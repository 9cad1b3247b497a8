package backfill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// Windows that are new come to have what was stored before, what comes after, and what
// was on its way meanwhile, each event once, while people are found to be one.
func TestEveryEventIsCountedOnce(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, seed)
			f := r.fill(r.bus)
			r.run(f.Run)
			r.send(150)
			r.merge(0, 2)
			var sending sync.WaitGroup
			sending.Go(func() {
				r.send(100)
				r.merge(2, 6)
				r.send(60)
				r.merge(6, 9)
				r.send(40)
			})
			r.apply(reading)
			if p, err := f.Progress(t.Context()); err != nil || p.Complete >= r.registry.Current().Revision() {
				t.Errorf("at the apply: %+v, %v", p, err)
			}
			r.complete(f)
			sending.Wait()
			r.check()
		})
	}
}

// fragile is a bus of which calls fail, before or after they took effect. Nobody knows
// its commands again by their ids: those are known for a day only.
type fragile struct {
	Bus
	mu     sync.Mutex
	random *rand.Rand
	left   int
}

var errFragile = errors.New("the bus is fragile")

func (f *fragile) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 && f.random.IntN(4) == 0 {
		f.left--
		return true
	}
	return false
}

func (f *fragile) PutJob(ctx context.Context, key string, data []byte, expect uint64) (uint64, error) {
	if f.fails() {
		return 0, errFragile
	}
	revision, err := f.Bus.PutJob(ctx, key, data, expect)
	if err == nil && f.fails() {
		err = errFragile
	}
	return revision, err
}

func (f *fragile) PublishCommands(ctx context.Context, commands []record.Routed) error {
	if f.fails() {
		return errFragile
	}
	commands = slices.Clone(commands)
	for i := range commands {
		c, err := record.ParseCommands(commands[i].Command)
		if err != nil {
			return err
		}
		c[0].ID = record.EventID("", fmt.Sprint(time.Now().UnixNano(), i))
		commands[i].Command = record.AppendCommand(nil, &c[0])
	}
	half := len(commands) / 2
	if err := f.Bus.PublishCommands(ctx, commands[:half]); err != nil {
		return err
	}
	if f.fails() {
		return errFragile
	}
	if err := f.Bus.PublishCommands(ctx, commands[half:]); err != nil {
		return err
	}
	if f.fails() {
		return errFragile
	}
	return nil
}

// The work may end anywhere, by a failure or a stop, and go on, also on two nodes at
// once: every event is counted once.
func TestBackfillGoesOnWhereItWasEnded(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, seed)
			r.send(300)
			r.quiet()
			r.apply(reading)
			broken := &fragile{Bus: r.bus, random: rand.New(rand.NewPCG(seed, 5)), left: 25}
			watch := r.fill(r.bus)
			for round := 0; ; round++ {
				p, err := watch.Progress(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if p.Complete >= r.registry.Current().Revision() || round > 500 {
					break
				}
				ctx, cancel := context.WithCancel(t.Context())
				var nodes sync.WaitGroup
				for range 1 + round%2 {
					nodes.Go(func() { _ = r.fill(broken).work(ctx) })
				}
				time.AfterFunc(time.Duration(r.random.IntN(250))*time.Millisecond, cancel)
				r.send(3)
				if round < people {
					r.merge(round, round+1)
				}
				nodes.Wait()
				cancel()
			}
			r.run(watch.Run)
			r.complete(watch)
			r.check()
		})
	}
}

// A window that went and came again starts anew: what came while nobody read it is
// found among what is stored, what had been counted before is not counted twice.
func TestAWindowThatWentAndCameAgainIsFilledAnew(t *testing.T) {
	r := newRig(t, 1)
	f := r.fill(r.bus)
	r.run(f.Run)
	r.send(150)
	r.merge(0, 3)
	for range 3 {
		r.apply(reading)
		r.send(40)
		r.complete(f)
		r.check()
		r.remove("event-type", "check")
		r.send(40)
	}
	// And without waiting for the end.
	for i := range 4 {
		r.apply(reading)
		r.send(20)
		r.merge(3+i, 4+i)
		if i < 3 {
			r.remove("event-type", "check")
			r.send(20)
		}
	}
	r.complete(f)
	r.check()
}

// emptying is a store that is emptied and filled again while it is searched.
type emptying struct {
	Store
	queries int
	every   int
	empty   func()
}

func (e *emptying) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if e.queries++; e.queries%e.every == 0 {
		e.empty()
	}
	return e.Store.Query(ctx, q)
}

// A store that is rebuilt meanwhile is waited for.
func TestBackfillWaitsForARebuild(t *testing.T) {
	r := newRig(t, 1)
	r.send(300)
	r.quiet()
	r.apply(reading)
	f := r.fill(r.bus)
	rebuilds := 0
	f.o.Store = &emptying{Store: r.store, every: 5, empty: func() {
		if rebuilds++; rebuilds > 3 {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		before := r.indexer.Resets()
		done := make(chan error, 1)
		go func() { done <- r.indexer.Rebuild(ctx, func(uint64, uint64) {}) }()
		eventually(t, "the store is empty", func() bool { return r.indexer.Resets() > before })
		cancel() // it goes on by itself
		<-done
	}}
	r.run(f.Run)
	r.complete(f)
	if rebuilds < 3 {
		t.Errorf("%d rebuilds", rebuilds)
	}
	r.check()
}

// Nothing is searched before the store has all that was processed until the apply.
func TestBackfillWaitsForTheStore(t *testing.T) {
	r := newRigWithoutIndex(t, 1)
	r.send(100)
	r.apply(reading)
	f := r.fill(r.bus)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := f.work(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a store that lags: %v", err)
	}
	r.run(r.indexer.Run)
	r.run(f.Run)
	r.complete(f)
	r.check()
}

// Who was erased meanwhile stays erased.
func TestWhoWasErasedIsNotFilled(t *testing.T) {
	r := newRig(t, 1)
	r.send(100)
	r.quiet()
	r.apply(reading)
	who := r.bus.DerivedProfile(record.KindUser, "u1", 0)
	erase := record.Command{Kind: record.KindErase, ID: record.EventID("", "erase"), Profile: who, Received: r.now, Body: record.AppendErase(nil, &record.Erase{By: "test"})}
	if err := r.bus.PublishCommands(t.Context(), []record.Routed{{Partition: r.bus.Partition(who), Command: record.AppendCommand(nil, &erase)}}); err != nil {
		t.Fatal(err)
	}
	f := r.fill(r.bus)
	r.run(f.Run)
	r.complete(f)
	r.quiet()
	if doc := r.document(who); doc != nil {
		t.Errorf("the profile is %s", doc.AppendJSON(nil))
	}
	r.check()
}
