package querystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Drop removes the store that does not answer, with all that is in it: the one that is
// being filled, whose fill is given up, or else the one that answered before. With force
// it is forgotten also where it cannot be emptied, such as a server that is gone for
// good. It returns [store.ErrNotFound] where there is none.
func (s *Store) Drop(ctx context.Context, force bool) (dropped Target, err error) {
	given, err := s.giveUp(ctx)
	if err != nil {
		return Target{}, fmt.Errorf("drop store: %w", err)
	}
	s.mu.Lock()
	if err := s.free(); err != nil {
		s.mu.Unlock()
		return Target{}, err
	}
	on := s.filling
	if on == nil && given != nil { // nobody meant the other one
		s.mu.Unlock()
		return Target{}, fmt.Errorf("drop store: %w: %s is filled by now, and answers", ErrUnderWay, given.target)
	}
	if on == nil {
		on = s.kept
	}
	if on == nil {
		s.mu.Unlock()
		return Target{}, fmt.Errorf("drop store: %w: there is none beside the one that answers", store.ErrNotFound)
	}
	job := newJob(on.target.String() + " is being removed")
	s.job = job
	s.mu.Unlock()
	defer func() { job.end(err) }()
	if on.stop != nil {
		on.stop()
	}
	// Emptied while it is known: of what a failure leaves, nothing is anybody's.
	if err := on.store.Reset(ctx); err != nil && !force {
		return Target{}, fmt.Errorf("drop store: %w", err)
	} else if err != nil {
		s.o.Log.Warn("a store is forgotten that cannot be emptied", "store", on.target.String(), "error", err)
	}
	s.mu.Lock()
	err = s.commit(func(next *state) {
		if on == s.filling {
			next.Filling = nil
		} else {
			next.Kept = nil
		}
	})
	if err != nil {
		s.mu.Unlock()
		return Target{}, err
	}
	if on == s.filling {
		s.filling, s.failing = nil, nil
	} else {
		s.kept = nil
	}
	s.mu.Unlock()
	if err := s.remove(on); err != nil {
		return Target{}, fmt.Errorf("drop store: %w", err)
	}
	s.o.Log.Info("a store is removed that does not answer", "store", on.target.String())
	return on.target, nil
}

// giveUp ends a fill that is under way, waits for that, and returns the store; nil: none
// is under way.
func (s *Store) giveUp(ctx context.Context) (*side, error) {
	s.mu.RLock()
	job, filling := s.job, s.filling
	s.mu.RUnlock()
	if filling == nil || job == nil || job.stop == nil {
		return nil, nil
	}
	job.stop()
	select {
	case <-job.done:
		return filling, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// remove closes a store that nobody finds any more, and takes away what is left of it.
func (s *Store) remove(on *side) error {
	on.over()
	on.users.Wait()
	err := on.store.Close()
	if s.o.Remove != nil {
		err = errors.Join(err, s.o.Remove(on.target))
	}
	return err
}

// forget removes the store that answered before the last one, of which one is enough.
func (s *Store) forget(ctx context.Context, former *side) {
	if former == nil {
		return
	}
	if err := errors.Join(former.store.Reset(ctx), s.remove(former)); err != nil {
		s.o.Log.Error("the store that answered before the last one is not removed; remove it", "store", former.target.String(), "error", err)
		return
	}
	s.o.Log.Info("the store that answered before the last one is removed", "store", former.target.String())
}
