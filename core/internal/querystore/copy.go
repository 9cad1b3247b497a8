package querystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A copier gives a store what the bus does not hold any more, out of another store.
// Profiles are no part of it: the bus holds each of them. Sessions are copied whole, since
// the bus holds of a session only what its kept events say.
//
// It goes day by day, and keeps in the filled store, with what it copies, how far it is.
type copier struct {
	bus  *bus.Bus
	from store.Store
	into *indexer.Indexer
	log  *slog.Logger
	// reached is told when a part of a day is "put", and when a day is "copied".
	reached func(step string)

	note        copyNote
	done, total uint64 // documents
}

// A copyNote says how far a copy is.
type copyNote struct {
	// Until is up to when events and changes were received that are copied; what came
	// later is on the bus.
	Until time.Time `json:"until"`
	// Through is up to where each kind is copied, by the time that its days go by.
	Through map[store.Kind]time.Time `json:"through"`
}

// copyMargin is by how much what is copied and what is on the bus overlap: a node's clock
// may have been slow.
const copyMargin = time.Hour

// copies are what is copied, in this order, with the time that divides them into days.
var copies = []store.Kind{store.Events, store.Changes, store.Sessions}

const day = 24 * time.Hour

// A slice is what of a kind lies in a part of a day.
type slice struct {
	kind     store.Kind
	from, to time.Time
	count    uint64
}

// copy copies what is left, and calls tell as it goes.
func (c *copier) copy(ctx context.Context, tell func()) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	slices, err := c.plan(ctx)
	if errors.Is(err, store.ErrBroken) {
		c.log.Warn("the store that answers is broken: what the bus does not hold is lost", "error", err)
		slices, err = nil, nil
	}
	if err != nil {
		return err
	}
	for _, one := range slices {
		if err := c.slice(ctx, &one, tell); err != nil {
			return err
		}
		c.reached("copied")
		tell()
	}
	for _, kind := range copies[:2] {
		c.note.Through[kind] = c.note.Until
	}
	return c.put(ctx, nil)
}

// load takes the note that is in the store, or makes the first one.
func (c *copier) load(ctx context.Context) error {
	text, err := c.into.Note()
	if err != nil {
		return err
	}
	if text != nil {
		if err := json.Unmarshal(text, &c.note); err != nil {
			return fmt.Errorf("read how far a store is copied: %w", err)
		}
	} else if c.note.Until, err = c.bound(ctx); err != nil {
		return err
	}
	if c.note.Through == nil {
		c.note.Through = map[store.Kind]time.Time{}
	}
	return nil
}

// bound is before when events were received that the bus may not hold.
func (c *copier) bound(ctx context.Context) (time.Time, error) {
	held, err := c.bus.EventsState(ctx)
	if err != nil {
		return time.Time{}, err
	}
	first := held.FirstTime
	if first.IsZero() {
		first = time.Now()
	}
	return first.Add(copyMargin).UTC().Truncate(time.Millisecond), nil
}

// missing tells whether the bus has let go of events that are not copied; then copy does
// that.
func (c *copier) missing(ctx context.Context) (bool, error) {
	bound, err := c.bound(ctx)
	if err != nil || !bound.After(c.note.Until.Add(copyMargin/2)) {
		return false, err
	}
	if held, err := c.bus.EventsState(ctx); err != nil || held.FirstTime.IsZero() {
		return false, err // all of them are copied
	}
	c.note.Until = bound
	delete(c.note.Through, store.Sessions)
	return true, c.put(ctx, nil)
}

// plan divides what is left into days.
func (c *copier) plan(ctx context.Context) (left []slice, err error) {
	c.done, c.total = 0, 0
	for _, kind := range copies {
		from, to := time.Time{}, c.note.Until
		if kind == store.Sessions {
			to = time.Time{}
		}
		filter, err := within(kind, from, to)
		if err != nil {
			return nil, err
		}
		days, err := c.from.Histogram(ctx, store.HistogramQuery{Kind: kind, Filter: filter, Field: sdk.Path{dayOf(kind)}, Interval: day})
		if err != nil {
			return nil, err
		}
		through := c.note.Through[kind]
		for _, d := range days {
			one := slice{kind: kind, from: d.Start, to: d.Start.Add(day), count: d.Count}
			if !to.IsZero() && one.to.After(to) {
				one.to = to
			}
			c.total += one.count
			if !one.to.After(through) {
				c.done += one.count
				continue
			}
			if one.from.Before(through) {
				one.from = through
			}
			left = append(left, one)
		}
	}
	return left, nil
}

// The bounds of what is copied at once.
const (
	copyDocuments = 500
	copyBytes     = 4 << 20
)

// slice copies one slice; with its last part goes the note that it is done.
func (c *copier) slice(ctx context.Context, one *slice, tell func()) error {
	filter, err := within(one.kind, one.from, one.to)
	if err != nil {
		return err
	}
	var docs []store.Document
	bytes, before := 0, c.done
	err = c.from.Scan(ctx, one.kind, filter, func(d store.Document) error {
		docs = append(docs, d)
		if bytes += len(d.Body); len(docs) < copyDocuments && bytes < copyBytes {
			return nil
		}
		n := uint64(len(docs))
		if err := c.put(ctx, docs); err != nil {
			return err
		}
		c.reached("put")
		docs, bytes = docs[:0], 0
		c.done = min(c.done+n, before+one.count)
		tell()
		return nil
	})
	if err != nil {
		return err
	}
	c.note.Through = maps.Clone(c.note.Through)
	c.note.Through[one.kind] = one.to
	if err := c.put(ctx, docs); err != nil {
		return err
	}
	c.done = before + one.count
	return nil
}

func (c *copier) put(ctx context.Context, docs []store.Document) error {
	text, err := json.Marshal(&c.note)
	if err != nil {
		return err
	}
	return c.into.Put(ctx, docs, text)
}

// dayOf names the time by which documents of a kind belong to a day.
func dayOf(kind store.Kind) string {
	switch kind {
	case store.Profiles:
		return "created"
	case store.Sessions:
		return "started"
	}
	return "received"
}

// scopes are how filters name documents.
var scopes = map[store.Kind]struct {
	name  string
	scope condition.Scope
}{
	store.Events: {"event", condition.EventScope}, store.Changes: {"event", condition.EventScope},
	store.Profiles: {"profile", condition.ProfileScope}, store.Sessions: {"session", condition.SessionScope},
}

// within matches the documents of a kind whose time by which they belong to a day lies in
// [from, to). A zero time does not bound.
func within(kind store.Kind, from, to time.Time) (store.Filter, error) {
	field := scopes[kind].name + "." + dayOf(kind)
	text := ""
	if !from.IsZero() {
		text = fmt.Sprintf("%s >= timestamp(%q)", field, sdk.FormatTime(from))
	}
	if !to.IsZero() {
		if text != "" {
			text += " && "
		}
		text += fmt.Sprintf("%s < timestamp(%q)", field, sdk.FormatTime(to))
	}
	if text == "" {
		return nil, nil
	}
	return condition.CompileCondition(text, scopes[kind].scope)
}
