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

// A waiter takes the outcomes of one request, each of which has the index of
// its event.
type waiter struct {
	id   uint64
	done chan struct{} // closed when all that is wanted has come

	mu       sync.Mutex
	outcomes []*record.Outcome
	wanted   []bool
	left     int // outcomes still to come; -1 before it is known which
}

func (w *waiters) register(events int) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	one := &waiter{
		id: w.last, left: -1, done: make(chan struct{}),
		outcomes: make([]*record.Outcome, events), wanted: make([]bool, events),
	}
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

// deliver hands an outcome to the one who waits for it, if there is one left.
func (w *waiters) deliver(token string, data []byte) {
	id, index, _ := strings.Cut(token, "-")
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
	outcome, err := record.ParseOutcome(data)
	if err != nil {
		return
	}
	waiter.take(i, &outcome)
}

func (w *waiter) take(index int, outcome *record.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index < 0 || index >= len(w.outcomes) || w.outcomes[index] != nil {
		return
	}
	w.outcomes[index] = outcome
	if w.left > 0 && w.wanted[index] {
		if w.left--; w.left == 0 {
			close(w.done)
		}
	}
}

// want says which outcomes are waited for: those of events that were stored.
func (w *waiter) want(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = 0
	for i := range b.events {
		if b.events[i].status != accepted {
			continue
		}
		w.wanted[i] = true
		if w.outcomes[i] == nil {
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
		if w.wanted[i] {
			b.events[i].outcome = w.outcomes[i]
		}
	}
	return complete
}
