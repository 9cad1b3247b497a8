package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, kind store.Kind, id string) (doc store.Document, err error) {
	if kind.Columns() == nil {
		return doc, unknownKind(kind)
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE %s = ?", wholeOf(kind), kind, strings.Join(kind.Keys(), " = ? AND "))
	err = s.use(ctx, "get "+string(kind)+" document "+id, func(f *file) (err error) {
		doc, err = scanWhole(kind, f.readers.QueryRowContext(ctx, query, keyArgs(kind, id)...).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		return err
	})
	return doc, err
}

// scanWhole reads a document from a row that has what [wholeOf] selects, behind other
// columns.
func scanWhole(kind store.Kind, scan func(...any) error, others ...any) (store.Document, error) {
	var body, changes []byte
	var config uint64
	var revision sql.NullInt64
	if err := scan(append(others, &body, &config, &revision, &changes)...); err != nil {
		return store.Document{}, err
	}
	doc, err := store.NewDocument(kind, body)
	doc.Config = config
	if changes != nil {
		doc.Log = &store.Log{Revision: uint64(revision.Int64), Changes: changes}
	}
	return doc, err
}

// Query implements [store.Reader].
func (s *Store) Query(ctx context.Context, q store.Query) (page store.Page, err error) {
	where, args, err := s.where(q.Kind, q.Filter)
	if err != nil {
		return page, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = store.DefaultLimit
	}
	if limit < 0 || limit > store.MaxLimit {
		return page, fmt.Errorf("%w: limit is %d, want 1 to %d", store.ErrInvalid, q.Limit, store.MaxLimit)
	}
	by, err := parseOrder(q.Kind, q.Sort)
	if err != nil {
		return page, err
	}
	var after *cursor
	if q.Cursor != "" {
		if after, err = parseCursor(q.Cursor, by); err != nil {
			return page, err
		}
	}
	query, orderArgs := by.sql(where, after, limit+1)
	args = append(orderArgs.before, append(args, orderArgs.after...)...)
	var last cursor
	err = s.rows(ctx, "query "+string(q.Kind), query, args, func(rows *sql.Rows) error {
		if len(page.Documents) == limit {
			page.Cursor = last.text(by)
			return nil
		}
		var body []byte
		var config uint64
		if err := rows.Scan(&body, &config, &last.rank, &last.value); err != nil {
			return err
		}
		doc, err := store.NewDocument(q.Kind, body)
		if err != nil {
			return err
		}
		last.id, doc.Config = doc.ID, config
		page.Documents = append(page.Documents, doc)
		return nil
	})
	if err != nil {
		return store.Page{}, err
	}
	return page, nil
}

// Count implements [store.Reader].
func (s *Store) Count(ctx context.Context, kind store.Kind, filter store.Filter) (n uint64, err error) {
	where, args, err := s.where(kind, filter)
	if err != nil {
		return 0, err
	}
	err = s.rows(ctx, "count "+string(kind), fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", kind, where), args,
		func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n, err
}

// Scan implements [store.Reader]. It reads in steps, none of which keeps the
// write-ahead log from being cleared for long. Where an index tells between which rows
// the documents lie, such as those of a day, it reads no others.
func (s *Store) Scan(ctx context.Context, kind store.Kind, filter store.Filter, each func(store.Document) error) error {
	where, args, err := s.where(kind, filter)
	if err != nil {
		return err
	}
	query := fmt.Sprintf("SELECT rowid, %s FROM %s WHERE (%s) AND rowid > ? AND rowid <= ? ORDER BY rowid LIMIT %d", wholeOf(kind), kind, where, step)
	after, last, err := s.span(ctx, kind, where, args)
	if err != nil {
		return err
	}
	for {
		docs := make([]store.Document, 0, step)
		err := s.rows(ctx, "scan "+string(kind), query, append(args[:len(args):len(args)], after, last), func(rows *sql.Rows) error {
			doc, err := scanWhole(kind, rows.Scan, &after)
			docs = append(docs, doc)
			return err
		})
		if err != nil {
			return err
		}
		for _, doc := range docs {
			if err := each(doc); err != nil {
				return err
			}
		}
		if len(docs) < step {
			return nil
		}
	}
}

// span tells behind which row and up to which one the documents that a condition matches
// lie, where an index tells: else all rows.
func (s *Store) span(ctx context.Context, kind store.Kind, where string, args []any) (after, last int64, err error) {
	after, last = math.MinInt64, math.MaxInt64
	query := fmt.Sprintf("SELECT min(rowid), max(rowid) FROM %s WHERE %s", kind, where)
	indexed := false
	err = s.rows(ctx, "plan a scan of "+string(kind), "EXPLAIN QUERY PLAN "+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int64
		var step string
		err := rows.Scan(&id, &parent, &unused, &step)
		indexed = indexed || strings.HasPrefix(step, "SEARCH "+string(kind)+" USING COVERING INDEX ")
		return err
	})
	if err != nil || !indexed {
		return after, last, err
	}
	var first, end sql.NullInt64
	err = s.rows(ctx, "scan "+string(kind), query, args, func(rows *sql.Rows) error { return rows.Scan(&first, &end) })
	if first.Valid {
		return first.Int64 - 1, end.Int64, err
	}
	return 0, 0, err // none
}

// rows runs a query beside the writer and calls each for every row.
func (s *Store) rows(ctx context.Context, doing, query string, args []any, each func(*sql.Rows) error) error {
	return s.use(ctx, doing, func(f *file) (err error) {
		rows, err := f.readers.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			if err := each(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func unknownKind(kind store.Kind) error {
	return fmt.Errorf("%w: unknown kind %q, want one of %v", store.ErrInvalid, kind, store.Kinds)
}
