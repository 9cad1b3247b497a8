package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/wire"
)

type calling interface {
	Call(ctx context.Context, plugin, action string, data []byte) ([]byte, error)
	OnPluginEnded(func(plugin string)) (stop func(), err error)
}

// A caller asks plugins for what nodes want. A call whose plugin's process ends
// fails at once.
type caller struct {
	bus     calling
	actions func() config.Actions
	metrics *counters

	mu sync.Mutex
	// open has, by plugin, the context of its open calls.
	open map[string]openCalls
}

// openCalls are the calls of a plugin that were made while the same processes of
// it ran.
type openCalls struct {
	context.Context
	end context.CancelFunc
}

func newCaller(b calling, actions func() config.Actions, m *counters) *caller {
	return &caller{bus: b, actions: actions, metrics: m, open: map[string]openCalls{}}
}

// ended fails the open calls of a plugin, of which a process has ended: nobody
// can tell which of them it was working on.
func (c *caller) ended(plugin string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if calls, ok := c.open[plugin]; ok {
		calls.end()
		delete(c.open, plugin)
	}
}

func (c *caller) calls(plugin string) openCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls, ok := c.open[plugin]
	if !ok {
		calls.Context, calls.end = context.WithCancel(context.Background())
		c.open[plugin] = calls
	}
	return calls
}

// retries are the pauses before a call is tried again; the last one repeats. The
// first three together leave a process that died the time to be started again.
var retries = [...]time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2500 * time.Millisecond}

// work asks for a node until it is answered for good.
func (c *caller) work(ctx context.Context, n int, node *config.FlowNode, call *wire.Call) result {
	plugin, action, _ := strings.Cut(node.Action, "/")
	var first time.Time
	for attempt := 1; ; attempt++ {
		call.Attempt = attempt
		c.metrics.calls.Inc()
		began := time.Now()
		if attempt == 1 {
			first = began
		}
		r, err := c.try(ctx, plugin, action, node, call)
		one := time.Since(began)
		c.metrics.duration.Update(one.Seconds())
		took := began.Sub(first) + one
		var failed *callError
		if err == nil {
			r.node, r.attempts, r.took = n, attempt, took
			return r
		}
		if !errors.As(err, &failed) || !failed.temporary || attempt > node.Retries || ctx.Err() != nil {
			c.metrics.callsFailed.Inc()
			return result{node: n, err: err, attempts: attempt, took: took}
		}
		c.metrics.retries.Inc()
		pause(ctx, retries[min(attempt, len(retries))-1])
	}
}

// A callError is why a call failed; a temporary one is worth another try.
type callError struct {
	message   string
	temporary bool
}

func (e *callError) Error() string { return e.message }

func failedCall(temporary bool, format string, args ...any) *callError {
	return &callError{message: fmt.Sprintf(format, args...), temporary: temporary}
}

// maxMessage bounds what is kept of an action's own words.
const maxMessage = 1000

// try makes one call.
func (c *caller) try(ctx context.Context, plugin, action string, node *config.FlowNode, call *wire.Call) (result, error) {
	calls := c.calls(plugin)
	waiting, cancel := context.WithTimeout(calls, node.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	room := buffers.Get().(*[]byte)
	*room = call.AppendJSON((*room)[:0])
	answer, err := c.bus.Call(waiting, plugin, action, *room) //nolint:contextcheck // it ends with ctx and with the process
	if cap(*room) <= maxBuffer {
		buffers.Put(room) // the bus has sent what it sends
	}
	switch {
	case err == nil:
		return c.read(node, call, answer)
	case ctx.Err() != nil:
		return result{}, ctx.Err()
	case calls.Err() != nil:
		return result{}, failedCall(true, "the process of plugin %s ended during the call", plugin)
	case errors.Is(err, bus.ErrNoPlugin):
		return result{}, failedCall(true, "no process of plugin %s is up; `tributary plugin info %s` tells why", plugin, plugin)
	case errors.Is(err, context.DeadlineExceeded):
		return result{}, failedCall(false, "%s did not answer within %s", node.Action, node.Timeout)
	case errors.Is(err, bus.ErrTooLarge):
		return result{}, failedCall(false, "call %s: %v", node.Action, err)
	}
	return result{}, failedCall(true, "call %s: %v", node.Action, err)
}

// buffers are used again for the texts of calls; larger ones than maxBuffer are
// not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxBuffer = 64 << 10

// read checks an answer.
func (c *caller) read(node *config.FlowNode, call *wire.Call, data []byte) (result, error) {
	reply, err := wire.ParseReply(data)
	switch {
	case err != nil:
		return result{}, failedCall(false, "%s answered what is no reply: %v", node.Action, err)
	case reply.ID != call.ID:
		return result{}, failedCall(false, "%s answered for another call", node.Action)
	case reply.Error != nil:
		return result{}, failedCall(reply.Error.Temporary, "%.*s", maxMessage, reply.Error.Message)
	}
	if c.actions != nil {
		if spec, ok := c.actions().Action(node.Action); ok && !slices.Contains(spec.Ports, reply.Port) {
			return result{}, failedCall(false, "%s answered on the port %.100q, which it does not have", node.Action, reply.Port)
		}
	}
	for _, e := range reply.Events {
		if n := utf8.RuneCountInString(e.Type); n == 0 || n > 128 || strings.ContainsFunc(e.Type, unicode.IsControl) {
			return result{}, failedCall(false, "%s sends an event whose type has %d characters, or control characters; want 1 to 128", node.Action, n)
		}
	}
	return result{port: reply.Port, payload: value{text: reply.Payload}, patches: reply.Patches, events: reply.Events}, nil
}
