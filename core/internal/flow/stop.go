package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A run is stopped where its profile was erased, or where a consent that its flow
// needs is not there any more. Nothing of it is committed, and there is no dead
// letter of it.

// A stopped is why a run was.
type stopped struct{ reason string }

// Error implements error.
func (s *stopped) Error() string { return s.reason }

var errErased = &stopped{"the profile was erased"}

// lookAgain is for how long a run goes by what it has read of the profile. Whoever
// takes longer over a node is asked again before the next one.
const lookAgain = time.Second

// stoppable carries the run out, unless it is stopped: then that is its failure.
func (r *run) stoppable(ctx context.Context) error {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.mu.Lock()
	r.stop = stop
	r.mu.Unlock()
	err := r.carryOut(working)
	if ctx.Err() != nil {
		return err
	}
	var why *stopped
	if !errors.As(err, &why) && (err != nil || r.progress.failure != nil) {
		// What is of somebody who was erased must not become a dead letter.
		if errors.As(context.Cause(working), &why) || r.erased(ctx) {
			why = errErased
		}
	}
	if why == nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.failure = &failure{Message: why.reason, stop: why}
	return nil
}

// erased tells whether the profile was; where it cannot be read that is not known,
// and so false.
func (r *run) erased(ctx context.Context) bool {
	document, err := r.person(ctx)
	return err == nil && isErased(document)
}

// mayGoOn asks, where that was last done a while ago, whether the profile as it
// stands has what the run needs. Where it cannot be read the run waits.
func (r *run) mayGoOn(ctx context.Context) error {
	if r.event.profile == "" || time.Since(r.looked) < lookAgain {
		return nil
	}
	for {
		document, err := r.person(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || errors.Is(err, bus.ErrNotFound) {
			r.looked = time.Now()
			if isErased(document) {
				return errErased
			}
			profile := sdk.RawView(document).At("profile").Raw()
			return r.consented(profile, r.lane.session.engine.options.Now())
		}
		r.lane.session.engine.log.Warn("a profile cannot be read; trying again", "flow", r.flow.ID, "error", err)
		pause(ctx, retryPause)
	}
}

// consented is nil where the profile has given what the flow needs.
func (r *run) consented(profile []byte, now time.Time) error {
	if lacking := consent.Lacking(sdk.RawView(profile), r.flow.Consents, now); len(lacking) > 0 {
		return &stopped{fmt.Sprintf("consent was withdrawn, or has expired: %s", strings.Join(lacking, ", "))}
	}
	return nil
}

// longestChain bounds how many redirects are followed.
const longestChain = 100

// person reads the document of the run's profile, or of whom it has become part of.
func (r *run) person(ctx context.Context) ([]byte, error) {
	who := r.event.profile
	for range longestChain {
		document, _, err := r.lane.session.engine.bus.Document(ctx, who)
		if err != nil {
			return nil, err
		}
		to, merged := mergedInto(document)
		if !merged {
			return document, nil
		}
		who = to
	}
	return nil, fmt.Errorf("profile %s was merged more often than can be followed", r.event.profile)
}

func isErased(document []byte) bool {
	state, _ := sdk.RawView(document).String("state")
	return state == record.StateErased
}

// forget takes a run that has ended out of the journal; where its profile was erased
// the entry is overwritten.
func (r *run) forget(ctx context.Context, revision uint64) error {
	e := r.lane.session.engine
	last := revision
	if f := r.progress.failure; f != nil && f.stop == errErased {
		if err := e.bus.EraseRuns(ctx, []uint64{revision}); err != nil {
			return err
		}
		last = math.MaxInt64 // nothing that another node wrote is to stay
	}
	err := e.bus.DeleteRun(ctx, r.id, last)
	if errors.Is(err, bus.ErrConflict) {
		// Another node wrote it as it let the partition go: the run is over all the same.
		err = e.bus.DeleteRun(ctx, r.id, math.MaxInt64)
	}
	return err
}

// EndRuns ends the runs under way on this node that are about one of some profiles,
// which have been erased, and returns when they have ended whom each was about. What
// their nodes are asked for is not waited for. Such runs as are still to begin end by
// themselves.
func (e *Engine) EndRuns(ctx context.Context, profiles []string) (about []string, err error) {
	s := e.current.Load()
	if s == nil {
		return nil, nil
	}
	runs := s.about(profiles)
	for _, r := range runs {
		r.mu.Lock()
		if r.stop != nil { // else it waits for its turn
			r.stop(errErased)
		}
		r.mu.Unlock()
		about = append(about, r.event.profile)
	}
	tick := time.NewTicker(endingEvery)
	defer tick.Stop()
	for slices.ContainsFunc(runs, s.alive) {
		select {
		case <-tick.C:
		case <-s.runs.Done():
			return nil, errors.New("the flow engine stops")
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for runs to end: %w", context.Cause(ctx))
		}
	}
	return about, nil
}

// endingEvery is how often it is looked whether runs have ended.
const endingEvery = 10 * time.Millisecond

// about lists the runs that are about one of the profiles.
func (s *session) about(profiles []string) (runs []*run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		for r := range l.live {
			if slices.Contains(profiles, r.event.profile) {
				runs = append(runs, r)
			}
		}
	}
	return runs
}

// alive tells whether a run is under way, or waits for its turn.
func (s *session) alive(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, live := r.lane.live[r]
	return live
}
