package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// The states of an erasure.
const (
	Erasing = "erasing" // under way: it goes on by itself, also after a restart
	Erased  = "erased"  // every part is done, and has been looked at again
)

// An Erasure is the report of a profile's erasure. It tells ids, counts and times,
// and nothing of the person.
type Erasure struct {
	Profile   string   `json:"profile"` // the id that the profile had
	IDs       []string `json:"ids"`     // every id that it ever had
	State     string   `json:"state"`
	Requested Time     `json:"requested"`
	Erased    Time     `json:"erased,omitzero"` // when the last part was done
	By        string   `json:"by"`              // who asked for it
	// Parts are what is done, in this order.
	Parts []ErasurePart `json:"parts"`
	// Kept says in sentences what no erasure reaches, and how long it stays.
	Kept []string `json:"kept,omitzero"`
}

// An ErasurePart is one place that a profile is erased from.
type ErasurePart struct {
	Name    string `json:"name"`
	Removed uint64 `json:"removed"` // documents or messages
	// Remaining is how many were found when it was looked at again.
	Remaining uint64 `json:"remaining"`
	At        Time   `json:"at,omitzero"` // when it was done; zero: it is not yet
	// Error is why the last attempt failed; it is tried again.
	Error string `json:"error,omitzero"`
}

// EraseProfile erases a profile, by any id it ever had or by kind:value, such as
// user:17850, and returns the report. The profile is gone, and late events are kept
// out, when the report's first part is done; what is left goes on by itself. To ask
// for the same again is harmless.
func (c *Client) EraseProfile(ctx context.Context, id string) (*Erasure, error) {
	return c.erasure(ctx, c.admin(http.MethodDelete, "profiles", id))
}

// Erasure returns the report of an erasure, by any id that the profile had.
func (c *Client) Erasure(ctx context.Context, profile string) (*Erasure, error) {
	return c.erasure(ctx, c.admin(http.MethodGet, "erasures", profile))
}

func (c *Client) erasure(ctx context.Context, r request) (*Erasure, error) {
	report := &Erasure{}
	r.out = report
	return report, c.do(ctx, r)
}

// Erasures returns the reports of the latest erasures, the latest first, without what
// is kept: at most limit, or the server's default if it is 0.
func (c *Client) Erasures(ctx context.Context, limit int) ([]Erasure, error) {
	var list struct {
		Items []Erasure `json:"items"`
	}
	r := c.admin(http.MethodGet, "erasures")
	if limit > 0 {
		r.query = url.Values{"limit": {strconv.Itoa(limit)}}
	}
	r.out = &list
	return list.Items, c.do(ctx, r)
}
