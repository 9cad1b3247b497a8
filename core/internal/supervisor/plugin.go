package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/control"
)

// A state is where a plugin is in its life.
type state string

const (
	starting    state = "starting"
	running     state = "running"
	backoff     state = "backoff"     // it has ended and is started again
	quarantined state = "quarantined" // it has ended too often
	refused     state = "refused"     // it is not what it should be
	draining    state = "draining"
	stopped     state = "stopped"
)

// A plugin is one executable and its life. Its goroutine, run, is the only one
// that starts and ends its processes.
type plugin struct {
	s       *Supervisor
	builtin bool
	label   string // its name, as far as its file tells
	path    string
	args    []string
	before  *plugin // whose claim to a name comes first
	journal *journal

	asks    chan *ask     // for a restart
	claimed chan struct{} // closed when it is known whether it has its name
	claims  sync.Once
	settled chan struct{} // closed when it has run, or failed to, a first time
	settle  sync.Once
	done    chan struct{} // closed when run has returned
	leaving sync.WaitGroup

	patience patience      // of run
	looked   os.FileInfo   // of run: the file, as it was started last; nil: there was none
	copied   *binary       // of run: what is executed next, while the file looks as it does; nil: there is none
	accepted string        // of run: SHA-256 of a binary that is to be registered once it runs
	drained  chan struct{} // of run: closed when the process that was replaced last is gone; nil: none was
	pending  *ask          // of run: came when the process was to be replaced that has ended instead; nil: none

	mu         sync.Mutex
	state      state
	reason     string
	manifest   *control.Manifest // nil: not registered
	specs      []config.ActionSpec
	sum        string
	current    *process
	starts     int
	last       *client.PluginEnd
	violations client.PluginViolations
}

// An ask wants a new process.
type ask struct{ answer chan error }

var (
	errStops = errors.New("the server stops")
	errGone  = errors.New("the process that was to be replaced has ended")
)

func (s *Supervisor) newPlugin(label, path string, args []string) *plugin {
	return &plugin{
		s: s, label: label, path: path, args: args, state: starting,
		journal: newJournal(s.o.Log.With("plugin", label)),
		asks:    make(chan *ask), claimed: make(chan struct{}), settled: make(chan struct{}), done: make(chan struct{}),
		patience: patience{least: s.pace.least, most: s.pace.most, steady: s.pace.steady, ends: s.pace.ends, span: s.pace.span},
	}
}

// run is the plugin's life. It returns when ctx has ended and no process is left.
func (p *plugin) run(ctx context.Context) {
	defer close(p.done)
	defer p.leaving.Wait()
	defer p.letGo()
	defer p.settle.Do(func() { close(p.settled) })
	defer p.claims.Do(func() { close(p.claimed) })
	var asked *ask
	for ctx.Err() == nil {
		begun := time.Now()
		r, err := p.start(ctx, asked != nil)
		if err == nil {
			p.up(r)
		}
		if asked != nil {
			asked.answer <- err
		}
		if err == nil {
			p.settle.Do(func() { close(p.settled) })
			err = p.attend(ctx, r)
		}
		asked = nil
		if ctx.Err() == nil {
			asked = p.rest(ctx, err, time.Since(begun))
		}
	}
	for _, a := range []*ask{asked, p.pending} {
		if a != nil {
			a.answer <- errStops
		}
	}
	p.set(stopped, "the server stops")
}

// attend stays with a running process, and with those that replace it, until
// the last one has ended or ctx has. The error is why it ended.
func (p *plugin) attend(ctx context.Context, r *process) error {
	for {
		renew, stop := r.renewal()
		select {
		case <-r.child.exited:
			stop()
			return p.gone(r)
		case a := <-p.asks:
			next, err := p.replace(ctx, r, true)
			if errors.Is(err, errGone) {
				stop()
				p.pending = a // the next start is the one that it wants
				return p.gone(r)
			}
			r = next
			a.answer <- err
		case <-renew:
			next, err := p.replace(ctx, r, false)
			if err != nil && !errors.Is(err, errGone) {
				r.renew = time.Now().Add(p.s.pace.most)
				p.s.o.Log.Warn("a plugin's user of NATS expires soon", "plugin", p.name(), "reason", err)
			}
			r = next
		case <-ctx.Done():
			stop()
			p.set(draining, "the server stops")
			p.retire(ctx, r)
			return nil
		}
		stop()
	}
}

// replace puts a new process into the place of a running one, and returns the
// one that runs then: the new one answers before the old one is drained. Where
// it does not come up, that is the error, and the old one goes on. The error is
// errGone where the old one ends before there is a new one to be started.
func (p *plugin) replace(ctx context.Context, old *process, anew bool) (*process, error) {
	if p.drained != nil {
		select { // one at a time
		case <-p.drained:
		case <-old.child.exited:
			return old, errGone
		case <-ctx.Done():
			return old, errStops
		}
	}
	r, err := p.start(ctx, anew)
	if err != nil {
		p.accepted = "" // nobody tries it again
		return old, fmt.Errorf("the new process did not come up, the old one goes on: %w", err)
	}
	p.patience.forget()
	p.up(r)
	drained := make(chan struct{})
	p.drained = drained
	p.leaving.Go(func() {
		defer close(drained)
		p.retire(ctx, old)
	})
	return r, nil
}

// retire drains a process and stops it: within pace.drain while the server
// runs, and by the moment that all share when it stops.
func (p *plugin) retire(ctx context.Context, r *process) {
	by := time.Now().Add(p.s.pace.drain)
	if ctx.Err() != nil {
		by = p.s.drainBy()
	}
	draining, cancel := context.WithDeadline(context.WithoutCancel(ctx), by)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(time.Until(p.s.drainBy()), cancel) })()
	clean := r.retire(draining)
	p.left(r)
	if !clean {
		p.s.o.Log.Warn("a plugin was stopped before it had answered all calls", "plugin", p.name(), "pid", r.child.pid())
		p.tellEnded()
	}
}

// gone takes note of the end of a process that nobody asked for.
func (p *plugin) gone(r *process) error {
	r.close()
	p.left(r)
	p.tellEnded()
	reason, output := r.child.explain()
	return &failure{ended: true, reason: reason, output: output, err: errors.New(reason)}
}

// left takes from a process that has ended what it was given.
func (p *plugin) left(r *process) {
	p.mu.Lock()
	if p.current == r {
		p.current = nil
	}
	p.mu.Unlock()
	if r.revoke != nil {
		r.revoke()
	}
}

func (p *plugin) tellEnded() {
	if p.s.o.Ended != nil {
		p.s.o.Ended(p.name())
	}
}

// rest waits after an end, for as long as it takes or until somebody asks.
func (p *plugin) rest(ctx context.Context, err error, ran time.Duration) *ask {
	reason := err.Error()
	var refusal refusal
	if errors.As(err, &refusal) {
		p.s.o.Log.Warn("plugin refused", "plugin", p.name(), "path", p.shown(), "reason", reason)
		p.letGo()
		p.set(refused, reason)
		return p.awaitChange(ctx)
	}
	p.note(err)
	wait, giveUp := p.patience.ended(time.Now(), ran, toBlame(err))
	if giveUp {
		p.s.o.Log.Error("plugin quarantined: it has ended too often; `tributary plugin restart` tries again",
			"plugin", p.name(), "ends", p.s.pace.ends, "within", p.s.pace.span, "reason", reason)
		p.letGo()
		p.set(quarantined, fmt.Sprintf("it has ended %d times within %v: %s", p.s.pace.ends, p.s.pace.span, reason))
		return p.await(ctx, nil)
	}
	// Plugins that fell with the same server do not rise all at once.
	wait += rand.N(wait/5 + 1)
	p.s.o.Log.Warn("plugin ended", "plugin", p.name(), "reason", reason, "restart_in", wait.Round(time.Millisecond))
	p.set(backoff, reason)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	return p.await(ctx, timer.C)
}

// await returns when the timer fires, unless it is nil, or ctx ends, or somebody
// asks for a new process.
func (p *plugin) await(ctx context.Context, timer <-chan time.Time) *ask {
	p.settle.Do(func() { close(p.settled) })
	if a := p.pending; a != nil {
		p.pending = nil
		p.patience.forget()
		return a
	}
	select {
	case a := <-p.asks:
		p.patience.forget()
		return a
	case <-timer:
	case <-ctx.Done():
	}
	return nil
}

// toBlame tells whether a plugin itself has failed, and not what it needs.
func toBlame(err error) bool {
	var f *failure
	return errors.As(err, &f) && (f.ended || f.during != "Start" || status.Code(f.err) != codes.Unavailable)
}

// restart asks for a new process and waits for it.
func (p *plugin) restart(ctx context.Context) error {
	a := &ask{answer: make(chan error, 1)}
	select {
	case p.asks <- a:
	case <-p.done:
		return errStops
	case <-ctx.Done():
		return fmt.Errorf("the plugin %s is busy starting or stopping: %w", p.name(), ctx.Err())
	}
	select {
	case err := <-a.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the new process of %s: %w", p.name(), ctx.Err())
	}
}
