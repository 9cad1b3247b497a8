package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tributary-bus/tributary/sdk"
)

// An Event is something that happened, as a client sends it. Type is required.
// An event without an ID gets one from the server, but then a repetition of
// the same call is a second event.
type Event struct {
	ID      string
	Type    string
	Time    time.Time // when it happened; zero for now
	Session string
	Profile string // a profile id that the server gave
	// ProfileLess says that the event is about nobody.
	ProfileLess bool
	IDs         map[string]string // identity kind → value, such as user → 17850
	Properties  map[string]any
	Traits      map[string]any
	Context     map[string]any
	Tags        []string
}

// MarshalJSON writes the event in the native form.
func (e Event) MarshalJSON() ([]byte, error) {
	m := map[string]any{"type": e.Type}
	for name, text := range map[string]string{"id": e.ID, "session": e.Session, "profile": e.Profile} {
		if text != "" {
			m[name] = text
		}
	}
	for name, object := range map[string]map[string]any{"properties": e.Properties, "traits": e.Traits, "context": e.Context} {
		if len(object) > 0 {
			m[name] = object
		}
	}
	if !e.Time.IsZero() {
		m["time"] = e.Time
	}
	if e.ProfileLess {
		m["profile_less"] = true
	}
	if len(e.IDs) > 0 {
		ids := make(map[string]any, len(e.IDs))
		for kind, value := range e.IDs {
			ids[kind] = value
		}
		m["ids"] = ids
	}
	if len(e.Tags) > 0 {
		m["tags"] = e.Tags
	}
	return sdk.AppendValue(nil, m), nil
}

// The values of a result's status.
const (
	Accepted  = "accepted"
	Duplicate = "duplicate" // known already: it has no further effect
	Invalid   = "invalid"   // not stored; sending it again does not help
	Retry     = "retry"     // not stored for sure; sending it again may help
)

// A Result says what became of one event.
type Result struct {
	ID     string       `json:"id"`
	Status string       `json:"status"`
	Error  *ResultError `json:"error"`
	// The others are only told to a caller who waits, and only of an event
	// whose outcome came in time. Profile and Session are empty where it has none.
	Profile string `json:"profile"`
	Session string `json:"session"`
	// Valid is false where the event breaks the schema of its type, with Errors
	// that say how: it is stored, changes nothing, and no flow runs for it. It
	// is nil where it is not known, as of most duplicates.
	Valid  *bool            `json:"valid"`
	Errors []sdk.FieldError `json:"errors"`
	// Response is what the flows of this event answered; empty where none did,
	// and for a caller who waited for another stage than [Flows].
	Response Response `json:"response"`
}

// A ResultError says why an event was not accepted.
type ResultError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// A Reply answers [Client.Send].
type Reply struct {
	Accepted int      `json:"accepted"` // how many of the events are
	Results  []Result `json:"results"`  // one for each event, in their order
	// Response is what the flows of all events answered; of a flow that answered
	// for several of them the last one.
	Response Response `json:"response"`
	// Waited is false where the time to wait ran out first, and nil otherwise.
	// What came in time is there all the same.
	Waited *bool `json:"waited"`
	// Raw is the answer as the server wrote it.
	Raw jsontext.Value `json:"-"`
}

// A SendOption changes what [Client.Send] waits for and returns.
type SendOption func(url.Values)

// Send sends the events as one request and returns when they are stored
// durably; with [Wait], when they have come further. Each event has its own
// result, so that one that was not accepted is no error of Send: see
// [Result.Status] and [Result.Error].
//
// An [*Error] with a status below 500 says that no event was stored. Any other
// error, such as a connection that broke or a context that ended, leaves open
// whether they were: events with an ID can be sent again, and have their effect
// once.
func (c *Client) Send(ctx context.Context, events []Event, options ...SendOption) (*Reply, error) {
	query := url.Values{}
	for _, option := range options {
		option(query)
	}
	reply := &Reply{}
	err := c.do(ctx, request{
		method: http.MethodPost, path: []string{"v1", "events"}, query: query, body: events, auth: c.key, out: &reply.Raw,
	})
	if err != nil {
		return nil, err
	}
	return reply, decode(reply.Raw, reply)
}
