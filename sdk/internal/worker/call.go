package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/tributary-bus/tributary/sdk/wire"
)

const (
	// defaultTimeout is that of a call which names none.
	defaultTimeout = 10 * time.Second
	// overrunGrace is how long an action may go on after its time-out before
	// the log says so.
	overrunGrace = time.Second
	// maxMessage bounds the text of an error, in bytes.
	maxMessage = 8 << 10
)

// An intake takes the calls of an endpoint.
type intake struct {
	w *Worker
	e *Endpoint
	n *counts
}

// Handle implements micro.Handler. It takes a call when a slot is free for it:
// until then the endpoint takes no other.
func (i *intake) Handle(r micro.Request) {
	i.w.taken.Add(1)
	select {
	case i.w.slots <- struct{}{}:
		// A call ends by itself; Drain waits for it, and Close cancels it.
		if i.e.Inline {
			i.w.work(i.e, i.n, r)
		} else {
			go i.w.work(i.e, i.n, r)
		}
	case <-i.w.base.Done():
		i.w.taken.Add(-1)
	}
}

// An attempt is a call that is being worked on.
type attempt struct {
	w        *Worker
	e        *Endpoint
	n        *counts
	to       string // the subject of the answer
	answered atomic.Bool
	finished atomic.Bool
}

func (w *Worker) work(e *Endpoint, n *counts, r micro.Request) {
	a := &attempt{w: w, e: e, n: n, to: r.Reply()}
	reply := &wire.Reply{}
	returned := false
	defer func() {
		a.finished.Store(true)
		if cause := recover(); cause != nil {
			w.log.Error("an action panicked", "action", e.Action, "panic", cause, "call", reply.ID, "stack", string(debug.Stack()))
			a.fail(reply.ID, fmt.Sprintf("the action %s panicked: %v", e.Action, cause))
		} else if !returned {
			a.fail(reply.ID, fmt.Sprintf("the action %s ended its goroutine", e.Action))
			defer w.lose(e)
		}
		<-w.slots
		w.taken.Add(-1)
	}()
	if a.to == "" {
		returned = true // nobody waits, so nobody called
		return
	}
	call, err := wire.ParseCall(r.Data())
	if err != nil {
		a.fail("", err.Error())
		returned = true
		return
	}
	reply.ID = call.ID
	if call.Timeout == 0 {
		call.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(w.base, call.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { a.expire(ctx, call) })
	e.Handle(ctx, call, reply)
	stop()
	if reply.Error != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// What an action says that gave up at its deadline is that it has one.
		a.fail(call.ID, overdue(e, call))
	}
	a.answer(reply)
	returned = true
}

// lose ends what cannot go on: an inline call has ended the goroutine on which its
// endpoint's calls arrive.
func (w *Worker) lose(e *Endpoint) {
	if !e.Inline {
		return
	}
	ctx, cancel := context.WithTimeout(w.base, time.Second)
	defer cancel()
	w.log.Error("a pure action ended the goroutine that takes its calls: the process ends", "action", e.Action, "answered", flush(ctx, w.nc) == nil)
	w.fatal()
}

// expire answers for an action that has not done so in time. It keeps its slot
// until it returns.
func (a *attempt) expire(ctx context.Context, call *wire.Call) {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || a.finished.Load() {
		return
	}
	a.fail(call.ID, overdue(a.e, call))
	time.AfterFunc(overrunGrace, func() {
		if a.finished.Load() {
			return
		}
		a.n.overrun.Add(1)
		a.w.log.Warn("an action goes on after its time-out: it keeps one of the plugin's slots until it returns",
			"action", a.e.Action, "timeout", call.Timeout, "flow", call.Flow, "node", call.Node, "run", call.Run)
	})
}

func overdue(e *Endpoint, call *wire.Call) string {
	return fmt.Sprintf("the action %s did not answer within %s", e.Action, call.Timeout)
}

func (a *attempt) fail(id, message string) {
	a.answer(&wire.Reply{ID: id, Error: &wire.Error{Message: message}})
}

// buffers are used again: NATS copies what is published.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is how large a buffer is kept, in bytes.
const maxBuffer = 64 << 10

// answer sends the reply, unless the call was answered before.
func (a *attempt) answer(r *wire.Reply) {
	if !a.answered.CompareAndSwap(false, true) {
		return
	}
	if r.Error != nil && len(r.Error.Message) > maxMessage {
		r.Error.Message = r.Error.Message[:maxMessage] + "…"
	}
	buffer := buffers.Get().(*[]byte)
	text := r.AppendJSON((*buffer)[:0])
	if len(text) > wire.MaxReply {
		r = &wire.Reply{ID: r.ID, Error: &wire.Error{
			Message: fmt.Sprintf("the answer of the action %s has %d bytes, more than %d", a.e.Action, len(text), wire.MaxReply),
		}}
		text = r.AppendJSON(text[:0])
	}
	// Counted first: whoever has the answer can see that it was given.
	a.n.handled.Add(1)
	if r.Error != nil {
		a.n.failed.Add(1)
	}
	// While there is no connection nothing can be answered, and whoever called knows.
	if err := a.w.nc.Publish(a.to, text); err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) && !errors.Is(err, nats.ErrConnectionClosed) {
		a.w.problems.add(fmt.Errorf("answer a call of %s: %w", a.e.Action, err))
	}
	if cap(text) <= maxBuffer {
		*buffer = text
		buffers.Put(buffer)
	}
}
