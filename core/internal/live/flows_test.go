package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// A narrator tells numbered steps of flows.
type narrator struct {
	*bus.StepTeller
	n int
}

func narrate(t *testing.T, b *bus.Bus) *narrator {
	t.Helper()
	teller, err := b.TellSteps()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(teller.Close)
	return &narrator{StepTeller: teller}
}

func (n *narrator) tell(flow string, count int) {
	for range count {
		n.n++
		n.Tell(flow, fmt.Appendf(nil, `{"n":%d}`, n.n))
	}
}

// wantSteps wants a listener to have been pushed the steps from one to another,
// each once and in order, at the offsets that they have.
func wantSteps(t *testing.T, name string, l *listener, channel string, from, to int) {
	t.Helper()
	got := l.heard(t, to-from+1)
	if len(got) != to-from+1 {
		t.Errorf("%s: heard %d steps, want %d", name, len(got), to-from+1)
	}
	for i, p := range got {
		if n, _ := p.data["n"].(int64); int(n) != from+i || p.offset != uint64(from+i) || p.channel != channel {
			t.Errorf("%s: step %d is %v", name, from+i, p)
			return
		}
	}
}

func TestFlowChannel(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.flows.linger = 0
	told := narrate(t, b)
	one, two, other := newListener(-1), newListener(-1), newListener(-1)
	first, start := subscribe(t, l, "flow:f", nil, nil, one)
	if start.Offset != 0 || start.Recovered || start.Epoch == "" {
		t.Errorf("begins at %+v", start)
	}
	elsewhere, _ := subscribe(t, l, "flow:g", nil, nil, other)
	told.tell("f", 3)
	wantSteps(t, "one", one, "flow:f", 1, 3)
	second, later := subscribe(t, l, "flow:f", nil, nil, two)
	if later.Offset != 3 || later.Epoch != start.Epoch || l.Count() != 3 {
		t.Errorf("begins at %+v; %d subscriptions", later, l.Count())
	}
	told.tell("f", 2)
	wantSteps(t, "one", one, "flow:f", 1, 5)
	wantSteps(t, "two", two, "flow:f", 4, 5)
	if &one.frames[4][0] != &two.frames[1][0] {
		t.Error("a step is encoded for each listener")
	}
	if other.told > 0 {
		t.Error("another flow's listener is told")
	}
	first.Close()
	told.tell("f", 1)
	wantSteps(t, "two", two, "flow:f", 4, 6)
	if len(one.frames) != 5 {
		t.Error("a closed subscription still hears")
	}
	second.Close()
	elsewhere.Close()
	for late := time.Now().Add(20 * time.Second); l.flows.followed() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("flows are followed that nobody listens to")
		}
	}
	if l.Count() != 0 {
		t.Errorf("%d subscriptions are left", l.Count())
	}
	// Whoever begins now has another epoch: steps in between are not known of.
	again, third := subscribe(t, l, "flow:f", nil, &Position{start.Epoch, 6}, newListener(-1))
	defer again.Close()
	if third.Epoch == start.Epoch || third.Recovered {
		t.Errorf("begins at %+v", third)
	}
}

func (f *flows) followed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID)
}

func TestFlowChannelRecovers(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	told := narrate(t, b)
	one := newListener(-1)
	sub, start := subscribe(t, l, "flow:f", nil, nil, one)
	l.flows.byID["f"].size.events = 500
	told.tell("f", 10)
	wantSteps(t, "one", one, "flow:f", 1, 10)
	sub.Close()
	told.tell("f", 490) // while nobody listens
	for late := time.Now().Add(20 * time.Second); l.flows.byID["f"].last() < 500; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("steps are not held")
		}
	}
	for name, c := range map[string]struct {
		from *Position
		want Start
	}{
		"where it was":         {&Position{start.Epoch, 10}, Start{Position{start.Epoch, 10}, true}},
		"nearly at the end":    {&Position{start.Epoch, 499}, Start{Position{start.Epoch, 499}, true}},
		"at the end":           {&Position{start.Epoch, 500}, Start{Position{start.Epoch, 500}, true}},
		"before the first one": {&Position{start.Epoch, 0}, Start{Position{start.Epoch, 0}, true}},
		"all":                  {&Position{}, Start{Position{start.Epoch, 0}, true}},
		"all, of another":      {&Position{"other", 0}, Start{Position{start.Epoch, 0}, false}},
		"another's":            {&Position{"other", 10}, Start{Position{start.Epoch, 500}, false}},
		"beyond the end":       {&Position{start.Epoch, 501}, Start{Position{start.Epoch, 500}, false}},
		"from now on":          {nil, Start{Position{start.Epoch, 500}, false}},
	} {
		back := newListener(-1)
		sub, got := subscribe(t, l, "flow:f", nil, c.from, back)
		if got != c.want {
			t.Errorf("%s: begins at %+v, want %+v", name, got, c.want)
		}
		wantSteps(t, name, back, "flow:f", int(got.Offset)+1, 500)
		sub.Close()
	}
	// More than is held: there is a gap, and it is from now on.
	told.tell("f", 20)
	for l.flows.byID["f"].last() < 520 {
		time.Sleep(time.Millisecond)
	}
	for name, c := range map[string]struct {
		from Position
		want Start
	}{
		"the first that is held": {Position{start.Epoch, 20}, Start{Position{start.Epoch, 20}, true}},
		"one too old":            {Position{start.Epoch, 19}, Start{Position{start.Epoch, 520}, false}},
		"none that it knew":      {Position{start.Epoch, 0}, Start{Position{start.Epoch, 20}, false}},
		"all that is held":       {Position{}, Start{Position{start.Epoch, 20}, true}},
	} {
		back := newListener(-1)
		sub, got := subscribe(t, l, "flow:f", nil, &c.from, back)
		if got != c.want {
			t.Errorf("%s: begins at %+v, want %+v", name, got, c.want)
		}
		wantSteps(t, name, back, "flow:f", int(got.Offset)+1, 520)
		sub.Close()
	}
}

// last is the offset of the last step.
func (s *steps) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Listeners who come and go while steps are told, each of them at its own pace,
// get each step once and in order.
func TestFlowChannelRecoversWhileStepsAreTold(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	told := narrate(t, b)
	keep, start := subscribe(t, l, "flow:f", nil, nil, newListener(-1))
	defer keep.Close()
	const total = 1000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total / 10 {
			told.tell("f", 10)
			time.Sleep(time.Millisecond)
		}
	})
	for range 8 {
		wg.Go(func() {
			at := uint64(0)
			for at < total && !t.Failed() {
				one := newListener(-1)
				one.delay = 2 * time.Millisecond
				sub, got := subscribe(t, l, "flow:f", nil, &Position{start.Epoch, at}, one)
				if !got.Recovered || got.Offset != at {
					t.Errorf("begins at %+v, want %d", got, at)
				}
				one.await(1, 20*time.Second)
				sub.Close()
				for _, p := range one.heard(t, 0) {
					if n, _ := p.data["n"].(int64); p.offset != at+1 || uint64(n) != p.offset {
						t.Errorf("step %v at %d after %d", p.data, p.offset, at)
					}
					at = p.offset
				}
			}
		})
	}
	wg.Wait()
}

// A listener who takes too little is left out and comes back; the others are not
// held up. Whoever is so slow in catching up that steps are dropped is told.
func TestFlowChannelSlowListener(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	told := narrate(t, b)
	slow, quick := newListener(2), newListener(-1)
	one, start := subscribe(t, l, "flow:f", nil, nil, slow)
	two, _ := subscribe(t, l, "flow:f", nil, nil, quick)
	defer two.Close()
	told.tell("f", 200)
	wantSteps(t, "quick", quick, "flow:f", 1, 200)
	if slow.told != 3 || len(slow.frames) != 2 {
		t.Errorf("the slow one took %d, and was told %d times", len(slow.frames), slow.told)
	}
	one.Close()
	back := newListener(-1)
	one, again := subscribe(t, l, "flow:f", nil, &Position{start.Epoch, 2}, back)
	if !again.Recovered {
		t.Error("it does not go on where it was")
	}
	wantSteps(t, "back", back, "flow:f", 3, 200)
	one.Close()

	stuck := &stuckListener{listener: newListener(-1), free: make(chan struct{})}
	one, _ = subscribe(t, l, "flow:f", nil, &Position{start.Epoch, 2}, stuck)
	defer one.Close()
	told.tell("f", stepWindow.events+1)
	quick.heard(t, 200+stepWindow.events+1)
	close(stuck.free)
	for late := time.Now().Add(20 * time.Second); stuck.why() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nobody told that steps were dropped")
		}
	}
}

// A stuckListener has no room for a while.
type stuckListener struct {
	*listener
	free chan struct{}
}

func (s *stuckListener) Room(ctx context.Context, _ time.Duration) bool {
	select {
	case <-s.free:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *listener) why() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Where steps were lost on their way, those who listen are told, and nobody goes
// on from before.
func TestFlowChannelTellsALoss(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	told := narrate(t, b)
	one := newListener(-1)
	sub, start := subscribe(t, l, "flow:f", nil, nil, one)
	told.tell("f", 5)
	wantSteps(t, "one", one, "flow:f", 1, 5)
	// The listening is slower than the telling.
	s := l.flows.byID["f"]
	s.mu.Lock()
	told.tell("f", 10000)
	time.Sleep(500 * time.Millisecond)
	s.mu.Unlock()
	for late := time.Now().Add(20 * time.Second); one.why() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nobody told that steps were lost")
		}
	}
	sub.Close()
	for name, from := range map[string]*Position{"what it knew": {start.Epoch, 5}, "nothing": {start.Epoch, 0}} {
		sub, got := subscribe(t, l, "flow:f", nil, from, newListener(-1))
		if got.Recovered || got.Epoch != start.Epoch {
			t.Errorf("after a loss, from %s: begins at %+v", name, got)
		}
		sub.Close()
	}
	// Nor where nothing has followed yet.
	last := Position{start.Epoch, s.last()}
	s.lost()
	sub, got := subscribe(t, l, "flow:f", nil, &last, newListener(-1))
	defer sub.Close()
	if got.Recovered || got.Offset <= last.Offset {
		t.Errorf("right after a loss: begins at %+v, after %+v", got, last)
	}
}

// The flows that are followed are bounded: one that nobody listens to any more
// gives way to another.
func TestFlowsAreBounded(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	c, err := ParseChannel("flow:one-more")
	if err != nil {
		t.Fatal(err)
	}
	var subs []*Subscription
	for n := range maxFlows {
		sub, _ := subscribe(t, l, fmt.Sprint("flow:", n), nil, nil, newListener(-1))
		subs = append(subs, sub)
	}
	if _, err := l.Subscribe(t.Context(), Request{Channel: c}, newListener(-1), func(Start) {}); !errors.Is(err, ErrFlows) {
		t.Errorf("beyond the bound: %v", err)
	}
	subs[7].Close()
	more, _ := subscribe(t, l, "flow:one-more", nil, nil, newListener(-1))
	for _, sub := range append(subs, more) {
		sub.Close()
	}
	if l.Count() != 0 || l.flows.followed() != maxFlows {
		t.Errorf("%d subscriptions are left, %d flows are followed", l.Count(), l.flows.followed())
	}
}
