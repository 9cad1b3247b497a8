package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A run is one flow's way through its nodes for one event.
type run struct {
	id     string
	lane   *lane
	flow   *config.Flow // of the version that the event was processed by
	event  *event
	before place     // in the event's partition, before the event
	begun  time.Time // when it came to be under way
	size   int       // of what its nodes have answered, in bytes
	since  time.Time // when it was told that it began; zero: nobody listened

	looked time.Time // when the profile was read last, as it stands
	// mu guards what is journalled: the progress, and the revision of the
	// journal's entry (0: none). And stop, which ends the run while it is carried
	// out.
	mu       sync.Mutex
	stop     context.CancelCauseFunc
	progress *progress
	held     bool // the trigger has held
	revision uint64
	over     bool // no entry is written any more

	// Of the session's mutex:
	settled bool // a restart need not go back to it
	ended   bool // it has ended, so that nothing is left to do
}

// runID names a run: the same after a restart, whichever sequence the event has.
func runID(partition int, at place, flow string) string {
	return uuid.NewSHA1(runs, fmt.Appendf(nil, "%d/%d/%d/%s", partition, at.C, at.N, flow)).String()
}

// runs is the name space of runs' ids.
var runs = uuid.MustParse("c1d7f9d0-52f3-5a5e-9d0c-3c6f7e1b8a42")

var errNobody = errors.New("the event is about nobody, so there is no profile to change")

// execute carries the run out. Where ctx ends it returns early, and leaves the run
// to the next start.
func (r *run) execute(ctx context.Context) {
	e := r.lane.session.engine
	err := r.stoppable(ctx)
	if err != nil && r.progress.failure == nil {
		r.progress.failure = &failure{Message: err.Error(), Attempts: 1}
	}
	switch f := r.progress.failure; {
	case f == nil || ctx.Err() != nil:
	case f.stop != nil:
		e.metrics.stopped.Inc()
		err = nil
	default:
		e.metrics.failed.Inc()
		r.lane.tell("a run failed; what it was for is a dead letter", "run", r.id, "node", f.Node, "reason", f.Message, "attempts", f.Attempts)
		err = nil
		if !f.kept {
			if err = r.bury(ctx, f); err == nil {
				r.lane.session.unsynced.Store(true)
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		e.log.Error("the event of a run that failed cannot be kept", "flow", r.flow.ID, "run", r.id, "error", err)
	}
	r.mu.Lock()
	r.over = true
	revision := r.revision
	r.mu.Unlock()
	if revision > 0 {
		if f := r.progress.failure; f != nil && f.stop == nil {
			// Without its entry in the journal the dead letter is all that is left of it.
			if err := e.bus.SyncRuns(ctx); err != nil && ctx.Err() == nil {
				e.log.Warn("the dead letter of a run cannot be made durable", "flow", r.flow.ID, "run", r.id, "error", err)
			}
		}
		if err := r.forget(ctx, revision); err != nil {
			e.log.Warn("a run that has ended stays in the journal; it is ended again at the next start", "flow", r.flow.ID, "run", r.id, "error", err)
		}
	}
	r.ended = true
	r.tellEnded()
	r.lane.session.answer(r)
}

// carryOut begins the run if its trigger holds, and goes on until it has failed,
// or has ended and what it wants is committed.
func (r *run) carryOut(ctx context.Context) error {
	e := r.lane.session.engine
	if done, err := r.done(); done || err != nil {
		return err
	}
	view, err := r.look(ctx)
	if err != nil {
		return err
	}
	if r.held { // it goes on, after a restart
		if err := r.consented(view.profile, view.now); err != nil {
			return err
		}
	} else {
		if err := r.trigger(view); err != nil || !r.held {
			return err
		}
		e.metrics.runs.Inc()
		r.tellBegun()
	}
	if err := r.walk(ctx, view); err != nil || r.progress.failure != nil {
		return err
	}
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	if err := r.commit(ctx, view); err != nil || r.progress.failure != nil {
		return err
	}
	e.metrics.ended.Inc()
	return nil
}

// done tells whether the run had been committed before this session began, so that
// there is nothing left of it: begun again, it would see its own changes.
func (r *run) done() (bool, error) {
	s := r.lane.session
	// A caller who waits gets an answer, at the price of calls that are made again.
	if s.engine.options.Done == nil || r.event.stored.Seq > s.old || r.event.stored.Reply != "" {
		return false, nil
	}
	done, err := s.engine.options.Done(record.PatchID(r.id, 0))
	if err != nil {
		return false, fmt.Errorf("ask whether run %s was committed: %w", r.id, err)
	}
	return done, nil
}

// trigger asks for what the event alone did not tell: the rest of the condition, and
// the consents that the flow needs.
func (r *run) trigger(v *view) error {
	holds := true
	if t := &r.flow.Trigger; t.Condition != nil && !t.OfEvent {
		var failed error
		holds, failed = t.Condition.Bool(v.vars(value{}, nil))
		if err := v.unread(); err != nil {
			return err
		}
		if failed != nil { // it does not hold then
			s := r.lane.session
			s.engine.metrics.failing.Saw(triggerOf(r.flow), failed)
		}
	}
	if holds && len(consent.Lacking(sdk.RawView(v.profile), r.flow.Consents, v.now)) > 0 {
		holds = false
		r.lane.session.engine.metrics.noConsent.Inc()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = holds
	return nil
}

// look reads the profile, once it is what the event left or newer.
func (r *run) look(ctx context.Context) (*view, error) {
	s := r.lane.session
	now := s.engine.options.Now().UTC().Truncate(time.Millisecond)
	if r.event.profile == "" {
		return newView(r.event, nil, now)
	}
	who := r.event.profile
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		document, _, err := s.engine.bus.Document(ctx, who)
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			s.engine.log.Warn("a profile cannot be read; trying again", "flow", r.flow.ID, "error", err)
			pause(ctx, retryPause)
			continue
		}
		to, merged := mergedInto(document)
		switch {
		case err == nil && isErased(document):
			return nil, errErased
		case err == nil && merged && time.Since(r.begun) <= lookFor:
			who = to // the run goes on with the person
			continue
		}
		if err == nil {
			r.looked = time.Now()
			v, err := newView(r.event, document, now)
			if err != nil {
				return nil, err
			}
			if who != r.event.profile && bytes.Contains(sdk.RawView(v.profile).At("ids").Raw(), []byte(`"`+r.event.profile+`"`)) {
				v.revision = r.event.revision // it has what the event left
			}
			v.history.kept = s.engine.options.Resources.Current().Kept()
			if v.revision >= r.event.revision {
				return v, nil
			}
		}
		// Events and documents of a commit are stored side by side.
		if time.Since(r.begun) > lookFor {
			return nil, fmt.Errorf("profile %s did not come to revision %d within %s", r.event.profile, r.event.revision, lookFor)
		}
		pause(ctx, wait)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

const lookFor = 30 * time.Second

// mergedInto is the profile that a document leads to, where it is a redirect.
func mergedInto(document []byte) (to string, merged bool) {
	doc := sdk.RawView(document)
	if state, _ := doc.String("state"); state != record.StateRedirect {
		return "", false
	}
	return doc.String("to")
}

// walk works on nodes until the run has ended.
func (r *run) walk(ctx context.Context, v *view) error {
	if err := v.apply(r.progress.patches); err != nil { // from the journal
		return err
	}
	next := r.advance(ctx)
	var others *branches
	defer func() { others.end() }()
	now := make([]result, 0, 1)
	for running := 0; ; {
		if len(next) > 0 {
			if err := r.mayGoOn(ctx); err != nil {
				return err
			}
		}
		now = now[:0]
		for _, n := range next {
			node := &r.flow.Nodes[n]
			if node.Config == nil {
				began := r.clock()
				res := r.own(ctx, n, v)
				if !began.IsZero() {
					res.took = time.Since(began)
				}
				now = append(now, res)
				continue
			}
			call, err := r.newCall(n, v)
			if err != nil {
				now = append(now, result{node: n, err: err, attempts: 1})
				continue
			}
			if running == 0 && len(next) == 1 {
				now = append(now, r.lane.session.engine.calls.work(ctx, n, node, call))
				continue
			}
			if others == nil {
				others = newBranches(ctx, len(r.flow.Nodes))
			}
			running++
			others.call(r.lane.session.engine.calls, n, node, call)
		}
		if len(now) == 0 && running > 0 {
			now = append(now, <-others.results)
			running--
		}
		if ctx.Err() != nil || len(now) == 0 {
			return ctx.Err()
		}
		for i := range now {
			if now[i].err != nil {
				continue
			}
			err := r.weigh(&now[i])
			if err == nil {
				err = v.apply(now[i].patches)
			}
			if err != nil {
				now[i] = result{node: now[i].node, err: err, attempts: now[i].attempts, took: now[i].took}
			}
		}
		next = r.advance(ctx, now...)
		r.tellNodes(now)
		if r.progress.failure != nil {
			return nil
		}
	}
}

// branches are the calls of a run that are under way at the same time.
type branches struct {
	ctx     context.Context
	cancel  context.CancelFunc
	calls   sync.WaitGroup
	results chan result // with room for one of each node
}

func newBranches(ctx context.Context, nodes int) *branches {
	b := &branches{results: make(chan result, nodes)}
	b.ctx, b.cancel = context.WithCancel(ctx)
	return b
}

func (b *branches) call(calls *caller, n int, node *config.FlowNode, call *wire.Call) {
	b.calls.Go(func() { b.results <- calls.work(b.ctx, n, node, call) })
}

// end gives up what is still under way: a run that has failed has no use for it.
func (b *branches) end() {
	if b != nil {
		b.cancel()
		b.calls.Wait()
	}
}

// maxRun bounds, in bytes, what the nodes of a run may answer together: it has to
// fit into one command, and into one entry of the journal.
const maxRun = 512 << 10

// weigh refuses a node's result that would make the run too large. The engine's
// own nodes hand on what they were given.
func (r *run) weigh(res *result) error {
	size := len(res.response.text)
	if r.flow.Nodes[res.node].Config != nil {
		size += len(res.payload.text)
	}
	for _, p := range res.patches {
		size += len(p.Path) + len(p.Value) + 32
	}
	for _, e := range res.events {
		size += len(e.Type) + len(e.Properties) + len(e.Traits) + len(e.Context) + 256
	}
	if r.size += size; r.size > maxRun {
		return fmt.Errorf("the answers of the run's nodes have more than %d bytes together", maxRun)
	}
	return nil
}

// own carries out one of the engine's own nodes.
func (r *run) own(ctx context.Context, n int, v *view) result {
	node := &r.flow.Nodes[n]
	payload := r.progress.payload(n)
	res := own(ctx, r.log, r.failed, node, payload, v.vars(payload, r.variables(node)))
	if err := v.unread(); err != nil {
		res = result{err: err, attempts: 1}
	}
	res.node = n
	return res
}

// failed tells of a node's condition.
func (r *run) failed(node *config.FlowNode, err error) {
	r.lane.session.engine.metrics.failing.Saw("flow "+r.flow.ID+": node "+node.ID, err)
}

// triggerOf names a flow's trigger.
func triggerOf(f *config.Flow) string { return "flow " + f.ID + ": trigger" }

// log is the log for what a node has to say.
func (r *run) log(node *config.FlowNode) *slog.Logger {
	return r.lane.session.engine.log.With("flow", r.flow.ID, "run", r.id, "node", node.ID)
}

// variables is what a node's expressions see below flow.
func (r *run) variables(node *config.FlowNode) condition.Fielder { return flowFields{r, node} }

type flowFields struct {
	run  *run
	node *config.FlowNode
}

// Field implements condition.Fielder.
func (f flowFields) Field(name string) (any, bool) {
	switch name {
	case "id":
		return f.run.flow.ID, true
	case "run":
		return f.run.id, true
	case "node":
		return f.node.ID, true
	}
	return nil, false
}

// advance plans on, and journals what has come about where the run is journalled.
// Where that fails, a restart would do again what came about since: with the
// same idempotency keys.
func (r *run) advance(ctx context.Context, results ...result) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := plan(r.progress, results...)
	if r.revision > 0 && len(results) > 0 && r.progress.failure == nil {
		if err := r.write(ctx); err != nil && ctx.Err() == nil {
			r.lane.session.engine.log.Warn("a step of a run cannot be journalled", "flow", r.flow.ID, "run", r.id, "error", err)
		}
	}
	return next
}

// newCall makes the call of a node.
func (r *run) newCall(n int, v *view) (*wire.Call, error) {
	node := &r.flow.Nodes[n]
	payload := r.progress.payload(n)
	var vars *condition.Vars
	if !node.Config.Literal() {
		vars = v.vars(payload, r.variables(node))
	}
	rendered, err := node.Config.AppendJSON(nil, vars)
	if err == nil {
		err = v.unread()
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &wire.Call{
		ID: r.id + "/" + node.ID, Timeout: node.Timeout, Flow: r.flow.ID, Node: node.ID, Run: r.id,
		Config: rendered, Payload: payload.raw(), Event: r.event.raw, Profile: v.profile, Session: r.event.session,
	}, nil
}

// commit sends what the run wants of the profile and waits until it is
// committed. A run that wants nothing has nothing to wait for.
func (r *run) commit(ctx context.Context, v *view) error {
	p := r.progress
	if len(p.patches) == 0 && len(p.events) == 0 {
		return nil
	}
	source := "flow:" + r.flow.ID
	patch := record.Patch{By: "flow/" + r.flow.ID, ID: r.id, Patches: p.patches}
	for i, e := range p.events {
		patch.Events = append(patch.Events, record.Event{
			ID: uuid.NewSHA1(runs, fmt.Appendf(nil, "%s/event/%d", r.id, i)).String(), Type: e.Type, Source: source,
			Time: v.now, Properties: e.Properties, Traits: e.Traits, Context: e.Context,
		})
	}
	partition := r.event.stored.Partition
	if r.event.profile != "" {
		partition = r.lane.session.engine.bus.Partition(r.event.profile)
	}
	outcome, err := r.lane.session.engine.commits.commit(ctx, partition, &record.Command{
		Kind: record.KindPatch, ID: record.PatchID(r.id, 0), Profile: r.event.profile, Hops: r.event.stored.Hops,
		Patient: r.event.stored.Reply == "", Received: v.now, Body: record.AppendPatch(nil, &patch),
	})
	if err != nil || outcome.Valid {
		return err
	}
	r.progress.failure = &failure{Message: "what the run wants of the profile came to nothing", Attempts: 1, kept: true}
	if len(outcome.Errors) > 0 {
		r.progress.failure.Message += ": " + outcome.Errors[0].Message
	}
	return nil
}

// bury keeps the event of a run that failed as a dead letter.
func (r *run) bury(ctx context.Context, f *failure) error {
	return r.lane.session.engine.bus.DeadLetter(ctx, bus.DeadLetter{
		Origin: origin, Reason: f.Message, Attempts: f.Attempts, Payload: r.event.stored.Data,
		Details: map[string]any{
			"flow": r.flow.ID, "run": r.id, "node": f.Node, "event": r.event.id(), "type": r.event.stored.Type,
			"profile": r.event.profile, "sequence": int64(r.event.stored.Seq),
		},
	})
}

// origin is what the dead letters of flows are found by.
const origin = "flow"
