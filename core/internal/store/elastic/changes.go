package elastic

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// ProfileChanges implements [store.Reader]. Changes stand in the events that made them,
// and the others in indices of their own. Of changes received at the same time those of
// the first id are the later ones: what made two profiles one happened at the other first.
func (s *Store) ProfileChanges(ctx context.Context, q store.ChangesQuery) (store.Page, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return store.Page{}, err
	}
	if len(q.Profiles) == 0 {
		return store.Page{}, nil
	}
	var after *changeSeat
	if q.Cursor != "" {
		if after, err = parseChangeSeat(q.Cursor); err != nil {
			return store.Page{}, err
		}
	}
	if err := s.ready(ctx); err != nil {
		return store.Page{}, fmt.Errorf("query changes: %w", err)
	}
	page, err := s.changesPage(ctx, &q, after, limit)
	if err != nil {
		return store.Page{}, fmt.Errorf("query changes: %w", err)
	}
	return page, nil
}

// changesPage merges the changes of the profile's own id with those of the others.
func (s *Store) changesPage(ctx context.Context, q *store.ChangesQuery, after *changeSeat, limit int) (page store.Page, err error) {
	own := &changeStream{store: s, query: q, profiles: q.Profiles[:1], size: min(limit+1, step)}
	others := &changeStream{store: s, query: q, profiles: q.Profiles[1:], size: own.size}
	own.after, others.after = after.within(q.Profiles[0])
	if len(others.profiles) == 0 {
		others.ended = true
	}
	var last changeSeat
	for {
		a, err := own.peek(ctx)
		if err != nil {
			return store.Page{}, err
		}
		b, err := others.peek(ctx)
		if err != nil {
			return store.Page{}, err
		}
		from := own
		switch {
		case a == nil && b == nil:
			return page, nil
		case a == nil, b != nil && b.seat.received > a.seat.received:
			from = others
		}
		next := from.take()
		wanted, err := q.About(&next.document)
		if err != nil {
			return store.Page{}, err
		}
		if !wanted {
			continue
		}
		if len(page.Documents) == limit {
			page.Cursor = last.text()
			return page, nil
		}
		last = next.seat
		page.Documents = append(page.Documents, next.document)
	}
}

// A changeSeat is the place of a change among others, the last first.
type changeSeat struct {
	received string
	revision int64
	profile  string
	id       string
	source   string // of an event
}

// changeColumns are the fields that a changeSeat is of, in the order of its fields.
var changeColumns = []string{"received", "revision", "profile", "id", "source"}

// within gives the places from which to go on with the changes of the own id, and with
// those of the others: at the same time the own come first.
func (c *changeSeat) within(own string) (ownAfter, othersAfter *changeSeat) {
	if c == nil {
		return nil, nil
	}
	if c.profile == own {
		// All others received then are still to come.
		return c, &changeSeat{received: c.received, revision: mostRevision, profile: last, id: last, source: last}
	}
	return &changeSeat{received: c.received, revision: -1}, c
}

const (
	mostRevision = 1<<63 - 1
	// last comes after any text.
	last = "\U0010FFFF\U0010FFFF"
)

// A changeStream reads the changes of some ids, the last first.
type changeStream struct {
	store    *Store
	query    *store.ChangesQuery
	profiles []string
	size     int
	after    *changeSeat
	read     []change
	ended    bool
}

type change struct {
	document store.Document
	seat     changeSeat
}

// peek gives the next change, nil at the end.
func (c *changeStream) peek(ctx context.Context) (*change, error) {
	if len(c.read) == 0 && !c.ended {
		if err := c.more(ctx); err != nil {
			return nil, err
		}
	}
	if len(c.read) == 0 {
		return nil, nil
	}
	return &c.read[0], nil
}

func (c *changeStream) take() change {
	next := c.read[0]
	c.read = c.read[1:]
	return next
}

func (c *changeStream) more(ctx context.Context) error {
	received := query{}
	if !c.query.From.IsZero() {
		received["gte"] = sdk.FormatTime(c.query.From)
	}
	if !c.query.Before.IsZero() {
		received["lt"] = sdk.FormatTime(c.query.Before)
	}
	filters := []query{{"terms": query{"profile": c.profiles}}, {"exists": query{"field": "revision"}}}
	if len(received) > 0 {
		filters = append(filters, query{"range": query{"received": received}})
	}
	var sort []query
	for _, column := range changeColumns {
		how := query{"order": "desc"}
		if column == "received" {
			how["format"] = dateFormat
		}
		sort = append(sort, query{column: how})
	}
	body := query{"query": query{"bool": query{"filter": filters}}, "size": c.size, "sort": sort, "track_total_hits": false}
	if a := c.after; a != nil {
		body["search_after"] = []any{a.received, a.revision, a.profile, a.id, a.source}
	}
	s := c.store
	answer, err := s.search(ctx, place{target: s.aliases([]store.Kind{store.Events, store.Changes})}, body)
	if err != nil {
		return err
	}
	for i := range answer.Hits.Hits {
		one, err := s.changeOf(&answer.Hits.Hits[i])
		if err != nil {
			return err
		}
		c.read = append(c.read, one)
		c.after = &one.seat
	}
	c.ended = len(answer.Hits.Hits) < c.size
	return nil
}

// changeOf reads a change, which an event tells or which is one.
func (s *Store) changeOf(h *hit) (change, error) {
	parts := s.names.FindStringSubmatch(h.Index)
	if parts == nil {
		return change{}, fmt.Errorf("%w: index %s is none of the store's", store.ErrBroken, h.Index)
	}
	kind := store.Kind(parts[2])
	d, err := documentOf(kind, h.Source)
	if err != nil {
		return change{}, err
	}
	column := func(name string) string { return d.Column(slices.Index(kind.Columns(), name)) }
	one := change{document: d, seat: changeSeat{received: column("received"), revision: int64(d.Version), profile: column("profile"), id: column("id")}}
	if kind == store.Events {
		one.seat.source, one.seat.revision = column("source"), int64(d.Log.Revision)
		one.document, err = store.ChangeOfEvent(&d)
	}
	return one, err
}

func (c *changeSeat) text() string {
	return base64.RawURLEncoding.EncodeToString(sdk.AppendValue(nil, []any{string(store.Changes), c.received, c.revision, c.profile, c.id, c.source}))
}

func parseChangeSeat(text string) (*changeSeat, error) {
	list, ok := cursorList(text)
	c := &changeSeat{}
	if ok = ok && len(list) == 6 && list[0] == string(store.Changes); ok {
		var fits [5]bool
		c.received, fits[0] = list[1].(string)
		c.revision, fits[1] = list[2].(int64)
		c.profile, fits[2] = list[3].(string)
		c.id, fits[3] = list[4].(string)
		c.source, fits[4] = list[5].(string)
		ok = fits == [5]bool{true, true, true, true, true} && c.text() == text
	}
	if !ok {
		return nil, fmt.Errorf("%w: the cursor is none of this query: use the one of the page before, or none", store.ErrInvalid)
	}
	return c, nil
}
