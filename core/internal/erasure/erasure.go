// Package erasure forgets a person: it has a profile leave a tombstone, which keeps
// late events out, and then takes what is of it out of every place that holds any,
// one eraser a place, and writes down what it found.
//
// An erasure is a job of the bus that is written before anything is done, so it is
// finished whatever ends the process; each step may be done again. Its record stays
// as the report. It holds ids, counts and times, and nothing of the person.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk/client"
)

// A Target is a profile that is being erased.
type Target struct {
	Profile string
	IDs     []string // every id that it had
	At      time.Time
}

// A Count is what an eraser did about one target: what it removed, and what it
// found when it looked again.
type Count struct{ Removed, Remaining uint64 }

// An Eraser takes profiles out of one place.
type Eraser struct {
	Name string
	// Prompt is true where it is quick: then it is done before the one who asked is
	// answered.
	Prompt bool
	// Erase does so for several at once and returns a count for each. It may be
	// called again for the same ones.
	Erase func(ctx context.Context, targets []Target) ([]Count, error)
}

// PartTombstone is the name of the first part: the profile becomes a tombstone.
const PartTombstone = "profile"

// Options are what a Service works with.
type Options struct {
	Bus      *bus.Bus
	Commands *Commands
	// Erasers are what comes after the tombstone, in order, each with a name of its
	// own.
	Erasers []Eraser
	// Exclude is told of ids that the query store is to take in no more.
	Exclude func(ids []string)
	// Lead tells whether this node is the one that finishes erasures.
	Lead func() bool
	// Aside take profiles out of what this node alone has, where other nodes may do
	// erasures; empty: there are no others.
	Aside []Eraser
	Log   *slog.Logger
	// Reached is told of every part when it is done and before that is written down,
	// so that a test can stop the process there; nil: nobody is.
	Reached func(part string)
}

const (
	// promptWithin is how long the one who asks is kept waiting.
	promptWithin = 8 * time.Second
	// pollEvery is how often a node looks what others were asked for.
	pollEvery = 3 * time.Second
	// firstPause and lastPause are between attempts of what failed.
	firstPause = 500 * time.Millisecond
	lastPause  = time.Minute
	// A profile that was merging while it was erased may bring its ids to the
	// tombstone later: for so long that is looked for, every recheckEvery.
	recheckFor   = time.Hour
	recheckEvery = time.Minute
)

// A Service erases profiles.
type Service struct {
	o       Options
	kick    chan struct{}
	metrics *measures
	stale   atomic.Bool // records may have been written that are not known

	mu      sync.Mutex
	known   map[string]*job // those under way, and those that are rechecked
	seen    uint64          // up to where the jobs are known
	working map[string]bool // held by a request, or by the loop
	// cleared is the revision of the last record that is taken out of what this node
	// has, clearedAt that of the job that says so.
	cleared, clearedAt uint64
}

// A job is an erasure and the revision of its record.
type job struct {
	report   client.Erasure
	revision uint64
}

// New returns a service that knows what is under way, and has it excluded; nothing
// runs yet.
func New(ctx context.Context, o Options) (*Service, error) {
	s := &Service{
		o: o, kick: make(chan struct{}, 1),
		known: map[string]*job{}, working: map[string]bool{},
	}
	s.metrics = newMeasures(s)
	if err := s.loadCleared(ctx); err != nil {
		return nil, err
	}
	return s, s.catchUp(ctx)
}

// Request erases the profile with the ids, on behalf of somebody, and returns the
// report as it stands after what is quick. What is left goes on by itself, and so
// does everything where an error is returned with a report.
func (s *Service) Request(ctx context.Context, profile string, ids []string, by string) (client.Erasure, error) {
	if !s.hold(profile) {
		return s.Report(ctx, profile)
	}
	defer s.wake()
	defer s.release(profile)
	j, err := s.open(ctx, profile, ids, by)
	if err != nil {
		s.stale.Store(true)
		return client.Erasure{}, err
	}
	// Whoever hangs up does not end it half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), promptWithin)
	defer cancel()
	err = s.advance(ctx, []*job{j}, true)
	if err != nil {
		s.stale.Store(true)
	}
	if errors.Is(err, bus.ErrConflict) { // another node goes on with it
		return s.Report(ctx, profile)
	}
	return withKept(j.report), err
}

// open reads the record of an erasure, or writes it. It is durable before anything
// is erased.
func (s *Service) open(ctx context.Context, profile string, ids []string, by string) (*job, error) {
	j, err := s.read(ctx, profile)
	if errors.Is(err, bus.ErrNotFound) {
		j = &job{report: client.Erasure{
			Profile: profile, IDs: union([]string{profile}, ids), State: client.Erasing, By: by,
			Requested: client.Time{Time: time.Now().UTC().Truncate(time.Millisecond)},
			Parts:     s.parts(),
		}}
		if err = s.write(ctx, j); errors.Is(err, bus.ErrConflict) { // another node was asked too
			j, err = s.read(ctx, profile)
		}
	}
	if err != nil {
		return nil, err
	}
	s.remember(j)
	return j, nil
}

// parts are those of a report on which nothing is done yet.
func (s *Service) parts() []client.ErasurePart {
	parts := []client.ErasurePart{{Name: PartTombstone}}
	for _, e := range s.o.Erasers {
		parts = append(parts, client.ErasurePart{Name: e.Name})
	}
	return parts
}

// Run finishes what was asked for, of whatever node, until the context ends.
func (s *Service) Run(ctx context.Context) error {
	pause := firstPause
	checked := time.Now()
	for {
		left, err := s.round(ctx, &checked)
		wait := pollEvery
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // told to stop, which is no failure
		case err != nil:
			s.stale.Store(true)
			s.metrics.failed.Inc()
			s.o.Log.Warn("an erasure is not finished; it is tried again", "after", pause, "error", err)
			wait, pause = pause, min(2*pause, lastPause)
		case left:
			wait = firstPause
		default:
			pause = firstPause
		}
		select {
		case <-time.After(wait):
		case <-s.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// round does what there is to do, and tells whether something is left that another
// one holds.
func (s *Service) round(ctx context.Context, checked *time.Time) (left bool, err error) {
	if s.stale.Swap(false) || len(s.o.Aside) > 0 {
		if err := s.catchUp(ctx); err != nil {
			return false, err
		}
	}
	if err := s.takeAside(ctx); err != nil || !s.o.Lead() {
		return false, err
	}
	if time.Since(*checked) >= recheckEvery {
		*checked = time.Now()
		if err := s.recheck(ctx); err != nil {
			return false, err
		}
	}
	jobs, left := s.holdAll()
	defer func() {
		for _, j := range jobs {
			s.release(j.report.Profile)
		}
	}()
	if len(jobs) == 0 {
		return left, nil
	}
	return left, s.advance(ctx, jobs, false)
}

// hold takes a profile for oneself, if nobody has it.
func (s *Service) hold(profile string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working[profile] {
		return false
	}
	s.working[profile] = true
	return true
}

func (s *Service) release(profile string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.working, profile)
}

// holdAll takes every erasure that is under way, oldest first, and tells whether
// somebody else has one.
func (s *Service) holdAll() (jobs []*job, others bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, profile := range slices.Sorted(maps.Keys(s.known)) {
		j := s.known[profile]
		switch {
		case j.report.State != client.Erasing:
		case s.working[profile]:
			others = true
		default:
			s.working[profile] = true
			jobs = append(jobs, &job{report: clone(j.report), revision: j.revision})
		}
	}
	slices.SortStableFunc(jobs, func(a, b *job) int { return a.report.Requested.Compare(b.report.Requested.Time) })
	return jobs, others
}

func (s *Service) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// advance does the parts that are left, of several erasures at once. Of those that
// are not quick nothing is done where prompt is set.
func (s *Service) advance(ctx context.Context, jobs []*job, prompt bool) error {
	// One that cannot be, yet, keeps no other from going on.
	var failed []error
	for _, j := range jobs {
		if err := s.entomb(ctx, []*job{j}); err != nil {
			failed = append(failed, err)
		}
	}
	for i, eraser := range s.o.Erasers {
		if prompt && !eraser.Prompt {
			return errors.Join(failed...)
		}
		var due []*job
		for _, j := range jobs {
			if next(&j.report) == i+1 {
				due = append(due, j)
			}
		}
		if len(due) == 0 {
			continue
		}
		counts, err := eraser.Erase(ctx, targets(due))
		if err != nil {
			err = fmt.Errorf("erase from %s: %w", eraser.Name, err)
		} else {
			s.reached(eraser.Name)
		}
		for k, j := range due {
			var count Count
			if err == nil {
				count = counts[k]
			}
			if e := s.done(ctx, j, i+1, count, err); e != nil {
				return errors.Join(append(failed, e)...)
			}
		}
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
	return errors.Join(failed...)
}

func (s *Service) reached(part string) {
	if s.o.Reached != nil {
		s.o.Reached(part)
	}
}

// done writes down what became of a part.
func (s *Service) done(ctx context.Context, j *job, part int, count Count, failed error) error {
	p := &j.report.Parts[part]
	p.Removed += count.Removed
	p.Remaining = count.Remaining
	p.Error = ""
	now := client.Time{Time: time.Now().UTC().Truncate(time.Millisecond)}
	switch {
	case failed != nil:
		p.Error = failed.Error()
	case count.Remaining > 0:
		p.Error = fmt.Sprintf("%d were found when it was looked at again", count.Remaining)
	default:
		p.At = now
		if part < len(j.report.Parts)-1 {
			break
		}
		ids, err := s.tombstone(ctx, j.report.Profile)
		if err != nil {
			return fmt.Errorf("look at the tombstone of %s again: %w", j.report.Profile, err)
		}
		if reopen(&j.report, ids) {
			s.wake()
			break
		}
		j.report.State, j.report.Erased = client.Erased, now
		s.o.Log.Info("a profile is erased", "profile", j.report.Profile, "took", now.Sub(j.report.Requested.Time))
	}
	if err := s.write(ctx, j); err != nil {
		return err
	}
	s.remember(j)
	if count.Remaining > 0 {
		return fmt.Errorf("erase from %s: %s", p.Name, p.Error)
	}
	return nil
}

// next is the first part of a report that is not done.
func next(r *client.Erasure) int {
	for i := range r.Parts {
		if r.Parts[i].At.IsZero() {
			return i
		}
	}
	return len(r.Parts)
}

func targets(jobs []*job) []Target {
	list := make([]Target, len(jobs))
	for i, j := range jobs {
		list[i] = Target{Profile: j.report.Profile, IDs: j.report.IDs, At: j.report.Requested.Time}
	}
	return list
}

// union appends those of more that are not in list.
func union(list, more []string) []string {
	list = slices.Clone(list)
	for _, id := range more {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

func clone(r client.Erasure) client.Erasure {
	r.IDs, r.Parts = slices.Clone(r.IDs), slices.Clone(r.Parts)
	return r
}
