package resources

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
)

// Run follows what other nodes apply and completes effects that failed, until
// the context ends. What goes wrong is tried again.
func (r *Registry) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { r.retrying(ctx, "the configuration cannot be followed; it is tried again", r.follow) })
	work.Go(func() { r.retrying(ctx, "a configuration has not arrived everywhere; it is tried again", r.settleAll) })
	work.Wait()
}

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// retrying calls what until the context ends. A failure is logged once until
// it succeeds again for longer than the longest pause.
func (r *Registry) retrying(ctx context.Context, failure string, what func(context.Context) error) {
	pause, told := retryFirst, false
	for {
		began := time.Now()
		err := what(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > retryMost {
			pause, told = retryFirst, false
		}
		if !told {
			told = true
			r.log.Warn(failure, "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, retryMost)
	}
}

// follow learns of each change set, and returns only with an error.
func (r *Registry) follow(ctx context.Context) error {
	_, seq, _ := r.position()
	reader, err := r.bus.FollowConfig(ctx, seq)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:contextcheck // it is closed because the context has ended
	for {
		stored, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := r.learn(ctx, stored); err != nil {
			return err
		}
		r.wake()
	}
}

// settleAll performs effects whenever there are any to perform, and returns
// only with an error.
func (r *Registry) settleAll(ctx context.Context) error {
	for {
		if err := r.settle(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.kick:
		}
	}
}

// catchUp reads what the log holds behind the current revision.
func (r *Registry) catchUp(ctx context.Context) error {
	_, seq, _ := r.position()
	return r.bus.Configs(ctx, seq, func(stored bus.StoredConfig) error { return r.learn(ctx, stored) })
}

// learn takes up one change set. Where those between were purged, the next one
// holds everything.
func (r *Registry) learn(ctx context.Context, stored bus.StoredConfig) error {
	m, err := parseChangeSet(stored.Data)
	if err != nil {
		return fmt.Errorf("message %d: %w", stored.Seq, err)
	}
	current := r.Current()
	switch {
	case m.Revision <= current.Revision():
		return nil
	case m.Revision > current.Revision()+1 && !m.whole():
		return r.reload(ctx)
	}
	set, err := m.after(current)
	if err != nil {
		return err
	}
	base := uint64(0)
	if m.whole() {
		base = stored.Seq
	}
	r.install(set, stored.Seq, base)
	if m.Node == r.bus.NodeID() {
		// Its apply tells of it itself.
		return nil
	}
	r.log.Info("another node has changed the configuration", "revision", m.Revision, "node", m.Node)
	return nil
}

// reload makes the last set of all that the log holds current; it does nothing
// where the log is empty.
func (r *Registry) reload(ctx context.Context) error {
	set, seq, base, err := r.read(ctx, math.MaxUint64)
	if err != nil || set == nil {
		return err
	}
	r.install(set, seq, base)
	return nil
}

// rebuild makes a set that is not compiled any more.
func (r *Registry) rebuild(ctx context.Context, revision uint64) (*config.Set, error) {
	set, _, _, err := r.read(ctx, revision)
	switch {
	case err != nil:
		return nil, err
	case set == nil:
		return nil, fmt.Errorf("revision %d of the configuration: the log is empty", revision)
	case set.Revision() == revision:
		r.mu.Lock()
		r.remember(set)
		r.mu.Unlock()
	}
	return set, nil
}

var errReached = errors.New("reached")

// read makes a set of what the log holds up to a revision. It also tells the sequence of the set's own message and of the
// last one before it that holds everything.
func (r *Registry) read(ctx context.Context, revision uint64) (set *config.Set, seq, base uint64, err error) {
	err = r.bus.Configs(ctx, 0, func(stored bus.StoredConfig) error {
		if set != nil && set.Revision() >= revision {
			return errReached
		}
		m, err := parseChangeSet(stored.Data)
		if err != nil {
			return fmt.Errorf("message %d: %w", stored.Seq, err)
		}
		if set == nil && !m.whole() {
			return fmt.Errorf("message %d is the first of the configuration and does not hold everything", stored.Seq)
		}
		if m.whole() {
			base = stored.Seq
		}
		seq = stored.Seq
		set, err = m.after(set)
		return err
	})
	if errors.Is(err, errReached) {
		err = nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read the configuration: %w", err)
	}
	return set, seq, base, nil
}
