package querystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Drop removes the store that answered before, with all that is in it. It returns
// [store.ErrNotFound] where none is kept.
func (s *Store) Drop(ctx context.Context) (dropped Target, err error) {
	s.mu.Lock()
	if err := s.free(); err != nil {
		s.mu.Unlock()
		return Target{}, err
	}
	on := s.kept
	if on == nil {
		s.mu.Unlock()
		return Target{}, fmt.Errorf("drop store: %w: none is kept beside the one that answers", store.ErrNotFound)
	}
	job := newJob(on.target.String() + " is being removed")
	s.job = job
	s.mu.Unlock()
	defer func() { job.end(err) }()
	// Emptied while it is known: of what a failure leaves, nothing is anybody's.
	if err := on.store.Reset(ctx); err != nil {
		return Target{}, fmt.Errorf("drop store: %w", err)
	}
	s.mu.Lock()
	if err := s.commit(func(next *state) { next.Kept = nil }); err != nil {
		s.mu.Unlock()
		return Target{}, err
	}
	s.kept = nil
	s.mu.Unlock()
	if err := s.remove(on); err != nil {
		return Target{}, fmt.Errorf("drop store: %w", err)
	}
	s.o.Log.Info("the store that answered before is removed", "store", on.target.String())
	return on.target, nil
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
