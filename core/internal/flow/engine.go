// Package flow runs workflows: it reads the processed events, and for each one
// that a flow's trigger holds for, walks through the flow's nodes. A node is a
// call into a plugin's process, or one of the engine's own. What the nodes want
// of the profile goes out as one command when the run ends.
//
// [plan] is pure: it says what is to be done next. Everything else here performs
// that, in order for each flow and profile, within bounds for each flow, and so
// that a run which is begun again after a crash has its effects once.
package flow

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// Options are what an Engine works with.
type Options struct {
	Bus       Bus
	Resources Resources
	// Owner tells which partitions this node works on.
	Owner Owner
	// Actions is the catalogue against which answers are checked; nil: none.
	Actions func() config.Actions
	// Done tells whether a run's patch, by its id, was folded already; nil: never.
	Done func(patch record.ID) (bool, error)
	// Ready is closed when the plugins have been started: no event is read
	// before. Nil: they have.
	Ready <-chan struct{}
	// Window is how many runs of a flow may be under way at a time, 1,024. What
	// comes beyond stays in the stream.
	Window int
	Log    *slog.Logger
	Now    func() time.Time
}

// Bus is what the engine needs of the bus.
type Bus interface {
	reading
	calling
	committing
	keeping
	telling
	DeadLetter(ctx context.Context, d bus.DeadLetter) error
	Respond(subject string, data []byte) error
	Partition(profile string) int
}

type reading interface {
	ReadEvents(ctx context.Context, after uint64, known bus.Marks) (*bus.EventReader, error)
	ReadEventsAside(ctx context.Context, after uint64, known bus.Marks) (*bus.EventReader, error)
	EventsLast(ctx context.Context) (uint64, error)
	Document(ctx context.Context, profile string) (data []byte, revision uint64, err error)
	Floor() bus.Floor
}

var _ Bus = (*bus.Bus)(nil)

// Resources gives the configuration as of a revision, and waits for it where
// this node does not know it yet.
type Resources interface {
	Current() *config.Set
	At(ctx context.Context, revision uint64) (*config.Set, error)
}

// An Owner tells which partitions are this node's, and closes changed when that
// is no longer so.
type Owner interface {
	Owned() (owned []bool, changed <-chan struct{})
}

// window is how many runs of a flow may be under way unless said otherwise.
const window = 1024

// An Engine runs flows.
type Engine struct {
	options Options
	bus     Bus
	log     *slog.Logger
	metrics *counters
	calls   *caller
	commits *committer
	steps   *bus.StepTeller // while it runs
	current atomic.Pointer[session]
	answers map[eventKey]*answer // of callers who wait, guarded by the session's mutex
}

// New returns an engine that is not running yet.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window == 0 {
		o.Window = window
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := newCounters(o.Log)
	return &Engine{
		options: o, bus: o.Bus, log: o.Log, metrics: m,
		calls: newCaller(o.Bus, o.Actions, m), commits: newCommitter(o.Bus, o.Log), answers: map[eventKey]*answer{},
	}
}

// Run runs flows until ctx ends; then it gives the runs under way a moment to
// end. What has not ended is taken up again at the next start.
func (e *Engine) Run(ctx context.Context) error {
	stopListening, err := e.bus.OnPluginEnded(e.calls.ended)
	if err != nil {
		return fmt.Errorf("run flows: %w", err)
	}
	defer stopListening()
	stopReplies, err := e.commits.listen()
	if err != nil {
		return fmt.Errorf("run flows: %w", err)
	}
	defer stopReplies()
	if e.steps, err = e.bus.TellSteps(); err != nil {
		return fmt.Errorf("run flows: %w", err)
	}
	defer e.steps.Close()
	// Runs may commit for a moment after ctx has ended.
	committing, stopCommitting := context.WithCancel(context.WithoutCancel(ctx))
	var committer sync.WaitGroup
	committer.Go(func() { e.commits.run(committing) })
	defer committer.Wait()
	defer stopCommitting()
	if e.options.Ready != nil {
		select {
		case <-e.options.Ready:
		case <-ctx.Done():
			return nil
		}
	}
	for ctx.Err() == nil {
		owned, changed := e.owned(ctx)
		s := newSession(e, owned)
		e.current.Store(s)
		if err := s.run(ctx, changed); err != nil && ctx.Err() == nil {
			e.log.Warn("flows cannot be run; trying again", "error", err)
			pause(ctx, retryPause)
		}
	}
	return nil
}

// owned tells which partitions this node works on, once that has come to rest: at
// a start, and where nodes come and go, they change one after another.
func (e *Engine) owned(ctx context.Context) ([]bool, <-chan struct{}) {
	for {
		owned, changed := e.options.Owner.Owned()
		rest := time.NewTimer(restOfOwners)
		select {
		case <-changed:
			rest.Stop()
			continue
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
		return owned, changed
	}
}

const (
	retryPause = time.Second
	// restOfOwners is how long no partition must have come or gone.
	restOfOwners = 50 * time.Millisecond
	// drainFor is how long runs that are under way may take to end when the
	// engine stops, or lets partitions go.
	drainFor = 2 * time.Second
)

// Reached is the place in EVENTS up to which every run has ended, or nothing was
// to be run; zero before the engine has begun to read.
func (e *Engine) Reached() uint64 {
	if s := e.current.Load(); s != nil {
		return s.reached()
	}
	return 0
}

// Metrics writes the engine's metrics in Prometheus' text format.
func (e *Engine) Metrics(w io.Writer) { e.metrics.set.WritePrometheus(w) }

// A place is how far something is in EVENTS, of one partition.
type place struct {
	Seq uint64 `json:"seq"`
	C   uint64 `json:"c"`
	N   int    `json:"n"`
}

// covers is true where the other place is not beyond this one.
func (p place) covers(other place) bool { return other.C < p.C || other.C == p.C && other.N <= p.N }

// marksOf is where a reader has to go on that knows what is up to the places.
func marksOf(places []place) bus.Marks {
	marks := make(bus.Marks, len(places))
	for p, at := range places {
		marks[p] = bus.Mark{C: at.C, N: at.N}
	}
	return marks
}

func placeOf(e *bus.StoredEvent) place { return place{Seq: e.Seq, C: e.C, N: e.N} }

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
