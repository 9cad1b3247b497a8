package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// The bounds of a bulk request, but for a single document that is over them.
const (
	mostBulk      = 5 << 20
	mostBulkLines = 2000
)

// patience is how long documents are sent again of which the nodes say that there are
// too many now.
const patience = 30 * time.Second

// An outcome is what became of one action.
type outcome struct {
	status int
	kind   string
	reason string
	result string
}

// refused tells that the action is wrong in itself.
func (o *outcome) refused() bool { return o.status == http.StatusBadRequest }

// bulk carries out actions in order and tells what became of each: it was done, was not
// needed, since what is there is newer or gone, or was refused. Otherwise it returns an
// error, and some are carried out.
func (s *Store) bulk(ctx context.Context, actions [][]byte) ([]outcome, error) {
	outcomes := make([]outcome, len(actions))
	for start := 0; start < len(actions); {
		end, size := start, 0
		for end < len(actions) && end-start < mostBulkLines && (end == start || size+len(actions[end]) <= mostBulk) {
			size += len(actions[end])
			end++
		}
		if err := s.send(ctx, actions[start:end], outcomes[start:end]); err != nil {
			return nil, err
		}
		start = end
	}
	return outcomes, nil
}

// send sends actions as one request, and those for which there was no room again.
func (s *Store) send(ctx context.Context, actions [][]byte, outcomes []outcome) error {
	left := make([]int, len(actions))
	for i := range left {
		left[i] = i
	}
	end := time.Now().Add(patience)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		var err error
		if left, err = s.sendOnce(ctx, actions, outcomes, left); err != nil || len(left) == 0 {
			return err
		}
		if time.Now().Add(pause).After(end) {
			o := outcomes[left[0]]
			return fmt.Errorf("%w: for %s Elasticsearch has no room for %d documents: %s: %s", store.ErrUnavailable, patience, len(left), o.kind, bounded(o.reason))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.client.closed.Done():
			return errClosed
		case <-time.After(pause):
		}
	}
}

// sendOnce sends the actions at some places, and returns the places of those for which
// there was no room.
func (s *Store) sendOnce(ctx context.Context, actions [][]byte, outcomes []outcome, places []int) ([]int, error) {
	var body []byte
	for _, i := range places {
		body = append(body, actions[i]...)
	}
	text, err := s.client.do(ctx, "POST", "/_bulk", params("filter_path", "items.*.status,items.*.result,items.*.error"), body)
	if f := (*failure)(nil); errors.As(err, &f) && f.status == http.StatusRequestEntityTooLarge {
		if len(places) > 1 {
			return s.sendHalves(ctx, actions, outcomes, places)
		}
		outcomes[places[0]] = outcome{status: http.StatusBadRequest, kind: "request_too_large", reason: fmt.Sprintf("%d bytes are more than the nodes take at once", len(body))}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bulk of %d documents: %w", len(places), err)
	}
	var answer struct {
		Items []map[string]struct {
			Status int    `json:"status"`
			Result string `json:"result"`
			Error  cause  `json:"error"`
		} `json:"items"`
	}
	if err := readAnswer(text, &answer); err != nil {
		return nil, err
	}
	if len(answer.Items) != len(places) {
		return nil, fmt.Errorf("%w: Elasticsearch tells of %d documents of %d", store.ErrUnavailable, len(answer.Items), len(places))
	}
	var again []int
	for n, item := range answer.Items {
		for _, one := range item {
			o := outcome{status: one.Status, result: one.Result}
			o.kind, o.reason = one.Error.deepest()
			outcomes[places[n]] = o
			switch {
			case o.status < 300, o.refused(), o.status == http.StatusConflict, o.status == http.StatusNotFound && o.kind == "":
			case o.status == http.StatusTooManyRequests && o.kind != "cluster_block_exception":
				again = append(again, places[n])
			default:
				// A block ends by an operator; a missing index comes with the next batch.
				return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, &failure{status: o.status, kind: o.kind, reason: o.reason})
			}
		}
	}
	return again, nil
}

// sendHalves sends what is too large at once in two requests, one after the other.
func (s *Store) sendHalves(ctx context.Context, actions [][]byte, outcomes []outcome, places []int) ([]int, error) {
	middle := len(places) / 2
	again, err := s.sendOnce(ctx, actions, outcomes, places[:middle])
	if err != nil {
		return nil, err
	}
	rest, err := s.sendOnce(ctx, actions, outcomes, places[middle:])
	return slices.Concat(again, rest), err
}
