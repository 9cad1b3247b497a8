package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// What is needed where a second store is filled beside the one that answers.

// Put takes in documents that the bus does not hold any more. Of those of excluded
// profiles none gets into the store. The note, a JSON value, is kept together with the
// position: whoever reads it, also after a crash, finds in the store what was put with
// it and before. It is gone when the store is emptied.
func (x *Indexer) Put(ctx context.Context, docs []store.Document, note json.RawMessage) error {
	return x.bus.Background(ctx, func() error { return x.put(ctx, docs, note) })
}

func (x *Indexer) put(ctx context.Context, docs []store.Document, note json.RawMessage) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	if err := x.Refused(); err != nil {
		return err
	}
	after := x.at()
	after.Note = note
	refused, err := x.take(ctx, &store.Batch{Put: docs}, after)
	if err != nil {
		return err
	}
	return x.deadLetters(ctx, refused)
}

// Note returns the last note, nil where there is none, or why the store cannot be
// filled.
func (x *Indexer) Note() (json.RawMessage, error) {
	if err := x.Refused(); err != nil {
		return nil, err
	}
	return x.at().Note, nil
}

// Hold keeps everything out of the store until release is called, and tells up to
// where both streams are in it.
func (x *Indexer) Hold() (events, documents uint64, release func()) {
	x.applying.Lock()
	at := x.at()
	return at.Events, at.Documents, x.applying.Unlock
}

// reachTick is how often Reach looks.
const reachTick = 5 * time.Millisecond

// Reach waits until both streams are in the store up to there. Meanwhile batches go in
// as they come.
func (x *Indexer) Reach(ctx context.Context, events, documents uint64) error {
	w := &waiter{event: true, profile: true} // whom nobody has to wake
	x.waiters.add(w)
	defer x.waiters.remove(w)
	tick := time.NewTicker(reachTick)
	defer tick.Stop()
	for {
		if e, d := x.Reached(); e >= events && d >= documents {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the store: %w", context.Cause(ctx))
		}
	}
}
