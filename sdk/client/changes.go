package client

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Change is an entry of a profile's change log: what was changed at once, when, and
// by whom.
type Change struct {
	ID       string    `json:"id"`
	Profile  string    `json:"profile"`  // the id that the profile had then
	Revision uint64    `json:"revision"` // of the profile, after the change
	Time     time.Time `json:"time"`     // the event's, or when it was received
	Received time.Time `json:"received"`
	By       ChangeBy  `json:"by"`
	// Changes are the values since, by path; null where nothing stands any more.
	Changes map[string]jsontext.Value `json:"changes"`
	// Cut names the paths of which Changes has the beginning of a long value's text.
	Cut []string `json:"cut,omitzero"`
	// Omitted counts the places that were changed, too, and of which nothing is told.
	Omitted int `json:"omitted,omitzero"`
}

// A ChangeBy says who changed a profile.
type ChangeBy struct {
	// Kind is event, system (an event of the product's own), flow, plugin or merge.
	Kind string `json:"kind"`
	// ID is the event's, the run's, that of the plugin's request, or of the other profile.
	ID     string `json:"id,omitzero"`
	Name   string `json:"name,omitzero"`   // the event's type, the flow's id or the plugin's name
	Source string `json:"source,omitzero"` // the event's
}

// A ChangesQuery asks for a part of a change log; the zero value asks for its end.
type ChangesQuery struct {
	Path         string    // only changes of this place, places in it and what it is in
	From, Before time.Time // only changes received from then on, and before then
	Limit        int       // at most this many in a page; 0 for the server's default
	Cursor       string    // where the page before this one ended
}

// ProfileChanges tells who changed what of a profile, the last change first, from the
// query store; the items of the page are JSON of [Change]. The profile is named as for
// [Client.Profile].
func (c *Client) ProfileChanges(ctx context.Context, id string, q ChangesQuery) (*Page, error) {
	page := &Page{}
	r := c.admin(http.MethodGet, "profiles", id, "changes")
	r.query, r.out = paged(q.Limit, q.Cursor), page
	if q.Path != "" {
		r.query.Set("path", q.Path)
	}
	if !q.From.IsZero() {
		r.query.Set("from", q.From.Format(time.RFC3339Nano))
	}
	if !q.Before.IsZero() {
		r.query.Set("before", q.Before.Format(time.RFC3339Nano))
	}
	return page, c.do(ctx, r)
}
