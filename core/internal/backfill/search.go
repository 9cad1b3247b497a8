package backfill

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

const (
	// chunkEvents is how many events a chunk has at least, unless it is the last one:
	// many, since a profile is written once for all that a chunk has of it.
	chunkEvents = 10_000
	// pageEvents is how many are read at a time.
	pageEvents = 1000
)

// A place is that of an event in the order of the search: by time, then by id.
type place struct {
	Time   string `json:"time"`
	ID     string `json:"id"`
	Source string `json:"source"`
}

func placeOf(d *store.Document) (p place) {
	for i, name := range d.Kind.Columns() {
		switch name {
		case "time":
			p.Time = d.Column(i)
		case "id":
			p.ID = d.Column(i)
		case "source":
			p.Source = d.Column(i)
		}
	}
	return p
}

func (p place) after(other place) bool {
	return cmp.Or(cmp.Compare(p.Time, other.Time), cmp.Compare(p.ID, other.ID), cmp.Compare(p.Source, other.Source)) > 0
}

// A chunk is what a part of the search has found.
type chunk struct {
	at   time.Time                            // when windows end
	of   map[string]map[string]*record.Window // windows by profile, as the events name it
	end  place
	last bool // no chunk is behind it
	read uint64
}

// choose sees to it that the state has a type to be searched; false where all are done.
func (b *Backfill) choose(ctx context.Context, s *kept) (more bool, err error) {
	list := b.keptSince(s.Since, "")
	for _, a := range list { // sorted by type
		if a.Type < s.Type || a.Type == s.Type && s.Finished {
			continue
		}
		if a.Type == s.Type && s.Chunk > 0 {
			return true, nil
		}
		s.Type, s.Finished, s.Sending = a.Type, false, false
		s.Chunk, s.From, s.Horizon = s.Chunk+1, place{}, b.horizon(s.Since, a.Type)
		return true, b.save(ctx, s)
	}
	return false, nil
}

// horizon is up to when events lie in none of a type's windows, zero where one of the
// aggregates is of a lifetime.
func (b *Backfill) horizon(since uint64, eventType string) time.Time {
	longest := time.Duration(0)
	for _, a := range b.keptSince(since, eventType) {
		if a.Window == 0 {
			return time.Time{}
		}
		longest = max(longest, a.Window)
	}
	at := b.now().Add(-longest)
	if at.Year() < 1 {
		return time.Time{} // further back than times go
	}
	return at
}

// filter asks for the events of a type after a time, and at or after another one; either
// may be zero.
func filter(eventType string, horizon time.Time, from string) (store.Filter, error) {
	text := "event.type == " + string(sdk.AppendString(nil, eventType))
	if !horizon.IsZero() {
		text += ` && event.time > timestamp("` + sdk.FormatTime(horizon) + `")`
	}
	if from != "" {
		text += ` && event.time >= timestamp("` + from + `")`
	}
	program, err := condition.CompileCondition(text, condition.EventScope)
	if err != nil {
		return nil, fmt.Errorf("ask for events of type %q: %w", eventType, err)
	}
	return program, nil
}

// total is about how many events will be read.
func (b *Backfill) total(ctx context.Context, since uint64) (total uint64, err error) {
	asked := ""
	for _, a := range b.keptSince(since, "") {
		if a.Type == asked {
			continue
		}
		asked = a.Type
		events, err := filter(a.Type, b.horizon(since, a.Type), "")
		if err != nil {
			return 0, err
		}
		n, err := b.o.Store.Count(ctx, store.Events, events)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// search reads the chunk that the state names: up to its end, where that is known
// already, however many events have come into it since.
func (b *Backfill) search(ctx context.Context, s *kept) (*chunk, error) {
	events, err := filter(s.Type, s.Horizon, s.From.Time)
	if err != nil {
		return nil, err
	}
	list := b.keptSince(s.Since, s.Type)
	c := &chunk{at: b.now(), of: map[string]map[string]*record.Window{}}
	for cursor := ""; ; {
		page, err := b.o.Store.Query(ctx, store.Query{Kind: store.Events, Filter: events, Sort: "time", Limit: b.page, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for i := range page.Documents {
			d := &page.Documents[i]
			at := placeOf(d)
			if !at.after(s.From) {
				continue
			}
			if s.Sending && at.after(s.End) {
				return c.until(s), nil
			}
			c.end = at
			c.read++
			if d.Config != 0 && d.Config < s.Since {
				if err := c.enter(d, list); err != nil {
					return nil, err
				}
			}
		}
		cursor = page.Cursor
		switch {
		case s.Sending && cursor == "":
			return c.until(s), nil
		case !s.Sending && (cursor == "" || c.read >= b.chunk):
			c.last = cursor == ""
			return c, nil
		}
	}
}

// until is the chunk with the end that it is known to have.
func (c *chunk) until(s *kept) *chunk {
	c.end, c.last = s.End, s.Last
	return c
}

// enter enters a stored event into the windows of its profile.
func (c *chunk) enter(d *store.Document, list []profile.Aggregate) error {
	body := sdk.RawView(d.Body)
	id, _ := body.String("profile")
	if valid, _ := body.Bool("valid"); id == "" || !valid {
		return nil
	}
	e := sdk.Event{Properties: sdk.RawObject(body.Member("properties").Raw())}
	var timed, received bool
	e.Type, _ = body.String("type")
	e.Time, timed = body.Time("time")
	e.Received, received = body.Time("received")
	if !timed || !received {
		return fmt.Errorf("stored event %s has no time", d.ID)
	}
	windows := c.of[id]
	for i := range list {
		windows = list[i].Enter(windows, &e, c.at)
	}
	c.of[id] = windows
	return nil
}
