package indexer

import (
	"context"
	"errors"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// The two streams that are read.
const (
	feedEvents = iota
	feedDocuments
)

const (
	// batchSize is how many messages a transaction holds at most, of documents
	// documentBatch.
	batchSize     = 3000
	documentBatch = 5000
	// gatherMost ends the rest of the documents' feed: of several changes of a profile
	// only the last one costs much.
	gatherMost = 10_000
	// longestRest is how long messages may gather before a transaction.
	longestRest = 20 * time.Millisecond
	// restFactor is how many times as long as a transaction took the next one
	// is waited for, where there is not enough for a full one: few messages a
	// second go in at once, many go in together.
	restFactor = 4
	// scarceRest is the rest while the CPU is scarce, or the log not processed for long, and nobody waits; of
	// documents documentRest: the longer, the fewer of them.
	scarceRest   = 200 * time.Millisecond
	documentRest = time.Second
	// restStep is how often a rest looks whether it had better end.
	restStep = 50 * time.Millisecond
	// quietAfter is how long nothing must come until all counts as read.
	quietAfter = time.Second
)

// readEvents indexes EVENTS from the position on.
func (x *Indexer) readEvents(ctx context.Context) error {
	at := x.at()
	reader, err := x.bus.ReadEventsAndChanges(ctx, at.Events, at.Marks)
	if err != nil {
		return err
	}
	defer reader.Close()
	split := newSplitter()
	var docs []store.Document
	return x.read(ctx, feedEvents, batchSize/2, scarceRest, x.bus.EventsLast, reader, func(wait time.Duration) (int, time.Duration, error) {
		events, err := reader.Next(ctx, batchSize, wait)
		var gap *bus.GapError
		if errors.As(err, &gap) {
			// What is missing is no longer kept; the documents of those events
			// are in the store only if it had them before.
			x.log.Warn("events were dropped from the bus before they were indexed", "after", gap.After, "first", gap.First)
			return 0, 0, nil
		}
		if err != nil || len(events) == 0 {
			return 0, 0, err
		}
		began := time.Now()
		x.held[feedEvents].CompareAndSwap(0, events[0].Time.UnixNano())
		docs = docs[:0]
		var gone []store.Deletion
		for i := range events {
			e := &events[i]
			if e.Type == record.TypeChange {
				var told store.Batch
				told, err = split.change(e.Data)
				docs, gone = append(docs, told.Put...), append(gone, told.Delete...)
			} else {
				docs, err = split.event(e.Data, docs)
			}
			if err != nil {
				details := map[string]any{"stream": "events", "sequence": int64(e.Seq), "type": e.Type,
					"partition": int64(e.Partition), "c": int64(e.C), "n": int64(e.N)}
				if err := x.deadLetter(ctx, err.Error(), e.Data, details); err != nil {
					return 0, 0, err
				}
			}
		}
		err = x.apply(ctx, feedEvents, store.Batch{Put: latest(docs), Delete: gone}, func(p *position) {
			for i := range events {
				e := &events[i]
				p.Events = e.Seq
				if e.Partition >= 0 && e.Partition < len(p.Marks) {
					p.Marks[e.Partition] = bus.Mark{C: e.C, N: e.N}
				}
			}
		})
		return len(events), time.Since(began), err
	})
}

// readDocuments indexes PROFILES from the position on.
func (x *Indexer) readDocuments(ctx context.Context) error {
	reader, err := x.bus.ReadDocuments(ctx, x.at().Documents)
	if err != nil {
		return err
	}
	defer reader.Close()
	split := newSplitter()
	return x.read(ctx, feedDocuments, gatherMost, documentRest, x.bus.DocumentsLast, reader, func(wait time.Duration) (int, time.Duration, error) {
		changes, err := reader.Next(ctx, documentBatch, wait)
		if err != nil || len(changes) == 0 {
			return 0, 0, err
		}
		began := time.Now()
		x.held[feedDocuments].CompareAndSwap(0, changes[0].Time.UnixNano())
		var batch store.Batch
		// From the end: of a profile's changes the last one counts.
		seen := make(map[string]struct{}, len(changes))
		for i := len(changes) - 1; i >= 0; i-- {
			change := &changes[i]
			if _, newer := seen[change.Profile]; newer {
				continue
			}
			seen[change.Profile] = struct{}{}
			doc, live, err := store.Document{}, false, error(nil)
			if !change.Deleted {
				doc, live, err = split.document(change.Data)
			}
			switch {
			case err != nil:
				details := map[string]any{"stream": "profiles", "sequence": int64(change.Seq), "profile": change.Profile}
				if err := x.deadLetter(ctx, err.Error(), change.Data, details); err != nil {
					return 0, 0, err
				}
			case live:
				batch.Put = append(batch.Put, doc)
			default:
				batch.Delete = append(batch.Delete, store.Deletion{Kind: store.Profiles, ID: change.Profile})
			}
		}
		last := changes[len(changes)-1].Seq
		err = x.apply(ctx, feedDocuments, batch, func(p *position) { p.Documents = last })
		return len(changes), time.Since(began), err
	})
}

// A backlog is what a reader has still to read.
type backlog interface {
	Waiting() int
	Crowded() bool
}

// read calls next, which indexes one batch and tells how many messages it had
// and how long it worked on them, until one fails. Unless enough is waiting, the
// next batch is given time to gather, up to longest where the CPU is scarce.
func (x *Indexer) read(ctx context.Context, feed, enough int, longest time.Duration, last func(context.Context) (uint64, error), left backlog, next func(wait time.Duration) (int, time.Duration, error)) error {
	var end uint64 // of the stream, when last asked for
	for {
		began := time.Now()
		n, worked, err := next(quietAfter)
		if err != nil {
			return err
		}
		if n == 0 {
			if time.Since(began) < quietAfter {
				continue // repetitions
			}
			// Nothing came for as long as the stream has ended there.
			x.quiet[feed].Store(end)
			if end, err = last(ctx); err != nil {
				return err
			}
			continue
		}
		if err := x.rest(ctx, min(restFactor*worked, longestRest), longest, enough, left); err != nil {
			return err
		}
	}
}

// rest waits for the next batch to gather, until there is enough.
func (x *Indexer) rest(ctx context.Context, usual, longest time.Duration, enough int, left backlog) error {
	for began := time.Now(); left.Waiting() < enough && !left.Crowded(); {
		wanted := usual
		if (x.bus.Scarce() || x.bus.Behind()) && !x.waiters.any() {
			wanted = longest
		}
		remaining := wanted - time.Since(began)
		if remaining <= 0 {
			return nil
		}
		select {
		case <-time.After(min(remaining, restStep)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// apply stores a batch together with the position after it. It gives way to a
// busy gateway, unless somebody waits.
func (x *Indexer) apply(ctx context.Context, feed int, batch store.Batch, advance func(*position)) error {
	now := func() error { return x.applyNow(ctx, feed, batch, advance) }
	if x.waiters.any() {
		return now()
	}
	return x.bus.Background(ctx, now)
}

func (x *Indexer) applyNow(ctx context.Context, feed int, batch store.Batch, advance func(*position)) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	after := x.at()
	advance(&after)
	refused, err := x.take(ctx, &batch, after)
	if err != nil {
		return err
	}
	x.applied[feed].Store(true)
	x.held[feed].Store(0)
	x.waiters.wake(&batch, after.Marks)
	return x.deadLetters(ctx, refused)
}

// take stores a batch, but for what is excluded, together with the position after it.
// The caller holds applying.
func (x *Indexer) take(ctx context.Context, batch *store.Batch, after position) ([]store.Refused, error) {
	var err error
	if batch.Position, err = after.encode(); err != nil {
		return nil, err
	}
	batch.Put = x.excluded.without(batch.Put)
	began := time.Now()
	refused, err := x.store.Apply(ctx, *batch)
	if err != nil {
		return nil, err
	}
	x.metrics.batch(batch, time.Since(began))
	x.mu.Lock()
	x.position = after
	x.mu.Unlock()
	return refused, nil
}

// deadLetters keeps what the store refused.
func (x *Indexer) deadLetters(ctx context.Context, refused []store.Refused) error {
	for i := range refused {
		d := &refused[i].Document
		details := map[string]any{"kind": string(d.Kind), "id": d.ID, "version": int64(d.Version)}
		if err := x.deadLetter(ctx, refused[i].Reason, d.Body, details); err != nil {
			return err
		}
	}
	return nil
}

// Origin names the indexer's dead letters.
const Origin = "indexer"

func (x *Indexer) deadLetter(ctx context.Context, reason string, payload []byte, details map[string]any) error {
	x.metrics.dead.Inc()
	x.log.Error("a document cannot be indexed and becomes a dead letter", "reason", reason, "details", details)
	return x.bus.DeadLetter(ctx, bus.DeadLetter{Origin: Origin, Reason: reason, Attempts: 1, Payload: payload, Details: details})
}

// latest keeps, of the documents with the same id, the one with the highest
// version; events come once.
func latest(docs []store.Document) []store.Document {
	at := map[string]int{}
	kept := docs[:0]
	for _, doc := range docs {
		if doc.Kind.Changing() {
			if i, again := at[doc.ID]; again {
				if doc.Version > kept[i].Version {
					kept[i] = doc
				}
				continue
			}
			at[doc.ID] = len(kept)
		}
		kept = append(kept, doc)
	}
	return kept
}
