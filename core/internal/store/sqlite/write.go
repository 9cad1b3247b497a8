package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// step is how many documents a transaction removes at most, so that others
// come to write in between.
const step = 1000

// A writer is the one connection that writes. What it executes is not ended
// half way by a context: watching one costs more than the statement.
type writer struct {
	conn     *sql.Conn
	upserts  map[store.Kind]*sql.Stmt
	renewals map[store.Kind]*sql.Stmt // of the kinds that change
	removes  map[store.Kind]*sql.Stmt
	position *sql.Stmt
	part     int64 // of the events that are stored now
	partSize int64
}

// Apply implements [store.Writer].
func (s *Store) Apply(ctx context.Context, batch store.Batch) (refused []store.Refused, err error) {
	err = s.write(ctx, "apply batch", func(ctx context.Context, w *writer) error {
		refused = refused[:0]
		if err := w.choosePart(ctx); err != nil {
			return err
		}
		for i := range batch.Put {
			reason, err := w.put(ctx, &batch.Put[i])
			if err != nil {
				return fmt.Errorf("put %s document %s: %w", batch.Put[i].Kind, batch.Put[i].ID, err)
			}
			if reason != "" {
				refused = append(refused, store.Refused{Document: batch.Put[i], Reason: reason})
			}
		}
		for _, d := range batch.Delete {
			if err := w.remove(ctx, d); err != nil {
				return fmt.Errorf("delete %s document %s: %w", d.Kind, d.ID, err)
			}
		}
		if batch.Position == nil {
			return nil
		}
		_, err := w.position.ExecContext(ctx, batch.Position)
		return err
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// Refresh implements [store.Writer]: what is applied is what queries see.
func (s *Store) Refresh(context.Context) error { return nil }

// Position implements [store.Writer].
func (s *Store) Position(ctx context.Context) (position []byte, err error) {
	err = s.use(ctx, "read position", func(f *file) error {
		err := f.readers.QueryRowContext(ctx, "SELECT value FROM position").Scan(&position)
		if errors.Is(err, sql.ErrNoRows) {
			position, err = nil, nil
		}
		return err
	})
	return position, err
}

// Delete implements [store.Writer].
func (s *Store) Delete(ctx context.Context, kind store.Kind, filter store.Filter) (deleted uint64, err error) {
	where, args, err := s.where(kind, filter)
	if err != nil {
		return 0, err
	}
	return s.deleteWhere(ctx, kind, where, args)
}

// Expire implements [store.Keeper].
func (s *Store) Expire(ctx context.Context, before time.Time) (uint64, error) {
	day := sdk.FormatTime(before.UTC().Truncate(24 * time.Hour))
	events, err := s.deleteWhere(ctx, store.Events, "received < ?", []any{day})
	if err == nil {
		_, err = s.deleteWhere(ctx, store.Changes, "received < ?", []any{day})
	}
	return events, err
}

// deleteWhere looks for documents beside the writer and removes them in steps.
// What changed in between, so that it no longer matches, stays.
func (s *Store) deleteWhere(ctx context.Context, kind store.Kind, where string, args []any) (deleted uint64, err error) {
	doing := "delete " + string(kind)
	find := fmt.Sprintf("SELECT rowid FROM %s WHERE (%s) AND rowid > ? ORDER BY rowid LIMIT %d", kind, where, step)
	remove := fmt.Sprintf("DELETE FROM %s WHERE (%s) AND rowid IN (SELECT value FROM json_each(?))", kind, where)
	for after := int64(math.MinInt64); ; {
		var found []int64
		err := s.rows(ctx, doing, find, append(args[:len(args):len(args)], after), func(rows *sql.Rows) error {
			var row int64
			if err := rows.Scan(&row); err != nil {
				return err
			}
			found = append(found, row)
			return nil
		})
		if err != nil || len(found) == 0 {
			return deleted, err
		}
		after = found[len(found)-1]
		list, err := json.Marshal(found)
		if err != nil {
			return deleted, err
		}
		err = s.write(ctx, doing, func(ctx context.Context, w *writer) error {
			result, err := w.conn.ExecContext(ctx, remove, append(args[:len(args):len(args)], string(list))...)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			deleted += uint64(n)
			return err
		})
		if err != nil || len(found) < step {
			return deleted, err
		}
	}
}

// write runs f in a transaction of the writer, which it waits for. The context
// that f gets does not end.
func (s *Store) write(ctx context.Context, doing string, f func(context.Context, *writer) error) error {
	err := s.use(ctx, doing, func(file *file) error {
		var w *writer
		select {
		case w = <-file.writes:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { file.writes <- w }()
		whole := context.WithoutCancel(ctx)
		return w.transact(whole, func() error { return f(whole, w) })
	})
	switch {
	case err == nil:
		s.writing.Store(nil)
	case errors.Is(err, store.ErrUnavailable):
		s.writing.Store(&err)
	}
	return err
}

func (w *writer) transact(ctx context.Context, f func() error) error {
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	if err := w.exec(ctx, "COMMIT"); err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	return nil
}

// rollback ends the transaction where SQLite has not done so itself.
func (w *writer) rollback(ctx context.Context) error {
	err := w.exec(ctx, "ROLLBACK")
	var answer *driver.Error
	if errors.As(err, &answer) && answer.Code()&0xff == lib.SQLITE_ERROR {
		return nil // no transaction is active
	}
	return err
}

func (w *writer) exec(ctx context.Context, script string) error {
	_, err := w.conn.ExecContext(ctx, script)
	return err
}

// prepare compiles the statements that every batch needs.
func (w *writer) prepare(ctx context.Context) (err error) {
	w.upserts, w.renewals, w.removes = map[store.Kind]*sql.Stmt{}, map[store.Kind]*sql.Stmt{}, map[store.Kind]*sql.Stmt{}
	for _, kind := range store.Kinds {
		if w.upserts[kind], err = w.conn.PrepareContext(ctx, upsert(kind)); err != nil { //nolint:sqlclosecheck // writer.close closes it
			return err
		}
		if kind.Changing() {
			if w.renewals[kind], err = w.conn.PrepareContext(ctx, renewal(kind)); err != nil { //nolint:sqlclosecheck // writer.close closes it
				return err
			}
		}
		if w.removes[kind], err = w.conn.PrepareContext(ctx, remove(kind)); err != nil { //nolint:sqlclosecheck // writer.close closes it
			return err
		}
	}
	w.position, err = w.conn.PrepareContext(ctx, "INSERT INTO position (one, value) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET value = excluded.value")
	return err
}

// close lets go of the statements too: SQLite keeps a connection open until the
// last of its statements is gone.
func (w *writer) close() error {
	var errs []error
	for _, kind := range store.Kinds {
		for _, statement := range []*sql.Stmt{w.upserts[kind], w.renewals[kind], w.removes[kind]} {
			if statement != nil {
				errs = append(errs, statement.Close())
			}
		}
	}
	if w.position != nil {
		errs = append(errs, w.position.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// choosePart finds the part of the events of a transaction.
func (w *writer) choosePart(ctx context.Context) error {
	return w.conn.QueryRowContext(ctx, "SELECT coalesce(max(rowid), 0) / ? FROM events", w.partSize).Scan(&w.part)
}

// put stores a document, or tells why it cannot be stored.
func (w *writer) put(ctx context.Context, d *store.Document) (reason string, err error) {
	names := d.Kind.Columns()
	if names == nil || d.Version == 0 || d.Version > math.MaxInt64 {
		return fmt.Sprintf("want a kind of %v and a version above 0, got %q and %d", store.Kinds, d.Kind, d.Version), nil
	}
	var room [16]any
	args := room[:0]
	for i := range names {
		if text := d.Column(i); text != "" {
			args = append(args, text)
		} else {
			args = append(args, nil)
		}
	}
	// The driver copies the text before it returns.
	args = append(args, int64(d.Version), unsafe.String(unsafe.SliceData(d.Body), len(d.Body)))
	if !d.Kind.Changing() {
		args = append(args, w.part)
	}
	if d.Kind == store.Events {
		args = append(args, int64(min(d.Config, math.MaxInt64)))
		if l := d.Log; l != nil {
			args = append(args, int64(l.Revision), unsafe.String(unsafe.SliceData(l.Changes), len(l.Changes)))
		} else {
			args = append(args, nil, nil)
		}
	}
	err = w.upsert(ctx, d.Kind, args)
	var answer *driver.Error
	if errors.As(err, &answer) {
		switch answer.Code() & 0xff {
		case lib.SQLITE_TOOBIG, lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH:
			return answer.Error(), nil
		}
	}
	return "", err
}

// upsert tries the cheap statement first, where there is one.
func (w *writer) upsert(ctx context.Context, kind store.Kind, args []any) error {
	if renew := w.renewals[kind]; renew != nil {
		result, err := renew.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return err
		}
	}
	_, err := w.upserts[kind].ExecContext(ctx, args...)
	return err
}

func (w *writer) remove(ctx context.Context, d store.Deletion) error {
	statement := w.removes[d.Kind]
	if statement == nil {
		return fmt.Errorf("%w: unknown kind %q, want one of %v", store.ErrInvalid, d.Kind, store.Kinds)
	}
	version := int64(math.MaxInt64)
	if d.Version > 0 && d.Version < math.MaxInt64 {
		version = int64(d.Version)
	}
	_, err := statement.ExecContext(ctx, append(keyArgs(d.Kind, d.ID), version)...)
	return err
}
