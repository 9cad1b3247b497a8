package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk/condition"
)

const (
	// storedEvents is how many events a query store is asked about.
	storedEvents = 1_000_000
	// storedAtOnce is how many the indexer would hand over at once.
	storedAtOnce = 3000
	// asks is how often each question is put, one after the other.
	asks = 500
)

// A question is one that indices answer.
type question struct {
	name   string
	filter func(i int) string
}

var questions = []question{
	{"of a person", func(i int) string { return fmt.Sprintf("event.profile == %q", storedPerson(i*31)) }},
	{"of a type, in an hour", func(i int) string {
		from := storedFrom.Add(time.Duration(i%11) * time.Hour)
		return fmt.Sprintf("event.type == 'type-%d' && event.time >= timestamp(%q) && event.time < timestamp(%q)",
			i%storedTypes, from.Format(time.RFC3339), from.Add(time.Hour).Format(time.RFC3339))
	}},
	{"of a person and a type", func(i int) string {
		return fmt.Sprintf("event.profile == %q && event.type in ['type-%d', 'type-%d']", storedPerson(i*37), i%storedTypes, (i+7)%storedTypes)
	}},
}

// queryStore fills a query store with a million events and asks it what indices answer.
func queryStore(ctx context.Context, r *run) error {
	r.setting = "sqlite"
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(r.dir, "store.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer s.Close()
	n, err := fill(ctx, r, s)
	if err != nil {
		return err
	}
	return askAll(ctx, r, s, n, 50)
}

// fill applies events until there are enough, or for the duration that was asked for,
// and tells how many.
func fill(ctx context.Context, r *run, s store.Writer) (n int, err error) {
	var spent time.Duration
	for n < storedEvents && (r.options.Duration == 0 || spent < r.options.Duration) {
		batch := store.Batch{Position: []byte("x")}
		for ; len(batch.Put) < storedAtOnce && n < storedEvents; n++ {
			doc, err := storedEvent(n)
			if err != nil {
				return n, err
			}
			batch.Put = append(batch.Put, doc)
		}
		began := time.Now()
		refused, err := s.Apply(ctx, batch)
		if err != nil {
			return n, fmt.Errorf("fill the store: %w", err)
		}
		if len(refused) > 0 {
			return n, fmt.Errorf("fill the store: %s was refused: %s", refused[0].Document.ID, refused[0].Reason)
		}
		spent += time.Since(began)
	}
	r.figure("taken in", float64(n)/spent.Seconds(), "events/s", nil)
	return n, s.Refresh(ctx)
}

// askAll puts every question many times. An answer is a page of a hundred, the newest
// first.
func askAll(ctx context.Context, r *run, s store.Reader, events int, milli float64) error {
	for _, q := range questions {
		var took histogram
		found := 0
		for i := range asks {
			filter, err := condition.CompileCondition(q.filter(i), condition.EventScope)
			if err != nil {
				return fmt.Errorf("ask for events %s: %w", q.name, err)
			}
			began := time.Now()
			page, err := s.Query(ctx, store.Query{Kind: store.Events, Filter: filter})
			if err != nil {
				return fmt.Errorf("ask for events %s: %w", q.name, err)
			}
			took.record(time.Since(began))
			found += len(page.Documents)
		}
		if found == 0 {
			return fmt.Errorf("ask for events %s: of %d events none is found", q.name, events)
		}
		r.figure("events "+q.name+", median", milliseconds(took.quantile(0.5)), "ms", nil)
		r.figure("events "+q.name+", 99 of 100", milliseconds(took.quantile(0.99)), "ms", atMost(milli))
	}
	return nil
}
