// Package resources keeps the configuration that a running installation works
// by. One apply is one message on the bus, with the whole change set and its
// revision; all that follows from it is repeated until it is done, on every
// node, so that an apply happens whole or not at all.
package resources

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// Bus is what the registry needs of the bus.
type Bus interface {
	changes
	effects
	NodeID() string
}

// changes is the log of change sets.
type changes interface {
	AppendConfig(ctx context.Context, data []byte, expect uint64) (seq uint64, err error)
	Configs(ctx context.Context, after uint64, each func(bus.StoredConfig) error) error
	FollowConfig(ctx context.Context, after uint64) (*bus.ConfigReader, error)
	PurgeConfig(ctx context.Context, below uint64) error
}

// effects is where a change set has to arrive.
type effects interface {
	PutResource(ctx context.Context, kind, id string, data []byte) error
	DeleteResource(ctx context.Context, kind, id string) error
	Resources(ctx context.Context) ([]bus.Resource, error)
	PublishCommands(ctx context.Context, commands []record.Routed) error
	NameTypes(types []string)
	Partitions() int
}

var _ Bus = (*bus.Bus)(nil)

// A Registry holds the current set of resources and changes it.
type Registry struct {
	bus Bus
	log *slog.Logger
	// actions is the catalogue that flows are applied by; it may be nil, and
	// may return nil.
	actions func() config.Actions

	current atomic.Pointer[config.Set]
	// kick wakes the settling of what is not settled yet; it holds one.
	kick chan struct{}

	// applying is held by one Apply at a time.
	applying lock

	mu     sync.Mutex
	seq    uint64 // sequence of the change set of the current revision
	base   uint64 // sequence of the last change set that holds everything
	recent map[uint64]*config.Set
	learnt chan struct{} // closed when the current revision changes

	// settling is held while effects are performed; settled is the set whose
	// effects are complete, nil where that is unknown.
	settling lock
	settled  *config.Set
}

const (
	// keptSets is how many sets stay compiled for those who ask for one that
	// is not current.
	keptSets = 16
	// openWithin bounds how long Open waits for the effects of the last apply.
	openWithin = 2 * time.Second
)

// An Option says more about a registry.
type Option func(*Registry)

// WithActions makes an apply hold the flows that it changes against what the
// plugins offer just then; nil: nothing is known of them, and every action is
// taken. What was applied already is never asked again: neither at a start, nor
// where another node has applied it.
func WithActions(actions func() config.Actions) Option {
	return func(r *Registry) { r.actions = actions }
}

// Open loads the configuration, or makes it of the defaults where there is
// none, and repeats the effects of the last apply. Where they cannot be
// completed within two seconds, because the log is full, Run goes on with them.
func Open(ctx context.Context, b Bus, defaults []config.Resource, log *slog.Logger, options ...Option) (*Registry, error) {
	r := &Registry{
		bus: b, log: log, kick: make(chan struct{}, 1), applying: make(lock, 1), settling: make(lock, 1),
		recent: map[uint64]*config.Set{}, learnt: make(chan struct{}),
	}
	for _, option := range options {
		option(r)
	}
	if err := r.reload(ctx); err != nil {
		return nil, err
	}
	if r.current.Load() == nil {
		if err := r.found(ctx, defaults); err != nil {
			return nil, err
		}
	}
	within, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := r.settle(within); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		log.Warn("the last configuration has not arrived everywhere; it is tried again", "revision", r.Current().Revision(), "error", err)
		r.wake()
	}
	return r, nil
}

// found writes the first change set. Another node may be faster; its defaults
// are then taken.
func (r *Registry) found(ctx context.Context, defaults []config.Resource) error {
	set, err := config.NewSet(1, defaults)
	if err != nil {
		return fmt.Errorf("default resources: %w", err)
	}
	seq, err := r.bus.AppendConfig(ctx, appendChangeSet(nil, r.bus.NodeID(), set, nil), 0)
	switch {
	case isConflict(err):
		return r.reload(ctx)
	case err != nil:
		return fmt.Errorf("write the default resources: %w", err)
	}
	r.install(set, seq, seq)
	return nil
}

// Current is the set that this node works by.
func (r *Registry) Current() *config.Set { return r.current.Load() }

// At returns the set of a revision, and waits until this node knows it. Of a
// revision whose change sets are no longer kept (at least the last 64 are) it
// returns the oldest set that is.
func (r *Registry) At(ctx context.Context, revision uint64) (*config.Set, error) {
	for {
		set, learnt := r.known(revision)
		switch {
		case set != nil:
			return set, nil
		case revision < r.Current().Revision():
			return r.rebuild(ctx, revision)
		}
		// Whoever follows the log tells of it; the log is read here too, in
		// case nobody does.
		if err := r.catchUp(ctx); err != nil {
			return nil, fmt.Errorf("wait for revision %d of the configuration: %w", revision, err)
		}
		if r.Current().Revision() >= revision {
			continue
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-learnt:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("wait for revision %d of the configuration: %w", revision, context.Cause(ctx))
		}
		timer.Stop()
	}
}

// known returns a set that is compiled already, and what tells of the next.
func (r *Registry) known(revision uint64) (*config.Set, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent[revision], r.learnt
}

// install makes a set current, unless it is no newer than the one that is. Its
// own message has the sequence seq, the last one that holds everything base; 0
// is the same one as before.
func (r *Registry) install(set *config.Set, seq, base uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if current := r.current.Load(); current != nil && current.Revision() >= set.Revision() {
		return
	}
	r.bus.NameTypes(set.NamedTypes())
	r.current.Store(set)
	r.seq = seq
	if base != 0 {
		r.base = base
	}
	r.remember(set)
	close(r.learnt)
	r.learnt = make(chan struct{})
}

// remember keeps a compiled set, in place of the oldest one but for the
// current; r.mu is held.
func (r *Registry) remember(set *config.Set) {
	if len(r.recent) >= keptSets {
		oldest := r.Current().Revision()
		for revision := range r.recent {
			oldest = min(oldest, revision)
		}
		delete(r.recent, oldest)
	}
	r.recent[set.Revision()] = set
}

// position is up to where the log of change sets has been read.
func (r *Registry) position() (current *config.Set, seq, base uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.Load(), r.seq, r.base
}

// wake makes Run perform what effects are missing.
func (r *Registry) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// A lock is a mutex that can be given up waiting for: its holder may be waiting
// for the bus.
type lock chan struct{}

func (l lock) lock(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l lock) unlock() { <-l }
