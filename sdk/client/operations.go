package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Status is how a server stands.
type Status struct {
	Version    string `json:"version"`
	PID        int    `json:"pid"`
	Started    Time   `json:"started"`
	Node       string `json:"node"`
	Partitions int    `json:"partitions"`
	Durability string `json:"durability"`
	Revision   uint64 `json:"revision"` // of the configuration
	// Parts are the state of each part: ok, degraded or down.
	Parts []Part `json:"parts"`
	// Lag is how far each consumer is behind, in the order in which events
	// pass them.
	Lag []Lag `json:"lag"`
	// Ingest is what waits in the log: messages and bytes.
	Ingest Backlog `json:"ingest"`
}

// A Part is one part of the server.
type Part struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, degraded, down
	Reason string `json:"reason,omitzero"`
}

// A Lag tells how far a consumer has read a stream: all up to Position is done,
// and End is the stream's last message.
type Lag struct {
	Consumer string `json:"consumer"`
	Stream   string `json:"stream"`
	Position uint64 `json:"position"`
	End      uint64 `json:"end"`
}

// A Backlog is what a stream holds.
type Backlog struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// Status tells how the server stands.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	status := &Status{}
	r := c.admin(http.MethodGet, "status")
	r.out = status
	return status, c.do(ctx, r)
}

const (
	settlePoll   = 100 * time.Millisecond
	settleRounds = 4
)

// Settle waits until all that was sent before the call is processed and can be
// queried, also what it caused in turn. It calls report, unless nil, with the
// consumer that is waited for and how many messages it has left.
func (c *Client) Settle(ctx context.Context, report func(consumer string, left uint64)) error {
	// What a consumer does may put more into a stream before it: a round in
	// which nobody was behind is the last. Under steady load from others
	// there is always somebody behind, therefore the bound.
	for range settleRounds {
		behind, err := c.settleOnce(ctx, report)
		if err != nil || !behind {
			return err
		}
	}
	return nil
}

func (c *Client) settleOnce(ctx context.Context, report func(consumer string, left uint64)) (behind bool, err error) {
	status, err := c.Status(ctx)
	if err != nil {
		return false, err
	}
	for i := range status.Lag {
		end := status.Lag[i].End
		for status.Lag[i].Position < end {
			behind = true
			if report != nil {
				report(status.Lag[i].Consumer, end-status.Lag[i].Position)
			}
			if err := sleep(ctx, settlePoll); err != nil {
				return behind, err
			}
			next, err := c.Status(ctx)
			if err != nil {
				return behind, err
			}
			if len(next.Lag) != len(status.Lag) {
				return behind, errors.New("the server's consumers changed while waiting for them")
			}
			status = next
		}
	}
	return behind, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A DeadLetter is what could not be processed.
type DeadLetter struct {
	Seq      uint64         `json:"seq"`
	Origin   string         `json:"origin"`
	Reason   string         `json:"reason"`
	Attempts int            `json:"attempts"`
	Time     Time           `json:"time"`
	Details  jsontext.Value `json:"details,omitzero"`
	// Payload is JSON where what failed was JSON, else a JSON string.
	Payload jsontext.Value `json:"payload,omitzero"`
}

// DeadLetters lists dead letters in order of arrival, without their payloads:
// of one origin or, if it is empty, of all; those after a sequence; at most
// limit of them, or the server's default if it is 0.
func (c *Client) DeadLetters(ctx context.Context, origin string, after uint64, limit int) ([]DeadLetter, error) {
	var list struct {
		Items []DeadLetter `json:"items"`
	}
	r := c.admin(http.MethodGet, "deadletters")
	r.query = url.Values{}
	if origin != "" {
		r.query.Set("origin", origin)
	}
	if after > 0 {
		r.query.Set("after", strconv.FormatUint(after, 10))
	}
	if limit > 0 {
		r.query.Set("limit", strconv.Itoa(limit))
	}
	r.out = &list
	return list.Items, c.do(ctx, r)
}

// DeadLetter returns one dead letter with its payload.
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (*DeadLetter, error) {
	letter := &DeadLetter{}
	r := c.admin(http.MethodGet, "deadletters", strconv.FormatUint(seq, 10))
	r.out = letter
	return letter, c.do(ctx, r)
}
