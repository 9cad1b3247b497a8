package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"
)

// ErrNoPlugin says that no process answers to an action: none is up, or none
// that offers it.
var ErrNoPlugin = errors.New("no process of the plugin is up")

// A ServiceError is what a plugin's process says in place of an answer, such as
// to a call that it cannot read.
type ServiceError struct{ Code, Description string }

func (e *ServiceError) Error() string {
	return fmt.Sprintf("the plugin refuses the call: %s (%s)", e.Description, e.Code)
}

// Call asks an action of a plugin for its work, which one of the processes that
// are up does, and returns what it answers. The context bounds the wait, and
// nothing else does. [ErrNoPlugin] comes at once and means that nothing was
// done; [ErrTooLarge], too. After every other error the process may have done
// its work or still be at it: [ErrUnavailable] and [ErrNoAck] say that NATS was
// lost, a *[ServiceError] that the process refuses, the context's cause that
// the wait was over. What is on its way to one plugin does not hold up calls of
// another.
func (b *Bus) Call(ctx context.Context, plugin, action string, data []byte) ([]byte, error) {
	answer, err := b.call(ctx, plugin, action, data)
	if err != nil {
		return nil, fmt.Errorf("call %s/%s: %w", plugin, action, err)
	}
	return answer, nil
}

// PluginEnded tells all nodes that a process of a plugin has ended: what was
// asked of it will not be answered.
func (b *Bus) PluginEnded(plugin string) error {
	if err := checkName("a plugin", plugin); err != nil {
		return fmt.Errorf("tell of an ended process: %w", err)
	}
	if err := b.replies.Publish(subjectEnded(plugin), nil); err != nil {
		return fmt.Errorf("tell of an ended process of %s: %w: %w", plugin, ErrUnavailable, err)
	}
	return nil
}

// OnPluginEnded calls a function when a process of a plugin has ended, on
// whichever node. The function is called by one goroutine and must not block;
// stop ends that. What ends while the server is away is not told.
func (b *Bus) OnPluginEnded(ended func(plugin string)) (stop func(), err error) {
	sub, err := b.replies.Subscribe(subjectEnded("*"), func(m *nats.Msg) {
		ended(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	})
	if err == nil {
		err = b.replies.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("hear of ended processes: %w: %w", ErrUnavailable, err)
	}
	return func() {
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
	}, nil
}

// A caller is the connection for calls. What is on its way is bounded for each
// plugin by itself, since a plugin may take its time.
type caller struct {
	line    *line
	windows sync.Map // by plugin, *semaphore.Weighted of bytes
}

func newCaller(dial func(...nats.Option) (*nats.Conn, error)) *caller {
	return &caller{line: &line{dial: dial, pending: map[uint64]pendingExchange{}}}
}

func (c *caller) window(plugin string) *semaphore.Weighted {
	if w, ok := c.windows.Load(plugin); ok {
		return w.(*semaphore.Weighted)
	}
	w, _ := c.windows.LoadOrStore(plugin, semaphore.NewWeighted(lineWindow))
	return w.(*semaphore.Weighted)
}

func (b *Bus) call(ctx context.Context, plugin, action string, data []byte) ([]byte, error) {
	if err := errors.Join(checkName("a plugin", plugin), checkName("an action", action)); err != nil {
		return nil, err
	}
	x := exchange{subject: subjectAction(plugin, action), data: data}
	window := b.calls.window(plugin)
	if err := window.Acquire(ctx, x.cost()); err != nil {
		return nil, context.Cause(ctx)
	}
	defer window.Release(x.cost())
	b.calls.line.wait(ctx, &x)
	switch {
	case errors.Is(x.err, errNobody):
		return nil, ErrNoPlugin
	case errors.Is(x.err, nats.ErrMaxPayload):
		return nil, fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, len(data), x.err)
	case x.err != nil:
		return nil, x.err
	}
	if len(x.reply.Header) > 0 {
		if text := x.reply.Header.Get(headerServiceError); text != "" {
			return nil, &ServiceError{Code: x.reply.Header.Get(headerServiceErrorCode), Description: text}
		}
	}
	return x.reply.Data, nil
}

// What the micro services of NATS answer where they fail.
const (
	headerServiceError     = "Nats-Service-Error"
	headerServiceErrorCode = "Nats-Service-Error-Code"
)
