package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"slices"
	"time"

	driver "modernc.org/sqlite"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// secondsFunction is what a text that is a time becomes: whole seconds since
// 1970, rounded down; null for any other value.
const secondsFunction = "tributary_seconds"

func init() {
	driver.MustRegisterDeterministicScalarFunction(secondsFunction, 1,
		func(_ *driver.FunctionContext, args []sqldriver.Value) (sqldriver.Value, error) {
			if text, ok := args[0].(string); ok {
				if at, err := sdk.ParseTime(text); err == nil {
					return at.Unix(), nil
				}
			}
			return nil, nil
		})
}

// Histogram implements [store.Reader].
func (s *Store) Histogram(ctx context.Context, q store.HistogramQuery) (buckets []store.Bucket, err error) {
	where, args, err := s.where(q.Kind, q.Filter)
	if err != nil {
		return nil, err
	}
	width := int64(q.Interval / time.Second)
	if width < 1 || time.Duration(width)*time.Second != q.Interval {
		return nil, fmt.Errorf("%w: interval is %s, want whole seconds", store.ErrInvalid, q.Interval)
	}
	place, err := fieldPath(q.Field)
	if err != nil {
		return nil, err
	}
	// Columns that every document has are in canonical form, which SQLite reads
	// faster by itself.
	seconds := secondsFunction + "(json_extract(body, ?))"
	if len(q.Field) == 1 && slices.Contains(q.Kind.Times(), q.Field[0]) {
		seconds = "unixepoch(" + q.Field[0] + ")"
	} else {
		args = append([]any{place}, args...)
	}
	query := fmt.Sprintf(`SELECT at - ((at %% %d) + %[1]d) %% %[1]d AS start, count(*) FROM (SELECT %s AS at FROM %s WHERE %s)
		WHERE at IS NOT NULL GROUP BY start ORDER BY start LIMIT %d`, width, seconds, q.Kind, where, store.MaxBuckets+1)
	err = s.rows(ctx, "histogram of "+string(q.Kind), query, args, func(rows *sql.Rows) error {
		var start int64
		var b store.Bucket
		if err := rows.Scan(&start, &b.Count); err != nil {
			return err
		}
		b.Start = time.Unix(start, 0).UTC()
		buckets = append(buckets, b)
		return nil
	})
	if err == nil && len(buckets) > store.MaxBuckets {
		return nil, fmt.Errorf("%w: more than %d buckets: choose a longer interval or a narrower filter", store.ErrInvalid, store.MaxBuckets)
	}
	return buckets, err
}

// Terms implements [store.Reader].
func (s *Store) Terms(ctx context.Context, q store.TermsQuery) (terms []store.Term, err error) {
	where, args, err := s.where(q.Kind, q.Filter)
	if err != nil {
		return nil, err
	}
	size := q.Size
	if size == 0 {
		size = 10
	}
	if size < 0 || size > store.MaxLimit {
		return nil, fmt.Errorf("%w: size is %d, want 1 to %d", store.ErrInvalid, q.Size, store.MaxLimit)
	}
	place, err := fieldPath(q.Field)
	if err != nil {
		return nil, err
	}
	var query string
	if len(q.Field) == 1 && slices.Contains(q.Kind.Columns(), q.Field[0]) {
		query = fmt.Sprintf("SELECT 'text', %s AS value, count(*) AS n FROM %s WHERE (%s) AND value IS NOT NULL GROUP BY value ORDER BY n DESC, value LIMIT ?",
			q.Field[0], q.Kind, where)
	} else {
		// json_each gives the elements of a list, and a single value as it is. A
		// document counts once for each of its values.
		args = append(args, place, place)
		query = fmt.Sprintf(`SELECT type, value, count(DISTINCT doc) AS n FROM (
			SELECT CASE each.type WHEN 'real' THEN 'integer' ELSE each.type END AS type, each.atom AS value, found.doc AS doc
			FROM (SELECT rowid AS doc, body FROM %s WHERE %s) AS found, json_each(found.body, ?) AS each
			WHERE each.type IN ('integer', 'real', 'text', 'true', 'false') AND json_type(found.body, ?) <> 'object')
			GROUP BY type, value ORDER BY n DESC, CASE type WHEN 'integer' THEN 1 WHEN 'text' THEN 2 ELSE 3 END, value LIMIT ?`, q.Kind, where)
	}
	err = s.rows(ctx, "terms of "+string(q.Kind), query, append(args, size), func(rows *sql.Rows) error {
		var kind string
		var t store.Term
		if err := rows.Scan(&kind, &t.Value, &t.Count); err != nil {
			return err
		}
		if kind == "true" || kind == "false" {
			t.Value = kind == "true"
		}
		terms = append(terms, t)
		return nil
	})
	return terms, err
}

func fieldPath(path sdk.Path) (string, error) {
	if len(path) == 0 {
		return "", fmt.Errorf("%w: field is empty, want a path such as time or properties.total", store.ErrInvalid)
	}
	return jsonPath(path)
}
