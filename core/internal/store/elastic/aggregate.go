package elastic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// An aggregation is what a search tells of many documents.
type aggregation struct {
	// Error is how much a count may be too low.
	Error   uint64 `json:"doc_count_error_upper_bound"`
	Buckets []struct {
		Key   jsontext.Value `json:"key"`
		Count uint64         `json:"doc_count"`
	} `json:"buckets"`
}

// mostDistinct bounds how many values are counted in memory.
const mostDistinct = 1 << 20

// Histogram implements [store.Reader]. Elasticsearch counts by the times that every
// document has; for others the documents that match are read.
func (s *Store) Histogram(ctx context.Context, h store.HistogramQuery) ([]store.Bucket, error) {
	if h.Kind.Columns() == nil {
		return nil, unknownKind(h.Kind)
	}
	width := int64(h.Interval / time.Second)
	if width < 1 || time.Duration(width)*time.Second != h.Interval {
		return nil, fmt.Errorf("%w: interval is %s, want whole seconds", store.ErrInvalid, h.Interval)
	}
	if err := checkField(h.Field); err != nil {
		return nil, err
	}
	q, err := s.question(ctx, h.Kind, h.Filter)
	if err != nil {
		return nil, err
	}
	count := s.histogramByScan
	if q.bounds.exact && len(h.Field) == 1 && slices.Contains(h.Kind.Times(), h.Field[0]) {
		count = s.histogramOfColumn
	}
	counts, err := count(ctx, q, h.Field, width)
	if err != nil && !errors.Is(err, errTooMany) {
		return nil, fmt.Errorf("histogram of %s: %w", h.Kind, err)
	}
	if len(counts) > store.MaxBuckets {
		return nil, errTooMany
	}
	var buckets []store.Bucket
	for start, n := range counts {
		buckets = append(buckets, store.Bucket{Start: time.Unix(start, 0).UTC(), Count: n})
	}
	slices.SortFunc(buckets, func(a, b store.Bucket) int { return a.Start.Compare(b.Start) })
	return buckets, nil
}

func checkField(field sdk.Path) error {
	if len(field) == 0 {
		return fmt.Errorf("%w: field is empty, want a path such as time or properties.total", store.ErrInvalid)
	}
	return nil
}

// histogramOfColumn counts by whole multiples of a width, in seconds since 1970. It gives
// one bucket more than there may be where there are too many.
func (s *Store) histogramOfColumn(ctx context.Context, q *question, field sdk.Path, width int64) (map[int64]uint64, error) {
	counts := map[int64]uint64{}
	var after jsontext.Value
	for len(counts) <= store.MaxBuckets {
		pages := query{"size": step, "sources": []query{{"at": query{"date_histogram": query{"field": field[0], "fixed_interval": fmt.Sprintf("%ds", width)}}}}}
		if after != nil {
			pages["after"] = after
		}
		a, err := s.search(ctx, place{target: s.alias(q.kind)}, query{
			"query": q.bounds.possible, "size": 0, "track_total_hits": false, "aggs": query{"of": query{"composite": pages}},
		})
		if err != nil {
			return nil, err
		}
		for _, b := range a.Aggregations.Of.Buckets {
			var key struct {
				At int64 `json:"at"` // in milliseconds
			}
			if err := readAnswer(b.Key, &key); err != nil {
				return nil, err
			}
			counts[key.At/1000] = b.Count
			after = b.Key
		}
		if len(a.Aggregations.Of.Buckets) < step {
			break
		}
	}
	return counts, nil
}

func (s *Store) histogramByScan(ctx context.Context, q *question, field sdk.Path, width int64) (map[int64]uint64, error) {
	counts := map[int64]uint64{}
	err := s.each(ctx, q, reading{sources: true}, func(_ *hit, d *store.Document) error {
		value, err := valueAt(d, field)
		if err != nil {
			return err
		}
		text, _ := value.(string)
		if at, err := sdk.ParseTime(text); err == nil {
			seconds := at.Unix()
			counts[seconds-(seconds%width+width)%width]++
		}
		if len(counts) > store.MaxBuckets {
			return errTooMany
		}
		return nil
	})
	return counts, err
}

var errTooMany = fmt.Errorf("%w: more than %d buckets: choose a longer interval or a narrower filter", store.ErrInvalid, store.MaxBuckets)

// valueAt reads the value at a path, nil where there is none.
func valueAt(d *store.Document, path sdk.Path) (any, error) {
	view := sdk.RawView(d.Body)
	for _, name := range path {
		view = view.Member(name)
	}
	if view.IsNull() {
		return nil, nil
	}
	value, err := sdk.ParseValue(view.Raw())
	if err != nil {
		return nil, fmt.Errorf("read %s of %s document %s: %w", path, d.Kind, d.ID, err)
	}
	return value, nil
}

// Terms implements [store.Reader]. Elasticsearch counts by columns; for other paths the
// documents that match are read.
func (s *Store) Terms(ctx context.Context, t store.TermsQuery) ([]store.Term, error) {
	if t.Kind.Columns() == nil {
		return nil, unknownKind(t.Kind)
	}
	size := t.Size
	if size == 0 {
		size = 10
	}
	if size < 0 || size > store.MaxLimit {
		return nil, fmt.Errorf("%w: size is %d, want 1 to %d", store.ErrInvalid, t.Size, store.MaxLimit)
	}
	if err := checkField(t.Field); err != nil {
		return nil, err
	}
	q, err := s.question(ctx, t.Kind, t.Filter)
	if err != nil {
		return nil, err
	}
	if q.bounds.exact && len(t.Field) == 1 && slices.Contains(t.Kind.Columns(), t.Field[0]) && !slices.Contains(t.Kind.Times(), t.Field[0]) {
		terms, whole, err := s.termsOfColumn(ctx, q, t.Field[0], size)
		if err != nil {
			return nil, fmt.Errorf("terms of %s: %w", t.Kind, err)
		}
		if whole {
			return terms, nil
		}
	}
	terms, err := s.termsByScan(ctx, q, t.Field)
	if err != nil {
		return nil, fmt.Errorf("terms of %s: %w", t.Kind, err)
	}
	return terms[:min(len(terms), size)], nil
}

// termsOfColumn counts the values of a column. whole is false where they were so many
// that the counts may be wrong.
func (s *Store) termsOfColumn(ctx context.Context, q *question, column string, size int) (terms []store.Term, whole bool, err error) {
	a, err := s.search(ctx, place{target: s.alias(q.kind)}, query{
		"query": q.bounds.possible, "size": 0, "track_total_hits": false,
		"aggs": query{"of": query{"terms": query{"field": column, "size": size, "shard_size": 65_000}}},
	})
	if err != nil {
		return nil, false, err
	}
	of := a.Aggregations.Of
	for _, b := range of.Buckets {
		var key string
		if err := readAnswer(b.Key, &key); err != nil {
			return nil, false, err
		}
		terms = append(terms, store.Term{Value: key, Count: b.Count})
	}
	return terms, of.Error == 0, nil
}

// A tally counts a value.
type tally struct {
	term  store.Term
	rank  int
	value string // by which values of one rank are ordered
}

// termsByScan counts all values, the most frequent first.
func (s *Store) termsByScan(ctx context.Context, q *question, field sdk.Path) ([]store.Term, error) {
	counts := map[string]*tally{}
	err := s.each(ctx, q, reading{sources: true}, func(_ *hit, d *store.Document) error {
		value, err := valueAt(d, field)
		if err != nil {
			return err
		}
		values, isList := value.([]any)
		if !isList {
			values = []any{value}
		}
		seen := map[string]bool{} // a document counts once for each of its values
		for _, v := range values {
			t, ok := tallyOf(v)
			key := fmt.Sprint(t.rank) + t.value
			if !ok || seen[key] {
				continue
			}
			seen[key] = true
			if counts[key] == nil {
				counts[key] = &t
			}
			counts[key].term.Count++
		}
		if len(counts) > mostDistinct {
			return fmt.Errorf("%w: more than %d values: choose a narrower filter", store.ErrInvalid, mostDistinct)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	tallies := make([]*tally, 0, len(counts))
	for _, t := range counts {
		tallies = append(tallies, t)
	}
	slices.SortFunc(tallies, func(a, b *tally) int {
		switch {
		case a.term.Count != b.term.Count:
			return cmp.Compare(b.term.Count, a.term.Count)
		case a.rank != b.rank:
			return a.rank - b.rank
		}
		return strings.Compare(a.value, b.value)
	})
	terms := make([]store.Term, len(tallies))
	for i, t := range tallies {
		terms[i] = t.term
	}
	return terms, nil
}

// tallyOf is what counts a value; false for what is not counted.
func tallyOf(value any) (tally, bool) {
	t := tally{term: store.Term{Value: value}}
	switch v := value.(type) {
	case int64, float64, json.Number:
		t.rank, t.value = 1, ordered(v)
	case string:
		t.rank, t.value = 2, v
	case bool:
		t.rank, t.value = 3, fmt.Sprint(v)
	default:
		return t, false
	}
	return t, true
}
