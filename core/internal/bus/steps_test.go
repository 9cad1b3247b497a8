package bus

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A hearer keeps the steps that it is given, and how often some were lost.
type hearer struct {
	mu    sync.Mutex
	steps []string
	lost  int
}

func (h *hearer) listen(t *testing.T, b *Bus, flow string) (stop func()) {
	t.Helper()
	return must(b.ListenSteps(flow, func(step []byte) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.steps = append(h.steps, string(step))
	}, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lost++
	}))
}

func (h *hearer) heard() (steps []string, lost int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.steps), h.lost
}

func TestStepsReachWhoListens(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		teller := must(b.TellSteps())
		defer teller.Close()
		if teller.Listened("f") {
			t.Error("nobody listens")
		}
		var here hearer
		const flow = "a flow.> *" // its id is no part of a subject
		stop := here.listen(t, b, flow)
		defer stop()
		if !teller.Listened(flow) || teller.Listened("f") {
			t.Error("what is listened to is not known at once")
		}
		var want []string
		for n := range 1000 {
			want = append(want, fmt.Sprint("step ", n))
			teller.Tell(flow, []byte(want[n]))
			teller.Tell("f", []byte("another flow's"))
		}
		eventually(t, 20*time.Second, "the steps", func() bool { steps, _ := here.heard(); return len(steps) == len(want) })
		if steps, lost := here.heard(); !slices.Equal(steps, want) || lost > 0 {
			t.Errorf("heard %d steps in another order, %d times lost", len(steps), lost)
		}
	})
}

// A node hears of the listeners of another one, and they hear its steps, also
// where the two begin in the other order.
func TestStepsReachOtherNodes(t *testing.T) {
	e := startExternal(t)
	works, listens := open(t, Options{Partitions: 4, URLs: []string{e.url()}}), open(t, Options{URLs: []string{e.url()}})
	var early, late hearer
	stop := early.listen(t, listens, "early")
	teller := must(works.TellSteps())
	defer teller.Close()
	eventually(t, 20*time.Second, "the early listener to be known", func() bool { return teller.Listened("early") })
	defer late.listen(t, listens, "late")()
	eventually(t, 20*time.Second, "the late listener to be known", func() bool { return teller.Listened("late") })
	for flow, h := range map[string]*hearer{"early": &early, "late": &late} {
		teller.Tell(flow, []byte(flow))
		eventually(t, 20*time.Second, "a step of "+flow, func() bool { steps, _ := h.heard(); return slices.Equal(steps, []string{flow}) })
	}
	// Somebody who begins later misses what was told before, and nothing is lost.
	var again hearer
	defer again.listen(t, listens, "late")()
	teller.Tell("late", []byte("more"))
	eventually(t, 20*time.Second, "the next step", func() bool { steps, _ := again.heard(); return slices.Equal(steps, []string{"more"}) })
	// What nobody listens to any more is forgotten, and nothing else.
	stop()
	eventually(t, 20*time.Second, "a flow to be forgotten", func() bool { return !teller.Listened("early") })
	time.Sleep(listenEvery + time.Second)
	if !teller.Listened("late") {
		t.Error("a flow is forgotten that somebody listens to")
	}
	for name, h := range map[string]*hearer{"early": &early, "late": &late, "again": &again} {
		if steps, lost := h.heard(); lost > 0 {
			t.Errorf("%s: heard %v, and %d times that steps were lost", name, steps, lost)
		}
	}
}

// While a listener takes nothing, telling goes on. When it goes on it is told
// that it missed something, also where no step follows.
func TestASlowHearerIsToldOfItsLoss(t *testing.T) {
	b := open(t, Options{Partitions: 4})
	teller := must(b.TellSteps())
	defer teller.Close()
	gate, lost := make(chan struct{}), make(chan struct{}, 1)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	taken := 0
	defer must(b.ListenSteps("f", func([]byte) { <-gate; taken++ }, func() {
		select {
		case lost <- struct{}{}:
		default:
		}
	}))()
	const told = 3 * (stepQueue + stepsPending)
	began := time.Now()
	for range told {
		teller.Tell("f", []byte("a step"))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("telling took %v", took)
	}
	eventually(t, 20*time.Second, "the steps to be sent", func() bool { return len(teller.queue) == 0 })
	if err := b.steps.Flush(); err != nil {
		t.Fatal(err)
	}
	open()
	select {
	case <-lost:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told of the loss")
	}
	if taken == 0 || taken >= told {
		t.Errorf("took %d of %d steps", taken, told)
	}
}

// Telling does not wait for a server that stands still.
func TestTellingDoesNotWaitForNATS(t *testing.T) {
	e := startExternal(t)
	b := open(t, Options{Partitions: 4, URLs: []string{e.url()}})
	teller := must(b.TellSteps())
	defer teller.Close()
	var h hearer
	defer h.listen(t, b, "f")()
	e.hang()
	step := make([]byte, 1000)
	began := time.Now()
	for range 5 * stepQueue {
		teller.Tell("f", step)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("telling took %v", took)
	}
	e.signal(syscall.SIGCONT)
	eventually(t, 20*time.Second, "the loss to be told", func() bool { _, lost := h.heard(); return lost > 0 })
}

// Where the connection is cut, steps are missed, and that is told.
func TestStepsLostWithTheServerAreTold(t *testing.T) {
	e := startExternal(t)
	works, listens := open(t, Options{Partitions: 4, URLs: []string{e.url()}}), open(t, Options{URLs: []string{e.url()}})
	teller := must(works.TellSteps())
	defer teller.Close()
	var dialer dialer
	listens.steps.Close()
	listens.steps = must(nats.Connect(e.url(), nats.SetCustomDialer(&dialer), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1)))
	var h hearer
	defer h.listen(t, listens, "f")()
	eventually(t, 20*time.Second, "the listener to be known", func() bool { return teller.Listened("f") })
	teller.Tell("f", []byte("before"))
	eventually(t, 20*time.Second, "the step before", func() bool { steps, _ := h.heard(); return len(steps) == 1 })
	dialer.away.Store(true)
	if err := listens.steps.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the listener to be away", func() bool { return !listens.steps.IsConnected() })
	teller.Tell("f", []byte("missed"))
	eventually(t, 20*time.Second, "the step to be sent", func() bool { return len(teller.queue) == 0 })
	if err := works.steps.Flush(); err != nil {
		t.Fatal(err)
	}
	dialer.away.Store(false)
	eventually(t, 20*time.Second, "the loss to be told", func() bool { _, lost := h.heard(); return lost == 1 })
	teller.Tell("f", []byte("after"))
	eventually(t, 20*time.Second, "the step after", func() bool { steps, _ := h.heard(); return slices.Contains(steps, "after") })
	if steps, lost := h.heard(); lost != 1 || len(steps) != 2 {
		t.Errorf("heard %v, and %d times that steps were lost", steps, lost)
	}
}

// A dialer connects while it is not away.
type dialer struct{ away atomic.Bool }

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if d.away.Load() { // it must not wait: a connection holds a lock while it dials
		return nil, errors.New("away")
	}
	return net.Dial(network, address)
}

// A flow is told of as long as somebody says that it is listened to, and some
// seconds more.
func TestAFlowIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		teller := &StepTeller{queue: make(chan stepMessage, 10), until: map[string]*interest{}, told: map[string]uint64{}}
		for range 5 {
			teller.listened("f")
			time.Sleep(listenFor - time.Millisecond)
			if !teller.Listened("f") {
				t.Fatal("forgotten too early")
			}
		}
		teller.Tell("f", []byte("one"))
		time.Sleep(listenFor)
		if teller.Listened("f") || teller.wanted.Load() != nil {
			t.Fatal("it is not forgotten")
		}
		// Whoever listened all the time, and was not heard, is told.
		order := newStepOrder(time.Now())
		take := func() (string, bool) {
			step, gap := order.next((<-teller.queue).data, time.Now())
			return string(step), gap
		}
		for range 5 {
			if step, gap := take(); step != "" || gap {
				t.Errorf("told %q, %v", step, gap)
			}
		}
		if step, gap := take(); step != "one" || gap {
			t.Errorf("told %q, %v", step, gap)
		}
		if len(teller.told) > 0 {
			t.Errorf("it keeps %v", teller.told)
		}
		teller.listened("f")
		if step, gap := take(); step != "" || !gap {
			t.Errorf("told %q, %v", step, gap)
		}
		teller.listened("f")
		if step, gap := take(); step != "" || gap {
			t.Errorf("told %q, %v", step, gap)
		}
		time.Sleep(listenFor)
	})
}

func TestStepOrder(t *testing.T) {
	type message struct {
		at    time.Duration
		text  string
		lost  bool
		given string
	}
	for name, list := range map[string][]message{
		"in order":               {{text: "a 1 x", given: "x"}, {text: "a 2 y z", given: "y z"}, {text: "a 2 "}, {text: "a 3 x", given: "x"}},
		"a gap":                  {{text: "a 1 x", given: "x"}, {text: "a 3 y", given: "y", lost: true}, {text: "a 4 z", given: "z"}},
		"a gap at the end":       {{text: "a 1 x", given: "x"}, {text: "a 2 ", lost: true}, {text: "a 2 "}, {text: "a 3 z", given: "z"}},
		"told others before":     {{text: "a 7 "}, {text: "a 8 x", given: "x"}},
		"and at the same time":   {{text: "a 8 x", given: "x"}, {text: "a 9 y", given: "y"}},
		"one that comes later":   {{text: "a 1 x", given: "x"}, {at: time.Minute, text: "b 1 x", given: "x"}},
		"its first was lost":     {{at: time.Minute, text: "a 2 x", given: "x", lost: true}, {at: time.Minute, text: "a 3 x", given: "x"}},
		"one that was not heard": {{text: "a 1 x", given: "x"}, {at: time.Minute, text: "b 1 ", lost: true}, {at: time.Minute, text: "b 2 x", given: "x"}},
		"two tellers":            {{text: "a 1 x", given: "x"}, {text: "b 1 x", given: "x"}, {text: "a 2 x", given: "x"}, {text: "b 3 x", given: "x", lost: true}},
		"what is none":           {{text: ""}, {text: "a"}, {text: "a 1"}, {text: "a b c"}, {text: "a -1 c"}},
	} {
		begun := time.Now()
		order := newStepOrder(begun)
		for _, m := range list {
			if step, lost := order.next([]byte(m.text), begun.Add(m.at)); string(step) != m.given || lost != m.lost {
				t.Errorf("%s: %q gives %q, %v", name, m.text, step, lost)
			}
		}
	}
	// Tellers that are gone are not remembered for ever.
	begun := time.Now()
	order := newStepOrder(begun)
	for n := range 1000 {
		order.next(fmt.Appendf(nil, "t%d 1 x", n), begun.Add(time.Duration(n)*time.Second))
	}
	if n := len(order.last); n > 100 {
		t.Errorf("%d tellers are remembered", n)
	}
}
