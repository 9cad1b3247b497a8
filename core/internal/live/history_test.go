package live

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Listeners come and go at random while events are stored, each goes on where
// it was, and each gets every event once and in order: out of the window, out
// of what is kept, and across the two.
func TestHistoryThenLive(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 40, bytes: 1 << 20}
	const total = 3000
	publish(t, b, 1, "x", total/3)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := total / 3; n < total; {
			some := min(1+rand.IntN(90), total-n)
			messages := make([]bus.EventMessage, some)
			for i := range messages {
				messages[i] = message("shop", "x", 1, n+i, map[string]any{"n": int64(n + i)})
			}
			if err := b.PublishEvents(t.Context(), messages); err != nil {
				t.Error(err)
				return
			}
			n += some
			time.Sleep(rand.N(40 * time.Millisecond))
		}
	})
	even := filter(t, "event.properties.n % 2 == 0")
	for reader := range 8 {
		wg.Go(func() {
			want, f := total, (*condition.Program)(nil)
			if reader%2 == 1 {
				want, f = total/2, even
			}
			var got []pushed
			from := &Position{}
			deadline := time.Now().Add(5 * time.Minute)
			for len(got) < want {
				if time.Now().After(deadline) {
					t.Errorf("reader %d got %d of %d", reader, len(got), want)
					return
				}
				one := newListener(-1)
				if reader%3 == 0 {
					one.delay = 3 * time.Millisecond
				}
				sub, start := subscribe(t, l, "events", f, from, one)
				if !start.Recovered {
					t.Errorf("reader %d: %+v after %+v", reader, start, from)
				}
				one.await(1+rand.IntN(600), 5*time.Second)
				sub.Close()
				got = append(got, one.heard(t, 0)...)
				from = &Position{Epoch: start.Epoch}
				if len(got) > 0 {
					from.Offset = got[len(got)-1].offset
				}
				if one.lost != "" {
					t.Errorf("reader %d lost the stream: %s", reader, one.lost)
				}
			}
			for i, p := range got {
				n := i
				if f != nil {
					n = 2 * i
				}
				if p.data["properties"].(map[string]any)["n"] != int64(n) {
					t.Errorf("reader %d: place %d has %v", reader, i, p.data["id"])
					return
				}
			}
		})
	}
	wg.Wait()
	if len(l.slots) != 0 || l.Count() != 0 {
		t.Errorf("%d readers and %d subscriptions are left", len(l.slots), l.Count())
	}
}

func TestRecoverSaysWhetherThereIsAGap(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 2, bytes: 1 << 20}
	publish(t, b, 1, "x", 10)
	sub, start := subscribe(t, l, "events", nil, nil, newListener(-1))
	defer sub.Close()
	epoch := start.Epoch
	for name, c := range map[string]struct {
		from      Position
		recovered bool
		offset    uint64
		first     string // that is pushed, after one more event was stored
	}{
		"everything":    {Position{"", 0}, true, 0, "x-0"},
		"window":        {Position{epoch, 9}, true, 9, "x-9"},
		"at the end":    {Position{epoch, 10}, true, 10, "y-0"},
		"older":         {Position{epoch, 4}, true, 4, "x-4"},
		"another epoch": {Position{"other", 4}, false, 10, "y-0"},
		"not given yet": {Position{epoch, 4000}, false, 10, "y-0"},
	} {
		one := newListener(-1)
		sub, start := subscribe(t, l, "events", nil, &c.from, one)
		defer sub.Close()
		if start.Recovered != c.recovered || start.Offset != c.offset || start.Epoch != epoch {
			t.Errorf("%s: begins at %+v", name, start)
		}
		defer func() {
			if got := one.ids(t, 1); got[0] != c.first {
				t.Errorf("%s: the first one is %s, want %s", name, got[0], c.first)
			}
		}()
	}
	publish(t, b, 2, "y", 1)
}

func TestRecoverBehindWhatIsKept(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 2, bytes: 1 << 20}
	publish(t, b, 1, "x", 10)
	state, err := b.EventsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteEvents(t.Context(), []uint64{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	one := newListener(-1)
	sub, start := subscribe(t, l, "events", nil, &Position{state.Epoch, 2}, one)
	defer sub.Close()
	if start.Recovered || start.Offset != 4 {
		t.Errorf("begins at %+v", start)
	}
	if got := one.ids(t, 6); got[0] != "x-4" || len(got) != 6 {
		t.Errorf("heard %v", got)
	}
}

// A reluctant listener takes all that waits for it every now and then.
type reluctant struct {
	*Queue
	every time.Duration // 0: never
}

func (r *reluctant) Push(frame []byte) bool {
	_, ok := r.Queue.Push(frame)
	return ok
}

func (r *reluctant) Lost(string) {}

func (r *reluctant) take(ctx context.Context) {
	for r.every > 0 && ctx.Err() == nil {
		pause(ctx, r.every)
		r.Take(nil)
	}
}

// However many listeners take their history slowly, or not at all, whoever takes
// it at once gets it.
func TestSlowReadersOfHistoryGiveWay(t *testing.T) {
	b := openBus(t)
	const total = 600
	publish(t, b, 1, "x", total)
	for name, every := range map[string]time.Duration{"slow": 100 * time.Millisecond, "stuck": 0} {
		t.Run(name, func(t *testing.T) {
			l := New(b, nil)
			l.window, l.slotTurn = windowSize{events: 40, bytes: 1 << 20}, 300*time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range readersOfHistory {
				slow := &reluctant{NewQueue(2 << 10), every}
				wg.Go(func() { slow.take(ctx) })
				sub, _ := subscribe(t, l, "events", nil, &Position{}, slow)
				defer sub.Close()
			}
			defer wg.Wait()
			defer cancel()
			for deadline := time.Now().Add(10 * time.Second); len(l.slots) < readersOfHistory; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the slow ones do not read")
				}
			}
			quick := newListener(-1)
			sub, _ := subscribe(t, l, "events", nil, &Position{}, quick)
			defer sub.Close()
			quick.await(total, 15*time.Second)
			got := quick.heard(t, 0)
			if len(got) != total {
				t.Fatalf("got %d of %d", len(got), total)
			}
			for n, p := range got {
				if p.data["properties"].(map[string]any)["n"] != int64(n) {
					t.Fatalf("place %d has %v", n, p.data["id"])
				}
			}
		})
	}
}

// What a listener has no room for is not held for it: it is read again.
func TestStuckReaderOfHistoryHoldsNothing(t *testing.T) {
	stuck := &reluctant{Queue: NewQueue(100)}
	stuck.Push(make([]byte, 90))
	h := history{live: New(nil, nil), sub: &member{to: stuck, group: &group{channel: Channel{kind: kindEvents}}}}
	over := make(chan bool, 1)
	go func() { over <- h.push(t.Context(), []bus.StoredEvent{{Seq: 1, Data: []byte(`{"event":{}}`)}}) }()
	select {
	case all := <-over:
		if all || h.at != 0 {
			t.Errorf("pushed up to %d", h.at)
		}
	case <-time.After(10 * roomWait):
		t.Fatal("the events are held for as long as there is no room")
	}
}

// A tardySource is one whose marks come late.
type tardySource struct {
	Source
	marks func(ctx context.Context, at uint64) error
}

func (s *tardySource) MarksAt(ctx context.Context, at uint64) (bus.Marks, error) {
	if err := s.marks(ctx, at); err != nil {
		return nil, err
	}
	if s.Source == nil {
		return bus.Marks{}, nil
	}
	return s.Source.MarksAt(ctx, at)
}

func (s *tardySource) ReadEventsAside(ctx context.Context, after uint64, known bus.Marks) (*bus.EventReader, error) {
	if s.Source == nil {
		return new(bus.EventReader), nil
	}
	return s.Source.ReadEventsAside(ctx, after, known)
}

// A reader that was long in coming has its whole turn all the same: otherwise it
// would give way after one event, each time.
func TestTurnOfHistoryCountsFromItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(&tardySource{marks: func(context.Context, uint64) error { time.Sleep(3 * slotTurn); return nil }}, nil)
		h := history{live: l, at: 1}
		if err := h.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.moved = true
		l.waiting.Add(1)
		if h.givesWay() {
			t.Error("the turn was over before there was a reader")
		}
		time.Sleep(slotTurn)
		if !h.givesWay() {
			t.Error("the turn does not end")
		}
	})
}

// However many have a turn for which the bus makes no reader ready, the others
// come to theirs, and no turn is lost.
func TestOpeningOfHistoryIsBounded(t *testing.T) {
	b := openBus(t)
	const total = 100
	publish(t, b, 1, "x", total)
	state, err := b.EventsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, fail := range map[string]func(ctx context.Context) error{
		"slow":   func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"failed": func(context.Context) error { return bus.ErrUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			const behind = 5 // the place of those who are out of luck
			l := New(&tardySource{b, func(ctx context.Context, at uint64) error {
				if at != behind {
					return nil
				}
				return fail(ctx)
			}}, nil)
			l.window, l.openWait = windowSize{events: 10, bytes: 1 << 20}, 50*time.Millisecond
			for range readersOfHistory {
				sub, _ := subscribe(t, l, "events", nil, &Position{state.Epoch, behind}, newListener(-1))
				defer sub.Close()
			}
			for deadline := time.Now().Add(10 * time.Second); name == "slow" && len(l.slots) < readersOfHistory; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("not all have a turn")
				}
			}
			quick := newListener(-1)
			sub, _ := subscribe(t, l, "events", nil, &Position{}, quick)
			defer sub.Close()
			quick.await(total, 20*time.Second)
			if got := quick.heard(t, 0); len(got) != total {
				t.Errorf("got %d of %d", len(got), total)
			}
		})
	}
}
