package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// A question is a filter over a kind, as it is asked.
type question struct {
	kind   store.Kind
	bounds bounds
	// decider decides what the bounds do not, nil where there is no filter.
	decider *decider
}

// question makes one of a filter, and has the store ready for it.
func (s *Store) question(ctx context.Context, kind store.Kind, filter store.Filter) (*question, error) {
	if kind.Columns() == nil {
		return nil, unknownKind(kind)
	}
	q := &question{kind: kind, bounds: allDocuments}
	if filter != nil {
		predicate, err := filter.Predicate(s.now())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
		}
		if q.bounds, err = translate(predicate, kind); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
		}
		q.decider = newDecider(predicate)
	}
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", kind, err)
	}
	return q, nil
}

// holds decides of a document that the possible query matches.
func (q *question) holds(d *store.Document) (bool, error) {
	if q.bounds.exact {
		return true, nil
	}
	return q.decider.holds(d.Body)
}

func unknownKind(kind store.Kind) error {
	return fmt.Errorf("%w: unknown kind %q, want one of %v", store.ErrInvalid, kind, store.Kinds)
}

// A found is a document by its _id.
type found struct {
	Found   bool           `json:"found"`
	Version uint64         `json:"_version"`
	Source  jsontext.Value `json:"_source"`
	Error   *cause         `json:"error"`
}

// stored reads documents by their _id, as they were written last, in the order of the
// ids.
func (s *Store) stored(ctx context.Context, target string, ids []string, sources bool) ([]found, error) {
	var answer struct {
		Docs []found `json:"docs"`
	}
	query := params("_source", fmt.Sprint(sources))
	if sources {
		query = nil // a text that is filtered is written anew
	}
	if err := s.ask(ctx, "POST", "/"+target+"/_mget", query, map[string]any{"ids": ids}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Docs) != len(ids) {
		return nil, fmt.Errorf("%w: Elasticsearch tells of %d documents of %d", store.ErrUnavailable, len(answer.Docs), len(ids))
	}
	for _, d := range answer.Docs {
		if d.Error != nil {
			kind, reason := d.Error.deepest()
			if kind == "index_not_found_exception" {
				s.prepared.Store(false)
			}
			return nil, &failure{status: http.StatusServiceUnavailable, kind: kind, reason: reason}
		}
	}
	return answer.Docs, nil
}

// Get implements [store.Reader]. Profiles and sessions are as they were written last;
// events and changes are found once queries see them. Events of the same id that were
// received in different months are different documents here, of which it gives one.
func (s *Store) Get(ctx context.Context, kind store.Kind, id string) (store.Document, error) {
	if kind.Columns() == nil {
		return store.Document{}, unknownKind(kind)
	}
	d, err := s.get(ctx, kind, id)
	if err != nil {
		return store.Document{}, fmt.Errorf("get %s document %s: %w", kind, id, err)
	}
	return d, nil
}

func (s *Store) get(ctx context.Context, kind store.Kind, id string) (store.Document, error) {
	if id == "" {
		return store.Document{}, store.ErrNotFound
	}
	if err := s.ready(ctx); err != nil {
		return store.Document{}, err
	}
	if kind.Changing() {
		got, err := s.stored(ctx, s.alias(kind), []string{idOf(id)}, true)
		if err != nil {
			return store.Document{}, err
		}
		if !got[0].Found {
			return store.Document{}, store.ErrNotFound
		}
		return documentOf(kind, got[0].Source)
	}
	a, err := s.search(ctx, place{target: s.alias(kind)}, query{
		"query": query{"ids": query{"values": []string{idOf(id)}}}, "size": 1, "track_total_hits": false,
	})
	if err != nil {
		return store.Document{}, err
	}
	if len(a.Hits.Hits) == 0 {
		return store.Document{}, store.ErrNotFound
	}
	return documentOf(kind, a.Hits.Hits[0].Source)
}

// Count implements [store.Reader].
func (s *Store) Count(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error) {
	q, err := s.question(ctx, kind, filter)
	if err != nil {
		return 0, err
	}
	n, err := s.count(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", kind, err)
	}
	return n, nil
}

func (s *Store) count(ctx context.Context, q *question) (n uint64, err error) {
	if q.bounds.exact {
		return s.total(ctx, place{target: s.alias(q.kind)}, q.bounds.possible)
	}
	// What is sure and what is in doubt are of one moment.
	err = s.at(ctx, s.alias(q.kind), func(at *place) error {
		sure, err := s.total(ctx, *at, q.bounds.sure)
		if err != nil {
			return err
		}
		n = sure
		doubtful := &question{kind: q.kind, bounds: bounds{possible: q.bounds.doubt}, decider: q.decider}
		return s.eachAt(ctx, at, doubtful, reading{sources: true}, func(*hit, *store.Document) error { n++; return nil })
	})
	return n, err
}

// A place is what is searched: some indices as they are, or as they were at a point in
// time.
type place struct {
	target string
	point  string
}

// A hit is a document that a search found.
type hit struct {
	Index   string         `json:"_index"`
	ID      string         `json:"_id"`
	Version uint64         `json:"_version"`
	Source  jsontext.Value `json:"_source"`
	Sort    jsontext.Value `json:"sort"`
}

// Results are the answer to a search.
type results struct {
	TimedOut bool   `json:"timed_out"`
	Shards   shards `json:"_shards"`
	Point    string `json:"pit_id"`
	Hits     struct {
		Total struct {
			Value uint64 `json:"value"`
		} `json:"total"`
		Hits []hit `json:"hits"`
	} `json:"hits"`
	Aggregations struct {
		Of aggregation `json:"of"`
	} `json:"aggregations"`
}

// search asks, and takes whole answers only.
func (s *Store) search(ctx context.Context, at place, body query) (*results, error) {
	path, query := "/_search", params("allow_partial_search_results", "false")
	if at.point != "" {
		body["pit"] = map[string]any{"id": at.point, "keep_alive": pointAlive}
	} else {
		path = "/" + at.target + path
	}
	a := &results{}
	if err := s.ask(ctx, "POST", path, query, body, a); err != nil {
		if f := (*failure)(nil); errors.As(err, &f) && tooComplex(f) {
			return nil, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
		}
		return nil, err
	}
	if a.TimedOut {
		return nil, fmt.Errorf("%w: the search took too long, and gave a part only", store.ErrUnavailable)
	}
	return a, a.Shards.whole()
}

// tooComplex tells that a query was refused for how much it asks.
func tooComplex(f *failure) bool {
	return f.status == http.StatusBadRequest && f.kind != "parsing_exception" && f.kind != "x_content_parse_exception"
}

// total counts what a query matches.
func (s *Store) total(ctx context.Context, at place, what query) (uint64, error) {
	a, err := s.search(ctx, at, query{"query": what, "size": 0, "track_total_hits": true})
	if err != nil {
		return 0, err
	}
	return a.Hits.Total.Value, nil
}
