package client

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// A Stage is how far events have come when [Client.Send] returns.
type Stage string

// The stages beyond an event's being stored, which is always waited for.
const (
	// Processed is when the events have changed their profiles, so that
	// [Client.Profile] shows it.
	Processed Stage = "processed"
	// Flows is when the events' flows have ended as well and what those want of
	// the profiles is done. The reply has what they answered, in its Response.
	Flows Stage = "flows"
	// Indexed is when [Client.Query] and [Client.Count] find the events and
	// what they changed.
	Indexed Stage = "indexed"
)

// Wait has Send return only when the events have come as far as the stage. The
// server waits up to 30 s; past that the reply's Waited is false, and the
// events go on: they are stored, and what they cause is not undone.
func Wait(stage Stage) SendOption { return func(q url.Values) { q.Set("wait", string(stage)) } }

// ErrNoResponse says that a flow gave no answer: it has no core/result that was
// reached, it failed, its trigger did not hold, it did not end in time, or
// nobody waited for [Flows].
var ErrNoResponse = errors.New("no response")

// A Response is what flows answered: by the flow's id the value of its
// core/result, of which the last one counts that a run reaches. A value is
// JSON of any type; integers beyond 2^53 stay exact:
//
//	Response{"thank-you": `{"thanks":"Ann","vip":true}`, "price": `12.5`}
//
// A flow that gave no answer is not in it.
type Response map[string]jsontext.Value

// Decode reads what a flow answered into what the pointer points to, as JSON
// is decoded: a struct by the names of its tags, an any as map, list, text,
// float64, truth value or nil. It fails with [ErrNoResponse] where the flow
// gave no answer, and leaves the value alone then.
func (r Response) Decode(flow string, into any) error {
	value, ok := r[flow]
	if !ok {
		return fmt.Errorf("flow %s: %w", flow, ErrNoResponse)
	}
	if err := decode(value, into); err != nil {
		return fmt.Errorf("response of flow %s: %w", flow, err)
	}
	return nil
}
