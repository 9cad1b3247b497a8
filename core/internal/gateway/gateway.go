// Package gateway takes events in, over HTTP and WebSocket: it knows who
// sends, reads what they send in a dialect of theirs, gives every event an id
// and a partition, and answers once the bus has it for good. What it answers
// for each event is the contract's: accepted, duplicate, invalid or retry.
//
// A dialect is a file of its own, which adds its own paths: native.go,
// tracardi.go, segment.go, jitsu.go, cloudevents.go, webhook.go, pixel.go,
// redirect.go. It turns a request into a batch of events and a batch into an
// answer; everything in between is the same for all of them.
package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A Bus is what the gateway needs of the bus.
type Bus interface {
	Directory
	// Accepting is nil while events can be taken in. It costs next to nothing.
	Accepting() error
	Append(ctx context.Context, entries []bus.Entry) error
	Replies(handler func(token string, data []byte)) (prefix string, stop func(), err error)
}

// Resources is where the configuration in force comes from.
type Resources interface {
	Current() *config.Set
}

// Seen knows the ids of commands that were applied on this node.
type Seen interface {
	Has(id record.ID) (bool, error)
}

// Options make a gateway. Bus and Resources are required.
type Options struct {
	Bus       Bus
	Resources Resources
	// Seen tells what was sent before. Without it no event is told to be a
	// duplicate before it is folded.
	Seen Seen
	// Indexed waits until what an outcome says can be queried. Without it
	// wait=indexed is refused.
	Indexed func(ctx context.Context, o record.Outcome) error
	// Live serves subscriptions. Without it they are refused.
	Live *live.Live
	// Readers knows which token may read what. Without it nobody may read.
	Readers *access.Readers
	// Proxies are believed when they say whom they ask for. Without it nobody is.
	Proxies Proxies
	Limits  Limits
	Log     *slog.Logger
	Now     func() time.Time
}

// A Gateway serves the ingest endpoints.
type Gateway struct {
	options Options
	limits  Limits
	pace    pace
	log     *slog.Logger
	now     func() time.Time
	router  *router
	waiters waiters
	stop    func() // of the replies
	rules   atomic.Pointer[rules]
	rates   rates
	bodies  budget
	gate    gate
	sockets sockets
	metrics gatewayMetrics
	// reported is when refused events were last logged, Unix seconds.
	reported atomic.Int64
}

// New returns a gateway that takes its answers from the bus from now on.
func New(o Options) (*Gateway, error) {
	g := &Gateway{options: o, limits: o.Limits.withDefaults(), pace: usualPace, log: o.Log, now: o.Now, router: newRouter(o.Bus)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	g.bodies.limit = g.limits.InFlight
	g.gate.init()
	g.sockets.init()
	g.metrics.init(g)
	prefix, stop, err := o.Bus.Replies(g.waiters.deliver)
	if err != nil {
		return nil, fmt.Errorf("listen for outcomes: %w", err)
	}
	g.waiters.prefix, g.stop = prefix, stop
	return g, nil
}

// Handler serves the gateway's paths. Others are answered 404.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// Learn takes note of who holds an identifier. The node's processor calls it
// after a commit, so that the next event goes to the right partition at once.
func (g *Gateway) Learn(key bus.IdentityKey, profile string) {
	g.router.learn(key, profile, g.now())
}

// Drain stops taking in, waits for what is being worked on and closes the
// WebSockets, spread over a part of the time left, so that their clients do
// not all come back at once. What has not ended when the context does is cut.
func (g *Gateway) Drain(ctx context.Context) error {
	closed := g.gate.close()
	err := g.sockets.drain(ctx)
	select {
	case <-closed:
	case <-ctx.Done():
		err = fmt.Errorf("drain the gateway: %d requests cut: %w", g.gate.inside(), ctx.Err())
	}
	g.stop()
	return err
}

// Metrics writes the gateway's metrics in the Prometheus text format.
func (g *Gateway) Metrics(w io.Writer) { g.metrics.set.WritePrometheus(w) }

// ServerSettings sets the bounds of a server that serves a gateway: a client
// that sends its headers or its body slowly, or large headers, costs little.
func ServerSettings(s *http.Server) {
	s.ReadHeaderTimeout = 5 * time.Second
	s.ReadTimeout = 30 * time.Second
	// Longer than a body may take to come and ?wait to hold its answer.
	s.WriteTimeout = 90 * time.Second
	s.IdleTimeout = 2 * time.Minute
	s.MaxHeaderBytes = 32 << 10
}

// reportEvery bounds how often refused events are logged, in seconds.
const reportEvery = 10

// reportInvalid logs events that were refused without their sender being told.
func (g *Gateway) reportInvalid(path string, b *batch) {
	refused := count(b.events, invalid)
	now, last := b.received.Unix(), g.reported.Load()
	if refused == 0 || now-last < reportEvery || !g.reported.CompareAndSwap(last, now) {
		return
	}
	for i := range b.events {
		if e := &b.events[i]; e.status == invalid {
			g.log.Warn("events refused; their sender is not told", "path", path, "refused", refused, "of", len(b.events), "id", e.ID, "reason", e.problem.message)
			return
		}
	}
}

// current returns the rules of the configuration in force.
func (g *Gateway) current() *rules {
	set := g.options.Resources.Current()
	if r := g.rules.Load(); r != nil && r.set == set {
		return r
	}
	r := newRules(set)
	g.rules.Store(r)
	return r
}
