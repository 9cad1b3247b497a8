package elastic

import (
	"context"
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Query implements [store.Reader]. What is sorted by a column is read in that order; for
// any other sort all that matches is read, and as much as a page kept.
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if q.Kind.Columns() == nil {
		return store.Page{}, unknownKind(q.Kind)
	}
	limit, err := limitOf(q.Limit)
	if err != nil {
		return store.Page{}, err
	}
	by, err := parseOrder(q.Kind, q.Sort)
	if err != nil {
		return store.Page{}, err
	}
	var after *seat
	if q.Cursor != "" {
		if after, err = by.parseCursor(q.Cursor); err != nil {
			return store.Page{}, err
		}
	}
	asked, err := s.question(ctx, q.Kind, q.Filter)
	if err != nil {
		return store.Page{}, err
	}
	read := s.pageByColumn
	if by.column == "" {
		read = s.pageByScan
	}
	// One more than the page tells whether there is another.
	list, err := read(ctx, asked, &by, after, limit+1)
	if err != nil {
		return store.Page{}, fmt.Errorf("query %s: %w", q.Kind, err)
	}
	var page store.Page
	for i := range list[:min(len(list), limit)] {
		page.Documents = append(page.Documents, list[i].document)
	}
	if len(list) > limit {
		page.Cursor = by.cursor(list[limit-1].seat)
	}
	return page, nil
}

func limitOf(limit int) (int, error) {
	if limit < 0 || limit > store.MaxLimit {
		return 0, fmt.Errorf("%w: limit is %d, want 1 to %d", store.ErrInvalid, limit, store.MaxLimit)
	}
	if limit == 0 {
		limit = store.DefaultLimit
	}
	return limit, nil
}

// seated is a document and its place.
type seated struct {
	document store.Document
	seat     seat
}

// pageByColumn reads documents in the order of a column, first those that have one.
func (s *Store) pageByColumn(ctx context.Context, q *question, by *order, after *seat, want int) (list []seated, err error) {
	there := query{"exists": query{"field": by.column}}
	if after == nil || after.rank <= store.RankText {
		filters := []query{q.bounds.possible}
		if !by.everywhere() {
			filters = append(filters, there)
		}
		ask := query{"bool": query{"filter": filters}}
		if list, err = s.inOrder(ctx, q, by, ask, append([]string{by.column}, by.kind.Keys()...), after, want); err != nil {
			return nil, err
		}
		after = nil
	}
	if len(list) == want || by.everywhere() {
		return list, nil
	}
	ask := query{"bool": query{"filter": []query{q.bounds.possible}, "must_not": []query{there}}}
	rest, err := s.inOrder(ctx, q, by, ask, by.kind.Keys(), after, want-len(list))
	return append(list, rest...), err
}

// inOrder reads documents in the order of some columns that all of them have.
func (s *Store) inOrder(ctx context.Context, q *question, by *order, ask query, columns []string, after *seat, want int) (list []seated, err error) {
	var sort []query
	for i, column := range columns {
		if slices.Index(columns, column) < i {
			continue
		}
		how := query{"order": by.direction()}
		if slices.Contains(q.kind.Times(), column) {
			how["format"] = dateFormat
		}
		sort = append(sort, query{column: how})
	}
	for len(list) < want {
		size := min(want-len(list), step)
		body := query{"query": ask, "size": size, "sort": sort, "track_total_hits": false}
		if after != nil {
			body["search_after"] = by.values(columns, after)
		}
		a, err := s.search(ctx, place{target: s.alias(q.kind)}, body)
		if err != nil {
			return nil, err
		}
		for i := range a.Hits.Hits {
			d, err := documentOf(q.kind, a.Hits.Hits[i].Source)
			if err != nil {
				return nil, err
			}
			at, err := by.seatOf(&d)
			if err != nil {
				return nil, err
			}
			after = &at
			holds, err := q.holds(&d)
			if err != nil {
				return nil, err
			}
			if holds {
				list = append(list, seated{d, at})
			}
		}
		if len(a.Hits.Hits) < size {
			break
		}
	}
	return list, nil
}

// values are those of a place in some columns, each once.
func (o *order) values(columns []string, at *seat) []any {
	field, scope := o.kind.Key(at.id)
	var values []any
	for i, column := range columns {
		switch {
		case slices.Index(columns, column) < i:
		case column == "id":
			values = append(values, field)
		case column == o.kind.Scope():
			values = append(values, scope)
		default:
			values = append(values, at.value)
		}
	}
	return values
}

// pageByScan reads all and keeps the first ones beyond a place.
func (s *Store) pageByScan(ctx context.Context, q *question, by *order, after *seat, want int) (list []seated, err error) {
	compare := func(a, b seated) int { return by.compare(a.seat, b.seat) }
	cut := func() {
		slices.SortFunc(list, compare)
		clear(list[min(len(list), want):])
		list = list[:min(len(list), want)]
	}
	err = s.each(ctx, q, reading{sources: true}, func(_ *hit, d *store.Document) error {
		at, err := by.seatOf(d)
		if err != nil {
			return err
		}
		if after == nil || by.compare(at, *after) > 0 {
			list = append(list, seated{*d, at})
		}
		if len(list) >= 2*want+step {
			cut()
		}
		return nil
	})
	cut()
	return list, err
}
