package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// A Resource is one piece of configuration, such as a source.
type Resource struct {
	Kind string         `json:"kind"`
	ID   string         `json:"id"`
	Spec jsontext.Value `json:"spec"`
	// Revision is the configuration's revision that last changed it; the
	// server ignores what a client sends here.
	Revision uint64 `json:"revision,omitzero"`
	// BuiltIn is true for what the product itself brings: nobody applied it, and
	// a resource of the same kind and id replaces it. The server ignores what a
	// client sends here.
	BuiltIn bool `json:"built_in,omitzero"`
	// Backfilling is true while windows or sums that its conditions read are being
	// filled from stored events: until then they hold what came since, and a part of
	// what was before. Backfill then says how far that is. The server ignores what a
	// client sends here.
	Backfilling bool      `json:"backfilling,omitzero"`
	Backfill    *Backfill `json:"backfill,omitempty"`
}

// A Backfill says how many stored events have been read for new windows, of about how
// many; both are 0 before it has begun.
type Backfill struct {
	Read  uint64 `json:"read"`
	Total uint64 `json:"total"`
}

// The values of a difference's action.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Deleted   = "deleted"
)

// A Difference says what an apply did to one resource.
type Difference struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Action string `json:"action"`
	// Backfilling is that of the resource as it is now, or would be after a dry run.
	Backfilling bool `json:"backfilling,omitzero"`
}

// An ApplyResult is the configuration's revision after an apply, and what the
// apply changed.
type ApplyResult struct {
	Revision    uint64       `json:"revision"`
	Differences []Difference `json:"differences"`
}

// Apply makes the resources what they say, all or none of them. With dryRun it
// only tells what would change. It returns when every partition works by them.
func (c *Client) Apply(ctx context.Context, resources []Resource, dryRun bool) (*ApplyResult, error) {
	r := c.admin(http.MethodPost, "apply")
	if dryRun {
		r.query = url.Values{"dry-run": {"true"}}
	}
	result := &ApplyResult{}
	r.body, r.out = struct {
		Resources []Resource `json:"resources"`
	}{resources}, result
	return result, c.do(ctx, r)
}

// Resources lists the resources of a kind that were applied, by id.
func (c *Client) Resources(ctx context.Context, kind string) ([]Resource, error) {
	return c.resources(ctx, kind, nil)
}

// AllResources lists the resources of a kind, and what is built in and not
// replaced by one of them, by id.
func (c *Client) AllResources(ctx context.Context, kind string) ([]Resource, error) {
	return c.resources(ctx, kind, url.Values{"built-in": {"true"}})
}

func (c *Client) resources(ctx context.Context, kind string, query url.Values) ([]Resource, error) {
	var list struct {
		Items []Resource `json:"items"`
	}
	r := c.admin(http.MethodGet, kind)
	r.query, r.out = query, &list
	return list.Items, c.do(ctx, r)
}

// Resource reads one resource, or what is built in under its kind and id.
func (c *Client) Resource(ctx context.Context, kind, id string) (*Resource, error) {
	resource := &Resource{}
	r := c.admin(http.MethodGet, kind, id)
	r.out = resource
	return resource, c.do(ctx, r)
}

// DeleteResource removes one resource. What is built in under its kind and id is
// back then.
func (c *Client) DeleteResource(ctx context.Context, kind, id string) error {
	return c.do(ctx, c.admin(http.MethodDelete, kind, id))
}
