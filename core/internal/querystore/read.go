package querystore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// lease is the store that answers; it is open at least until done is called.
func (s *Store) lease() (on *side, done func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.answering.users.Add(1)
	return s.answering, s.answering.users.Done
}

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, kind store.Kind, id string) (store.Document, error) {
	on, done := s.lease()
	defer done()
	return on.store.Get(ctx, kind, id)
}

// Query implements [store.Reader]. The cursor of a store that answers no more is
// refused with [store.ErrInvalid].
func (s *Store) Query(ctx context.Context, query store.Query) (store.Page, error) {
	on, done := s.lease()
	defer done()
	var err error
	if query.Cursor, err = on.own(query.Cursor); err != nil {
		return store.Page{}, err
	}
	return on.mark(on.store.Query(ctx, query))
}

// ProfileChanges implements [store.Reader], with cursors as in Query.
func (s *Store) ProfileChanges(ctx context.Context, query store.ChangesQuery) (store.Page, error) {
	on, done := s.lease()
	defer done()
	var err error
	if query.Cursor, err = on.own(query.Cursor); err != nil {
		return store.Page{}, err
	}
	return on.mark(on.store.ProfileChanges(ctx, query))
}

// Count implements [store.Reader].
func (s *Store) Count(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error) {
	on, done := s.lease()
	defer done()
	return on.store.Count(ctx, kind, filter)
}

// Histogram implements [store.Reader].
func (s *Store) Histogram(ctx context.Context, query store.HistogramQuery) ([]store.Bucket, error) {
	on, done := s.lease()
	defer done()
	return on.store.Histogram(ctx, query)
}

// Terms implements [store.Reader].
func (s *Store) Terms(ctx context.Context, query store.TermsQuery) ([]store.Term, error) {
	on, done := s.lease()
	defer done()
	return on.store.Terms(ctx, query)
}

// Scan implements [store.Reader]. It is of one store, from its beginning to its end.
func (s *Store) Scan(ctx context.Context, kind store.Kind, filter store.Filter, each func(store.Document) error) error {
	on, done := s.lease()
	defer done()
	return on.store.Scan(ctx, kind, filter, each)
}

// Refresh returns when all that is in the store that answers is what queries see.
func (s *Store) Refresh(ctx context.Context) error {
	on, done := s.lease()
	defer done()
	return on.store.Refresh(ctx)
}

// Health is nil while the store that answers does, and is kept up to date.
func (s *Store) Health(ctx context.Context) error {
	on, done := s.lease()
	defer done()
	if err := on.store.Health(ctx); err != nil {
		return err
	}
	return on.index.Refused()
}

// WaitIndexed waits until what an outcome says can be queried, in the store that
// answers then.
func (s *Store) WaitIndexed(ctx context.Context, o record.Outcome) error {
	for {
		on, done := s.lease()
		waiting, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(on.answers, cancel) //nolint:contextcheck // it ends when the store answers no more
		err := on.index.WaitIndexed(waiting, o)
		stop()
		cancel()
		done()
		if err == nil || ctx.Err() != nil || on.answers.Err() == nil {
			return err
		}
		// Another one answers now.
	}
}

// mark has the cursor of a page tell whose it is.
func (on *side) mark(page store.Page, err error) (store.Page, error) {
	if page.Cursor != "" {
		page.Cursor = strconv.FormatUint(on.serial, 36) + "." + page.Cursor
	}
	return page, err
}

// own is the store's own cursor.
func (on *side) own(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	serial, rest, found := strings.Cut(cursor, ".")
	if of, err := strconv.ParseUint(serial, 36, 64); found && err == nil && rest != "" {
		if of == on.serial {
			return rest, nil
		}
		return "", fmt.Errorf("%w: the cursor is of the store that answered before %s did; begin again without one", store.ErrInvalid, on.target)
	}
	return "", fmt.Errorf("%w: the cursor is none of this query: use the one of the page before, with the same kind and sort, or none", store.ErrInvalid)
}
