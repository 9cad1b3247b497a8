// Package worker is the data plane of a plugin's process: it takes the calls of
// actions from NATS, has them worked on, a bounded number at a time, and answers
// each of them once.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// Options are what a worker works by.
type Options struct {
	Name, Version, Description string // of the plugin
	Instance                   string // of the process
	Connection                 Connection
	Endpoints                  []Endpoint
	// Concurrency is how many calls are worked on at a time, at most; 0 is 64
	// for each processor.
	Concurrency int
	// Fatal is called when the worker cannot take calls of an endpoint any more,
	// after the log says why.
	Fatal func()
	Log   *slog.Logger
}

// An Endpoint is where an action takes its calls.
type Endpoint struct {
	Action, Subject, Queue string
	Handle                 Handler
	// Inline calls are worked on one after the other, each without a goroutine
	// of its own.
	Inline bool
}

// A Handler works on a call and fills in the reply, whose id is set. It may
// panic, and may go on after ctx has ended: by then the call has been answered.
type Handler func(ctx context.Context, call *wire.Call, reply *wire.Reply)

// A Health is how a worker does.
type Health struct {
	Connected bool
	InFlight  int    // calls being worked on
	Handled   uint64 // calls answered
	Failed    uint64 // of them, those answered with an error
	Problem   string // the last thing that went wrong with NATS
}

// A Worker answers calls until it is closed.
type Worker struct {
	log      *slog.Logger
	nc       *nats.Conn
	service  micro.Service
	base     context.Context // of every call
	cancel   context.CancelFunc
	slots    chan struct{} // one for each call being worked on
	taken    atomic.Int64  // calls taken from NATS and not answered yet
	counts   map[string]*counts
	problems problems
	fatal    func()
	closed   sync.Once
}

// counts are those of one action.
type counts struct{ handled, failed, overrun atomic.Uint64 }

// What may wait for a slot at an endpoint, in the client. A call beyond is lost,
// which NATS tells as a slow consumer: whoever calls has to bound what it has
// outstanding.
const (
	pendingCalls = 16 << 10
	pendingBytes = 32 << 20
)

// Start connects to NATS and takes calls. It returns when every subscription
// stands, and fails where the user may not subscribe.
func Start(ctx context.Context, o Options) (*Worker, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = 64 * runtime.GOMAXPROCS(0)
	}
	w := &Worker{
		log: o.Log, slots: make(chan struct{}, o.Concurrency), counts: map[string]*counts{}, problems: problems{log: o.Log}, fatal: o.Fatal,
	}
	var err error
	if w.nc, err = connect(o, &w.problems); err != nil {
		return nil, err
	}
	// Calls live as long as the worker, not as long as the request to start.
	w.base, w.cancel = context.WithCancel(context.Background())
	if err := w.serve(ctx, o); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Worker) serve(ctx context.Context, o Options) (err error) {
	w.service, err = micro.AddService(w.nc, micro.Config{
		Name: o.Name, Version: o.Version, Description: o.Description,
		Metadata:     map[string]string{"instance": o.Instance},
		StatsHandler: w.stats,
	})
	if err != nil {
		return fmt.Errorf("announce the service %s: %w", o.Name, err)
	}
	for _, e := range o.Endpoints {
		w.counts[e.Action] = &counts{}
	}
	for _, e := range o.Endpoints {
		n := w.counts[e.Action]
		err := w.service.AddEndpoint(e.Action, &intake{w: w, e: &e, n: n}, micro.WithEndpointSubject(e.Subject),
			micro.WithEndpointQueueGroup(e.Queue), micro.WithEndpointPendingLimits(pendingCalls, pendingBytes))
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", e.Subject, err)
		}
	}
	if err := flush(ctx, w.nc); err != nil {
		return fmt.Errorf("wait for the subscriptions to stand: %w", err)
	}
	// What the server refuses it has said by now; the endpoints come last.
	if refused := w.nc.LastError(); errors.Is(refused, nats.ErrPermissionViolation) {
		for _, e := range o.Endpoints {
			if strings.Contains(refused.Error(), `"`+e.Subject+`"`) {
				return fmt.Errorf("subscribe to %s: %w", e.Subject, refused)
			}
		}
	}
	return nil
}

// Health tells how the worker does.
func (w *Worker) Health() Health {
	h := Health{Connected: w.nc.IsConnected(), InFlight: len(w.slots), Problem: w.problems.last()}
	for _, n := range w.counts {
		h.Handled += n.handled.Load()
		h.Failed += n.failed.Load()
	}
	return h
}

// Drain takes no new calls and returns when those that were taken are answered,
// or when ctx ends, with the number of those that are not.
func (w *Worker) Drain(ctx context.Context) (unfinished int, err error) {
	if err := w.service.Stop(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return w.left(), fmt.Errorf("unsubscribe: %w", err)
	}
	// NATS takes a subscription off when nothing of it waits in the client.
	if !wait(ctx, func() bool { return w.nc.NumSubscriptions() == 0 || w.nc.IsClosed() }) {
		return w.left(), nil
	}
	// The last of them may be on its way to its intake yet: it has arrived when the
	// server has answered once more.
	if err := flush(ctx, w.nc); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return w.left(), fmt.Errorf("wait for the last calls: %w", err)
	}
	if !wait(ctx, func() bool { return w.taken.Load() == 0 }) {
		return w.left(), nil
	}
	if err := flush(ctx, w.nc); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return w.left(), fmt.Errorf("send the last answers: %w", err)
	}
	return w.left(), nil
}

// Close ends the connection and the context of every call that is still worked on.
func (w *Worker) Close() {
	w.closed.Do(func() {
		w.cancel()
		w.nc.Close()
	})
}

func (w *Worker) left() int { return int(w.taken.Load()) }

// stats is what the service tells of an endpoint beside what NATS counts.
func (w *Worker) stats(e *micro.Endpoint) any {
	n := w.counts[e.Name]
	return map[string]uint64{
		"handled": n.handled.Load(), "failed": n.failed.Load(), "overrun": n.overrun.Load(), "in_flight": uint64(len(w.slots)),
	}
}

// flush waits until the server has seen what was sent.
func flush(ctx context.Context, nc *nats.Conn) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second) // NATS asks for one
		defer cancel()
	}
	return nc.FlushWithContext(ctx)
}

// wait looks until a condition holds; false where ctx ends before.
func wait(ctx context.Context, holds func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
