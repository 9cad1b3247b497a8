package bus

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// What waits to be taken by one who listens to a flow, at most.
const (
	stepsPending      = 4096
	stepsPendingBytes = 8 << 20
)

// ListenSteps gives a function the steps of all runs of a flow, whichever node
// works on them, from now on and in the order of each node. lost is called where
// steps are missing, before those that follow, within a few seconds. One goroutine
// calls both; they must not block, and must not change the step. stop ends that;
// a call may be under way when it returns.
func (b *Bus) ListenSteps(flow string, take func(step []byte), lost func()) (stop func(), err error) {
	order := newStepOrder(time.Now())
	sub, err := b.steps.Subscribe(subjectStep(flow), func(m *nats.Msg) {
		step, gap := order.next(m.Data, time.Now())
		if gap {
			lost()
		}
		if len(step) > 0 {
			take(step)
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(stepsPending, stepsPendingBytes)
	}
	if err == nil {
		err = b.steps.FlushTimeout(flushTimeout)
	}
	if err != nil {
		if sub != nil {
			_ = sub.Unsubscribe() // the connection may be gone
		}
		return nil, fmt.Errorf("listen to a flow: %w: %w", ErrUnavailable, err)
	}
	b.listened.add(b, flow)
	return func() {
		b.listened.remove(flow)
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
	}, nil
}

// flushTimeout is how long the server may take to know of a subscription.
const flushTimeout = 2 * time.Second

// listened are the flows that are listened to on this node.
type listened struct {
	mu    sync.Mutex
	flows map[string]int
	timer *time.Timer // says it again; nil: there are none
}

// add says that a flow is listened to, and again every [listenEvery].
func (l *listened) add(b *Bus, flow string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flows == nil {
		l.flows = map[string]int{}
	}
	l.flows[flow]++
	if t := b.teller.Load(); t != nil {
		t.listened(flow) // at once, whatever NATS does
	}
	_ = b.sayListened(flow) // it is said again
	if l.timer == nil {
		l.timer = time.AfterFunc(listenEvery, func() { l.again(b) })
	}
}

func (l *listened) again(b *Bus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		return
	}
	for flow := range l.flows {
		if errors.Is(b.sayListened(flow), nats.ErrConnectionClosed) {
			return // the bus is closed
		}
	}
	l.timer.Reset(listenEvery)
}

func (b *Bus) sayListened(flow string) error { return b.steps.Publish(subjectListened(flow), nil) }

func (l *listened) remove(flow string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flows[flow]--; l.flows[flow] == 0 {
		delete(l.flows, flow)
	}
	if len(l.flows) == 0 {
		l.timer.Stop()
		l.timer = nil
	}
}

func (l *listened) each(do func(flow string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for flow := range l.flows {
		do(flow)
	}
}

// A stepOrder finds out whether steps of a flow are missing, by the numbers that
// each teller gives them.
type stepOrder struct {
	since time.Time
	last  map[string]stepMark // by teller
}

type stepMark struct {
	number uint64
	heard  time.Time
}

// tellerFor is how long a teller that is not heard of is remembered.
const tellerFor = 10 * listenFor

func newStepOrder(since time.Time) *stepOrder {
	return &stepOrder{since: since, last: map[string]stepMark{}}
}

// next takes a message, "<teller> <number> <step>", and returns its step, if it has
// one. gap is true where steps before it are missing. A teller that is heard
// for the first time may have told others before, but will have said so soon after
// the listening began.
func (o *stepOrder) next(data []byte, now time.Time) (step []byte, gap bool) {
	name, rest, _ := bytes.Cut(data, []byte(" "))
	text, step, ok := bytes.Cut(rest, []byte(" "))
	number, err := strconv.ParseUint(string(text), 10, 64)
	if !ok || err != nil {
		return nil, false
	}
	before := number
	if len(step) > 0 {
		before-- // the step is the number's
	}
	last, known := o.last[string(name)]
	switch {
	case known:
		gap = before > last.number
	case before > 0:
		gap = now.Sub(o.since) > listenFor
	}
	if !known {
		for other, mark := range o.last {
			if now.Sub(mark.heard) > tellerFor {
				delete(o.last, other)
			}
		}
	}
	o.last[string(name)] = stepMark{max(number, last.number), now}
	return step, gap
}
