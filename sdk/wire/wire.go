// Package wire is what travels between the flow engine and the action of a
// plugin: a [Call] and its [Reply], a JSON object each, over a NATS request to
// the action's subject. Plugin authors need package sdk only, which speaks it.
package wire

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Call asks an action for its work at one node of a flow's run:
//
//	{"id":"…","attempt":1,"timeout":10000,"flow":"thank-you","node":"vip","run":"…",
//	 "config":{…},"payload":…,"event":{…},"profile":{…},"session":{…}}
//
// The raw fields are valid JSON; an empty one is null.
type Call struct {
	// ID is the idempotency key: the same on every attempt of the same node of
	// the same run, and on no other call.
	ID      string
	Attempt int           // 1, 2, …
	Timeout time.Duration // how long the answer is waited for; whole milliseconds
	Flow    string
	Node    string
	Run     string
	Config  jsontext.Value // the node's config, rendered: an object
	Payload jsontext.Value // what the node before handed on
	Event   jsontext.Value // the event that the flow runs for
	Profile jsontext.Value // the profile as the run sees it; null for an event about nobody
	Session jsontext.Value // null where the event has none
}

// A Reply answers a call:
//
//	{"id":"…","port":"greeted","payload":…,"patches":[…],"events":[…]}
//	{"id":"…","error":{"message":"…","temporary":true}}
//
// A reply that names another call than the one it answers is refused.
type Reply struct {
	ID      string
	Port    string         // on which the run goes on
	Payload jsontext.Value // for the nodes behind it; empty is null
	Patches []Patch        // of the profile, in order
	Events  []Event        // to be sent about the same profile
	Error   *Error         // set: everything else is empty
}

// An Error says why an action failed.
type Error struct {
	Message string `json:"message"`
	// Temporary means that the same call may succeed a little later.
	Temporary bool `json:"temporary,omitempty"`
}

// A Patch changes a profile at one place:
//
//	{"op":"set","path":"traits.vip","value":true}
type Patch struct {
	Op   Op     `json:"op"`
	Path string `json:"path"` // as package sdk's ParsePath reads it
	// Value is the operand; empty for OpDelete, OpEnter and OpLeave.
	Value jsontext.Value `json:"value,omitempty"`
}

// An Op is what a patch, or a copy rule of an event type, does to its place in
// the profile.
type Op string

// The operations. Increment and decrement treat what is missing as 0; append
// and remove are those of lists. Enter and leave are those of segments: their
// path is segments and the segment's id, such as segments.loyal.
const (
	OpSet          Op = "set"
	OpSetIfMissing Op = "set-if-missing"
	OpAppend       Op = "append"
	OpRemove       Op = "remove"
	OpIncrement    Op = "increment"
	OpDecrement    Op = "decrement"
	OpDelete       Op = "delete"
	OpEnter        Op = "enter"
	OpLeave        Op = "leave"
)

// An Event is one that an action sends: {"type":"…","properties":{…}}.
type Event struct {
	Type       string         `json:"type"`
	Properties jsontext.Value `json:"properties,omitempty"` // an object; empty is {}
	Traits     jsontext.Value `json:"traits,omitempty"`     // an object; empty is none
	Context    jsontext.Value `json:"context,omitempty"`    // an object; empty is none
}

// What a reply may hold at most.
const (
	MaxReply   = 1 << 20 // bytes, encoded
	MaxPatches = 1000
	MaxEvents  = 100
)

// MaxID is how many bytes the id of a call may have.
const MaxID = 1 << 10

// MaxTimeout is how long an answer can be waited for at most.
const MaxTimeout = 24 * time.Hour
