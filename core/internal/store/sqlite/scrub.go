package sqlite

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Scrub takes out of the store's files what was deleted before: the file itself has
// it overwritten, the log beside it is emptied. A query that takes long stands in the
// way of that; then it returns [store.ErrUnavailable].
func (s *Store) Scrub(ctx context.Context) error {
	return s.use(ctx, "scrub store", func(f *file) error {
		var w *writer
		select {
		case w = <-f.writes:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { f.writes <- w }()
		var busy, log, done int64
		row := w.conn.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint(TRUNCATE)")
		if err := row.Scan(&busy, &log, &done); err != nil {
			return err
		}
		if busy != 0 {
			return fmt.Errorf("%w: a query holds on to what was deleted; try again", store.ErrUnavailable)
		}
		return nil
	})
}
