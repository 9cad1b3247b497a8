package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A Query asks for documents of the query store.
type Query struct {
	Filter string `json:"filter,omitzero"` // a condition; empty for all
	Sort   string `json:"sort,omitzero"`   // a path such as traits.total; with a minus first, descending
	Limit  int    `json:"limit,omitzero"`  // at most this many in a page; 0 for the server's default
	Cursor string `json:"cursor,omitzero"` // where the page before this one ended
}

// A Page is part of an answer. Cursor asks for the next one and is empty after
// the last.
type Page struct {
	Items  []jsontext.Value `json:"items"`
	Cursor string           `json:"cursor"`
}

// The documents that can be queried.
const (
	Profiles = "profiles"
	Events   = "events"
	Sessions = "sessions"
)

// Query returns documents, as JSON, from the query store, which is normally
// less than a second behind.
func (c *Client) Query(ctx context.Context, documents string, q Query) (*Page, error) {
	page := &Page{}
	r := c.admin(http.MethodPost, documents, "query")
	r.body, r.out = q, page
	return page, c.do(ctx, r)
}

// Count tells how many documents the condition holds for.
func (c *Client) Count(ctx context.Context, documents, filter string) (int64, error) {
	var answer struct {
		Count int64 `json:"count"`
	}
	r := c.admin(http.MethodPost, documents, "count")
	r.body, r.out = Query{Filter: filter}, &answer
	return answer.Count, c.do(ctx, r)
}

// Profile returns a profile, as JSON, by any id it ever had or by kind:value,
// such as user:17850. It reads the bus, so it shows what a caller who waited
// for "processed" wrote.
func (c *Client) Profile(ctx context.Context, id string) (jsontext.Value, error) {
	var profile jsontext.Value
	r := c.admin(http.MethodGet, "profiles", id)
	r.out = &profile
	return profile, c.do(ctx, r)
}

// ProfileEvents returns a profile's events, the latest first.
func (c *Client) ProfileEvents(ctx context.Context, id string, limit int, cursor string) (*Page, error) {
	page := &Page{}
	r := c.admin(http.MethodGet, "profiles", id, "events")
	r.query, r.out = paged(limit, cursor), page
	return page, c.do(ctx, r)
}

func paged(limit int, cursor string) url.Values {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	return query
}
