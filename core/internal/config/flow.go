package config

import (
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Flow is a workflow: nodes in a directed graph without cycles, run for each
// event that its trigger holds for.
type Flow struct {
	ID, Name, Description string
	// Disabled flows are kept and not run.
	Disabled bool
	Trigger  Trigger
	// Consents are those that a profile must have given for the flow to be run.
	Consents []string
	// Nodes are sorted by id. Their edges name them by index.
	Nodes []FlowNode
	// Start lists the nodes that start leads to, in the order of the edges.
	Start []int

	edges []writtenEdge // all of them, in the order of the file
}

// A Trigger says which events a flow runs for.
type Trigger struct {
	Event string // the type
	// Segment, where it is there, is the one whose system events of the type count,
	// and no others: anybody may send an event of that type.
	Segment string
	// Condition, where it is there, must hold at the moment when the run begins.
	Condition *condition.Program
	// OfEvent is true where Condition reads the event alone, so that it can be
	// asked before the profile is known.
	OfEvent bool
}

// Covers tells whether an event of the trigger's type is one that the flow may run for,
// but for its condition.
func (t *Trigger) Covers(event sdk.View) bool {
	if t.Segment == "" {
		return true
	}
	source, _ := event.String("source")
	segment, _ := event.String("properties.segment")
	return source == record.SourceSystem && segment == t.Segment
}

// A FlowNode is one step of a flow.
type FlowNode struct {
	ID     string
	Action string // plugin/action, or core/…
	// Config of a plugin's action; of the engine's own nodes one of the
	// following is set instead, all of them nil for core/join's default.
	Config *NodeConfig
	If     *condition.Program // core/if
	Switch []SwitchCase       // core/switch, in order; then the port "default"
	Join   JoinMode           // core/join
	Result *NodeConfig        // core/result: the value
	Log    *LogNode           // core/log
	Fail   *NodeConfig        // core/fail: the message, a text
	// Timeout of a call, 10 s unless said; Retries is how often a call is
	// tried again whose process died, or that failed for a while, 3 unless said.
	Timeout time.Duration
	Retries int
	// In lists the edges that lead here, in the order of the file; Out those
	// that lead on.
	In, Out []FlowEdge

	written *node // for the lines of what is found wrong with it later
}

// A FlowEdge leads from a node's port to a node.
type FlowEdge struct {
	From int    // index of the node, -1: start
	Port string // empty: whichever port the action has, but for error
	To   int
}

// A SwitchCase leads to its port where its condition is the first to hold.
type SwitchCase struct {
	Port string
	When *condition.Program
}

// A LogNode is what core/log writes.
type LogNode struct {
	Message *NodeConfig
	Level   string // debug, info, warn or error
}

// A JoinMode says what core/join waits for.
type JoinMode string

// The modes. A join for all of whose edges not all fire is not run, nor is what
// follows it.
const (
	JoinAll JoinMode = "all" // every edge has fired
	JoinAny JoinMode = "any" // one edge has fired
)

// The ports that the engine knows.
const (
	PortDone    = "done"  // of an action that names none
	PortError   = "error" // of every action
	PortTrue    = "true"  // core/if
	PortFalse   = "false" // core/if
	PortDefault = "default"
)

// Actions is what the plugins offer: the catalogue against which flows are
// checked when they are applied.
type Actions interface {
	// Action returns an action by plugin/action; false where there is none.
	Action(id string) (ActionSpec, bool)
	// ActionIDs lists all of them, sorted.
	ActionIDs() []string
}

// An ActionSpec is what an action takes and where it leads.
type ActionSpec struct {
	ID          string
	Description string
	Ports       []string // without error
	Config      *Schema  // of its config; nil: anything goes
}
