package bus

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// The steps of runs go from the node that works on a run to those where somebody
// listens to its flow. They are of no stream, and so are not kept. A node where
// somebody listens says so again and again; where nobody does, nothing is sent.
//
// A step that is lost on its way is missed by those who listen: each node numbers
// what it tells of a flow, and says the last number whenever it hears that the
// flow is listened to.

// A StepTeller tells the steps of this node's runs.
type StepTeller struct {
	bus   *Bus
	conn  *nats.Conn
	name  string // of no other one
	queue chan stepMessage
	stop  func()

	wanted atomic.Pointer[map[string]struct{}] // flows that are listened to; nil: none

	mu     sync.Mutex
	closed bool
	until  map[string]*interest
	told   map[string]uint64 // by flow, the last step's number
	top    uint64            // no number of a flow that is forgotten is above it
}

// An interest is how long a flow counts as listened to.
type interest struct {
	ends  time.Time
	timer *time.Timer
}

type stepMessage struct {
	subject string
	data    []byte
}

const (
	// listenEvery is how often a node says which flows are listened to there,
	// listenFor how long the others go by that.
	listenEvery = 2 * time.Second
	listenFor   = 3 * listenEvery
	// stepQueue is how many steps may wait to be sent. What comes beyond is lost.
	stepQueue = 4096
)

// TellSteps returns what tells the steps of runs, until it is closed. A bus has
// one at a time.
func (b *Bus) TellSteps() (*StepTeller, error) {
	t := &StepTeller{
		bus: b, conn: b.steps, name: rand.Text(), queue: make(chan stepMessage, stepQueue),
		until: map[string]*interest{}, told: map[string]uint64{},
	}
	sub, err := t.conn.Subscribe(prefixListened+"*", func(m *nats.Msg) {
		if flow, err := decodeToken(strings.TrimPrefix(m.Subject, prefixListened)); err == nil {
			t.listened(flow)
		}
	})
	if err == nil {
		err = t.conn.Flush()
	}
	if err != nil {
		if sub != nil {
			_ = sub.Unsubscribe() // the connection may be gone
		}
		return nil, fmt.Errorf("hear which flows are listened to: %w: %w", ErrUnavailable, err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		t.send()
	}()
	t.stop = func() {
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
		<-sent
	}
	b.teller.Store(t)
	b.listened.each(t.listened)
	return t, nil
}

// Listened tells whether somebody listens to a flow, on whichever node. It costs
// next to nothing.
func (t *StepTeller) Listened(flow string) bool {
	wanted := t.wanted.Load()
	if wanted == nil {
		return false
	}
	_, ok := (*wanted)[flow]
	return ok
}

// Tell sends a step of a flow to those who listen to it. It never waits: a step
// that there is no room for is lost, and they are told that one was.
func (t *StepTeller) Tell(flow string, step []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number(flow)
	t.put(flow, step)
}

// Close ends the telling, when what was told is on its way, or NATS does not take
// it.
func (t *StepTeller) Close() {
	t.bus.teller.CompareAndSwap(t, nil)
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	close(t.queue)
	for flow, i := range t.until {
		i.timer.Stop()
		delete(t.until, flow)
	}
	t.want()
	t.mu.Unlock()
	t.stop()
}

// number gives a flow the next number, above all that it ever had; t.mu is held.
func (t *StepTeller) number(flow string) {
	last, ok := t.told[flow]
	if !ok {
		last = t.top
	}
	t.told[flow] = last + 1
}

// listened notes that somebody listens to a flow, and has who listens to it told
// the number of the last step.
func (t *StepTeller) listened(flow string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	i := t.until[flow]
	if i == nil {
		i = &interest{timer: time.AfterFunc(listenFor, func() { t.forget(flow) })}
		t.until[flow] = i
		t.want()
		t.number(flow) // somebody may have listened all the time, and not been heard
	}
	i.ends = time.Now().Add(listenFor)
	i.timer.Reset(listenFor)
	t.put(flow, nil)
}

// forget forgets a flow that nobody listens to any more.
func (t *StepTeller) forget(flow string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.until[flow]; i != nil && !time.Now().Before(i.ends) {
		delete(t.until, flow)
		t.top = max(t.top, t.told[flow])
		delete(t.told, flow)
		t.want()
	}
}

// want makes what is listened to known to Listened; t.mu is held.
func (t *StepTeller) want() {
	if len(t.until) == 0 {
		t.wanted.Store(nil)
		return
	}
	wanted := make(map[string]struct{}, len(t.until))
	for flow := range t.until {
		wanted[flow] = struct{}{}
	}
	t.wanted.Store(&wanted)
}

// put queues a step, or without one the number of the last one; t.mu is held.
func (t *StepTeller) put(flow string, step []byte) {
	if t.closed {
		return
	}
	data := make([]byte, 0, len(t.name)+len(step)+22)
	data = append(data, t.name...)
	data = append(data, ' ')
	data = strconv.AppendUint(data, t.told[flow], 10)
	data = append(data, ' ')
	select {
	case t.queue <- stepMessage{subjectStep(flow), append(data, step...)}:
	default: // the numbers tell that it is missing
	}
}

// send sends what is queued until the teller is closed. What is left then is sent
// as long as NATS takes it.
func (t *StepTeller) send() {
	for m := range t.queue {
		if err := t.conn.Publish(m.subject, m.data); err != nil {
			t.bus.log.Debug("a step of a run is not told", "error", err)
			t.mu.Lock()
			closed := t.closed
			t.mu.Unlock()
			if closed {
				return
			}
		}
	}
}
