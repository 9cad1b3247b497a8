package elastic

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Apply implements [store.Writer].
func (s *Store) Apply(ctx context.Context, batch store.Batch) ([]store.Refused, error) {
	for _, d := range batch.Delete {
		if d.Kind.Columns() == nil {
			return nil, fmt.Errorf("apply batch: %w", unknownKind(d.Kind))
		}
	}
	refused, err := s.apply(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("apply batch: %w", err)
	}
	return refused, nil
}

func (s *Store) apply(ctx context.Context, batch store.Batch) ([]store.Refused, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	// Asked for each time: others may have made a new generation, or removed a month.
	l, err := s.layout(ctx)
	if err != nil {
		return nil, err
	}
	if l.generation == 0 {
		s.prepared.Store(false)
		return nil, fmt.Errorf("%w: its indices are gone; they are made anew", store.ErrUnavailable)
	}
	refused, err := s.put(ctx, l, batch.Put)
	if err != nil {
		return nil, err
	}
	if err := s.deleteListed(ctx, l, batch.Delete); err != nil {
		return nil, err
	}
	if batch.Position != nil {
		err = s.putPosition(ctx, l, batch.Position)
	}
	return refused, err
}

// put writes documents and lists those that are refused for themselves alone.
func (s *Store) put(ctx context.Context, l *layout, documents []store.Document) (refused []store.Refused, err error) {
	var actions [][]byte
	var of []int
	made := map[string]bool{}
	for i := range documents {
		d := &documents[i]
		if d.Kind.Columns() == nil || d.Version == 0 || d.Version > math.MaxInt64 || d.ID == "" {
			refused = append(refused, store.Refused{Document: *d, Reason: fmt.Sprintf("want a kind of %v and a version above 0, got %q and %d", store.Kinds, d.Kind, d.Version)})
			continue
		}
		name := s.indexName(l.generation, d.Kind, "")
		if monthly(d.Kind) {
			received := d.Column(slices.Index(d.Kind.Columns(), "received"))
			name = s.indexName(l.generation, d.Kind, monthOf(received))
		}
		if !made[name] {
			if err := s.createIndex(ctx, l, name); err != nil {
				return nil, err
			}
			made[name] = true
		}
		lines, err := putLines(name, d)
		if err != nil {
			refused = append(refused, store.Refused{Document: *d, Reason: err.Error()})
			continue
		}
		actions, of = append(actions, lines), append(of, i)
	}
	outcomes, err := s.bulk(ctx, actions)
	if err != nil {
		return nil, err
	}
	for n := range outcomes {
		if o := &outcomes[n]; o.refused() {
			refused = append(refused, store.Refused{Document: documents[of[n]], Reason: o.kind + ": " + bounded(o.reason)})
		}
	}
	return refused, nil
}

// positionID is the _id of the position in its index.
const positionID = "position"

type storedPosition struct {
	Position string `json:"position"` // base64
}

func (s *Store) putPosition(ctx context.Context, l *layout, position []byte) error {
	path := "/" + s.indexName(l.generation, state, "") + "/_doc/" + positionID
	err := s.client.ask(ctx, "PUT", path, nil, storedPosition{base64.StdEncoding.EncodeToString(position)}, nil)
	if err != nil {
		return fmt.Errorf("write position: %w", err)
	}
	return nil
}

// Position implements [store.Writer].
func (s *Store) Position(ctx context.Context) ([]byte, error) {
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	got, err := s.stored(ctx, s.alias(state), []string{positionID}, true)
	if err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	if !got[0].Found {
		return nil, nil
	}
	var at storedPosition
	if err := readAnswer(got[0].Source, &at); err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	position, err := base64.StdEncoding.DecodeString(at.Position)
	if err != nil {
		return nil, fmt.Errorf("%w: read position: %w", store.ErrBroken, err)
	}
	return position, nil
}

// refreshes lets callers share a refresh: one that begins after they came.
type refreshes struct {
	mu   sync.Mutex
	next *refreshing // nil: nobody waits for one to begin
	busy sync.Mutex
}

type refreshing struct {
	done chan struct{}
	err  error
}

// Refresh implements [store.Writer]. Callers at the same time share a refresh.
func (s *Store) Refresh(ctx context.Context) error {
	r := &s.refreshes
	r.mu.Lock()
	mine := r.next
	leads := mine == nil
	if leads {
		mine = &refreshing{done: make(chan struct{})}
		r.next = mine
	}
	r.mu.Unlock()
	if leads {
		r.busy.Lock()
		r.mu.Lock()
		r.next = nil // who comes from here on needs another
		r.mu.Unlock()
		mine.err = s.refreshAll(context.WithoutCancel(ctx))
		r.busy.Unlock()
		close(mine.done)
	}
	select {
	case <-mine.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if mine.err != nil {
		return fmt.Errorf("refresh: %w", mine.err)
	}
	return nil
}

func (s *Store) refreshAll(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.refresh(ctx, s.aliases(store.Kinds))
}

// refresh has queries of some indices see what was written.
func (s *Store) refresh(ctx context.Context, target string) error {
	var answer struct {
		Shards shards `json:"_shards"`
	}
	if err := s.ask(ctx, "POST", "/"+target+"/_refresh", nil, nil, &answer); err != nil {
		return err
	}
	return answer.Shards.whole()
}

// shards is how many shards an answer is of.
type shards struct {
	Total    int     `json:"total"`
	Failed   int     `json:"failed"`
	Failures []cause `json:"failures"`
}

// whole is an error where a part of the answer is missing.
func (s *shards) whole() error {
	if s.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d shards do not answer", store.ErrUnavailable, s.Failed, s.Total)
}
