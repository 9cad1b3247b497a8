package gateway

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A stage is what a caller waits for.
type stage uint8

const (
	stored    stage = iota // the durable commit alone
	processed              // the events were folded
	flows                  // their flows ended or paused
	indexed                // they can be queried
)

var stages = map[string]stage{"": stored, "processed": processed, "flows": flows, "indexed": indexed}

const stageNames = "processed, flows or indexed"

// waiters are the callers of this node that wait for outcomes.
type waiters struct {
	prefix string // of the subjects that outcomes come back on
	mu     sync.Mutex
	last   uint64
	open   map[uint64]*waiter
}

// A waiter takes what comes for one request: for each event, by its index, the
// outcome, and where its caller waits for flows also what they answered.
type waiter struct {
	id    uint64
	flows bool
	done  chan struct{} // closed when all that is wanted has come

	mu     sync.Mutex
	events []awaited
	left   int // events that something is still to come for; -1 before it is known which
}

// awaited is what has come for an event.
type awaited struct {
	wanted  bool
	outcome *record.Outcome
	answer  responses // of the flows; nil: not come
}

// complete tells whether no more will come. Only a new event that is valid has
// flows that run for it.
func (a *awaited) complete(flows bool) bool {
	if a.outcome == nil {
		return false
	}
	return !flows || a.answer != nil || a.outcome.Status != record.StatusAccepted || !a.outcome.Valid
}

func (w *waiters) register(events int, until stage) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	one := &waiter{id: w.last, flows: until == flows, left: -1, done: make(chan struct{}), events: make([]awaited, events)}
	if w.open == nil {
		w.open = map[uint64]*waiter{}
	}
	w.open[one.id] = one
	return one
}

func (w *waiters) forget(waiter *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, waiter.id)
}

// subject is where the outcome of the event with the index is to go.
func (w *waiters) subject(waiter *waiter, index int) string {
	return w.prefix + strconv.FormatUint(waiter.id, 36) + "-" + strconv.Itoa(index)
}

// deliver hands an outcome, or what flows answered, to the one who waits for it,
// if there is one left. What is neither is as good as nothing.
func (w *waiters) deliver(token string, data []byte) {
	outcome := strings.TrimSuffix(token, record.FlowsReply(""))
	id, index, _ := strings.Cut(outcome, "-")
	number, err := strconv.ParseUint(id, 36, 64)
	if err != nil {
		return
	}
	i, err := strconv.Atoi(index)
	if err != nil {
		return
	}
	w.mu.Lock()
	waiter := w.open[number]
	w.mu.Unlock()
	if waiter == nil {
		return
	}
	if outcome != token {
		if answer, err := parseResponses(data); err == nil {
			waiter.take(i, nil, answer)
		}
		return
	}
	if outcome, err := record.ParseOutcome(data); err == nil {
		waiter.take(i, &outcome, nil)
	}
}

// take enters what has come for an event: one of the two. The first one counts.
func (w *waiter) take(index int, outcome *record.Outcome, answer responses) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index < 0 || index >= len(w.events) {
		return
	}
	a := &w.events[index]
	if a.complete(w.flows) {
		return
	}
	if a.outcome == nil {
		a.outcome = outcome
	}
	if a.answer == nil {
		a.answer = answer
	}
	if w.left > 0 && a.wanted && a.complete(w.flows) {
		if w.left--; w.left == 0 {
			close(w.done)
		}
	}
}

// want says what is waited for: what becomes of the events that were stored.
func (w *waiter) want(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = 0
	for i := range b.events {
		if b.events[i].status != accepted {
			continue
		}
		a := &w.events[i]
		a.wanted = true
		if !a.complete(w.flows) {
			w.left++
		}
	}
	if w.left == 0 {
		close(w.done)
	}
}

// await waits until all that is wanted has come, and gives the events what
// came. It is false where the context ended first.
func (w *waiter) await(ctx context.Context, b *batch) bool {
	complete := true
	select {
	case <-w.done:
	case <-ctx.Done():
		complete = false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range b.events {
		if a := &w.events[i]; a.wanted {
			b.events[i].outcome, b.events[i].response = a.outcome, a.answer
		}
	}
	return complete
}
