package elastic

import (
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/store"
)

const (
	// step is how many documents are read at once.
	step = 1000
	// pointAlive is how long a point in time is kept after the last request at it.
	pointAlive = "5m"
)

// A reading says what is read of each document.
type reading struct {
	sources bool // the document itself
	version bool
}

// Scan implements [store.Reader]: the documents are those of one moment.
func (s *Store) Scan(ctx context.Context, kind store.Kind, filter store.Filter, each func(store.Document) error) error {
	q, err := s.question(ctx, kind, filter)
	if err != nil {
		return err
	}
	var stopped error
	err = s.each(ctx, q, reading{sources: true}, func(_ *hit, d *store.Document) error {
		stopped = each(*d)
		return stopped
	})
	if err != nil && stopped == nil {
		return fmt.Errorf("scan %s: %w", kind, err)
	}
	return err
}

// each calls do for every document that the question holds for, of one moment. The
// document is nil where sources are not read.
func (s *Store) each(ctx context.Context, q *question, r reading, do func(*hit, *store.Document) error) error {
	return s.at(ctx, s.alias(q.kind), func(at *place) error { return s.eachAt(ctx, at, q, r, do) })
}

// at keeps some indices as they are now for as long as do takes.
func (s *Store) at(ctx context.Context, target string, do func(*place) error) error {
	var opened struct {
		ID     string `json:"id"`
		Shards shards `json:"_shards"`
	}
	if err := s.ask(ctx, "POST", "/"+target+"/_pit", params("keep_alive", pointAlive), nil, &opened); err != nil {
		return err
	}
	at := &place{point: opened.ID}
	defer func() {
		// It ends by itself where this fails.
		_ = s.client.ask(context.WithoutCancel(ctx), "DELETE", "/_pit", nil, map[string]any{"id": at.point}, nil)
	}()
	if err := opened.Shards.whole(); err != nil {
		return err
	}
	return do(at)
}

// eachAt is each, at a point in time.
func (s *Store) eachAt(ctx context.Context, at *place, q *question, r reading, do func(*hit, *store.Document) error) error {
	var after any
	for {
		body := query{
			"query": q.bounds.possible, "size": step, "track_total_hits": false,
			"sort": []query{{"_shard_doc": "asc"}}, "version": r.version,
		}
		if !r.sources {
			body["_source"] = false
		}
		if after != nil {
			body["search_after"] = after
		}
		a, err := s.search(ctx, *at, body)
		if err != nil {
			return err
		}
		if a.Point != "" {
			at.point = a.Point
		}
		for i := range a.Hits.Hits {
			h := &a.Hits.Hits[i]
			after = h.Sort
			if !r.sources {
				if err := do(h, nil); err != nil {
					return err
				}
				continue
			}
			d, err := documentOf(q.kind, h.Source)
			if err != nil {
				return err
			}
			holds, err := q.holds(&d)
			if err != nil {
				return err
			}
			if !holds {
				continue
			}
			if err := do(h, &d); err != nil {
				return err
			}
		}
		if len(a.Hits.Hits) < step {
			return nil
		}
	}
}
