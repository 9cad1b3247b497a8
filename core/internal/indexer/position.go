package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/store"
)

// A position is up to where both streams are in the store. It is stored with
// every batch.
type position struct {
	Source    string    `json:"source"` // the bus
	Events    uint64    `json:"events"`
	Marks     bus.Marks `json:"marks"`
	Documents uint64    `json:"documents"`
	// Note is that of [Indexer.Put].
	Note json.RawMessage `json:"note,omitempty"`
}

func (p *position) encode() ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode position: %w", err)
	}
	return text, nil
}

// resume takes the position from the store and moves it back to where the
// streams may have lost what lay above.
func (x *Indexer) resume(ctx context.Context) error {
	err := x.takePosition(ctx)
	if err != nil {
		x.refused.Store(&err)
		return err
	}
	x.refused.Store(nil)
	return nil
}

func (x *Indexer) takePosition(ctx context.Context) error {
	// Between the two nobody puts anything in.
	x.applying.Lock()
	defer x.applying.Unlock()
	text, err := x.store.Position(ctx)
	if err != nil {
		return err
	}
	var p position
	if text != nil {
		if err := json.Unmarshal(text, &p); err != nil {
			return fmt.Errorf("read position: %w: %w; `tributary store rebuild` makes a new one from the bus", store.ErrBroken, err)
		}
		if p.Source != x.source {
			return fmt.Errorf("read position: %w: it was filled from another bus; `tributary store rebuild` fills it from this one, or name another one in the settings", store.ErrBroken)
		}
	}
	lastEvent, err := x.bus.EventsEnd(ctx) // the last one may have been erased
	if err != nil {
		return err
	}
	lastDocument, err := x.bus.DocumentsLast(ctx)
	if err != nil {
		return err
	}
	floor := x.bus.Floor()
	// Read again, from where the streams were durable. The marks stand: what
	// they cover is in the store, and a commit's number is never used twice.
	// Once a batch of a stream is applied, the position kept with it counts.
	if !x.applied[feedEvents].Load() {
		p.Events = min(p.Events, floor.Events)
	}
	if !x.applied[feedDocuments].Load() {
		p.Documents = min(p.Documents, floor.Documents)
	}
	// A stream that ends below the position was cut or made anew.
	if p.Events > lastEvent {
		p.Events, p.Marks = 0, nil
	}
	if p.Documents > lastDocument {
		p.Documents = 0
	}
	x.move(p)
	return nil
}

// at returns the position, with marks of its own.
func (x *Indexer) at() position {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.position
	p.Marks = slices.Clone(p.Marks)
	return p
}

// move sets the position while nothing is read.
func (x *Indexer) move(p position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p.Source = x.source
	marks := make(bus.Marks, x.bus.Partitions())
	copy(marks, p.Marks)
	p.Marks = marks
	x.position = p
	for i := range x.quiet {
		x.quiet[i].Store(0)
		x.held[i].Store(0)
	}
}
