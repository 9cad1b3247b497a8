package flow

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A state is how far a run is with one node.
type state uint8

const (
	waiting state = iota // not all that leads to it is decided
	running              // handed out by plan
	done                 // it left by a port
	skipped              // nothing leads to it any more
)

// A step is a node's part of a run.
type step struct {
	state   state
	port    string // done: by which it left
	payload value  // done: what it hands on
}

// A progress is where a run stands: a value, changed by [plan] alone.
type progress struct {
	flow  *config.Flow
	steps []step
	// response is what core/result gave last; answered tells whether it ran.
	response value
	answered bool
	patches  []wire.Patch
	events   []wire.Event
	// failure ends the run: nothing of it is committed.
	failure *failure
}

// A failure is why a run failed.
type failure struct {
	Node, Message string
	Attempts      int
	// kept is true where there is a dead letter already.
	kept bool
	// stop is set where the run did not fail but was stopped: nothing of it is kept.
	stop *stopped
}

// A result is what became of a node.
type result struct {
	node     int
	port     string
	payload  value
	patches  []wire.Patch
	events   []wire.Event
	response value // of core/result
	answered bool
	attempts int
	took     time.Duration // over all attempts; 0: not known
	// err is why the node failed: it leaves by its error port.
	err error
	// fatal ends the run whatever the node's error port leads to: core/fail.
	fatal bool
}

func newProgress(f *config.Flow) *progress {
	return &progress{flow: f, steps: make([]step, len(f.Nodes))}
}

// plan takes the results of nodes into a run's progress and returns the nodes
// that are to be worked on now, in the order of the flow; they count as running
// until their result comes. The run has ended when none is returned and none is
// running, or when it has failed.
//
// A node is worked on once, when every edge that leads to it has fired or can no
// longer fire and at least one has fired; core/join says otherwise.
func plan(p *progress, results ...result) []int {
	for i := range results {
		p.take(&results[i])
	}
	if p.failure != nil {
		return nil
	}
	var next []int
	for changed := true; changed; {
		changed = false
		for i := range p.flow.Nodes {
			if p.steps[i].state != waiting {
				continue
			}
			if s := p.ready(&p.flow.Nodes[i]); s != waiting {
				p.steps[i].state, changed = s, true
				if s == running {
					next = append(next, i)
				}
			}
		}
	}
	slices.Sort(next)
	return next
}

func (p *progress) take(r *result) {
	node := &p.flow.Nodes[r.node]
	if r.err == nil {
		p.steps[r.node] = step{state: done, port: r.port, payload: r.payload}
		p.patches = append(p.patches, r.patches...)
		p.events = append(p.events, r.events...)
		if r.answered {
			p.response, p.answered = r.response, true
		}
		return
	}
	failed := failure{Node: node.ID, Message: r.err.Error(), Attempts: r.attempts}
	handled := slices.ContainsFunc(node.Out, func(e config.FlowEdge) bool { return e.Port == config.PortError })
	if r.fatal || !handled {
		if p.failure == nil {
			p.failure = &failed
		}
		return // as if it were still running: a journal must not have it done
	}
	p.steps[r.node] = step{state: done, port: config.PortError, payload: decoded(map[string]any{"error": map[string]any{
		"message": failed.Message, "node": failed.Node, "attempts": int64(failed.Attempts),
	}})}
}

// ready tells what a waiting node is now.
func (p *progress) ready(n *config.FlowNode) state {
	fired, open := 0, 0
	for _, e := range n.In {
		switch p.edge(e) {
		case done:
			fired++
		case waiting:
			open++
		}
	}
	dead := len(n.In) - fired - open
	switch {
	case n.Action == actionJoin && n.Join == config.JoinAny && fired > 0:
		return running
	case n.Action == actionJoin && n.Join == config.JoinAll && dead > 0:
		return skipped
	case open > 0:
		return waiting
	case fired == 0:
		return skipped
	}
	return running
}

// edge tells whether an edge has fired (done), never will (skipped), or may
// (waiting).
func (p *progress) edge(e config.FlowEdge) state {
	if e.From < 0 {
		return done
	}
	switch s := &p.steps[e.From]; s.state {
	case done:
		if s.port == e.Port || e.Port == "" && s.port != config.PortError {
			return done
		}
		return skipped
	case skipped:
		return skipped
	}
	return waiting
}

// payload is what a node gets: of the edges that have fired, the payload of the
// first in the order of the flow, and a join a map of them all, by node.
func (p *progress) payload(node int) value {
	n := &p.flow.Nodes[node]
	all := map[string]any{}
	for _, e := range n.In {
		if p.edge(e) != done {
			continue
		}
		from := value{}
		if e.From >= 0 {
			from = p.steps[e.From].payload
		}
		if n.Action != actionJoin {
			return from
		}
		if e.From >= 0 {
			all[p.flow.Nodes[e.From].ID] = from.decode()
		}
	}
	if n.Action != actionJoin {
		return value{}
	}
	return decoded(all)
}

// The engine's own nodes.
const (
	actionIf     = "core/if"
	actionSwitch = "core/switch"
	actionJoin   = "core/join"
	actionResult = "core/result"
	actionLog    = "core/log"
	actionFail   = "core/fail"
)

// A value is JSON, as the text that it came in or as what it was decoded to. The
// zero value is null. It is not changed, so runs may share it.
type value struct {
	text  jsontext.Value
	plain any
}

func decoded(v any) value { return value{plain: v} }

// decode returns the value as package sdk has it; it must not be changed.
func (v value) decode() any {
	if v.plain != nil || len(v.text) == 0 {
		return v.plain
	}
	// The text was checked when it came in.
	plain, err := sdk.ParseValue(v.text)
	if err != nil {
		return nil
	}
	return plain
}

// view returns the value as conditions read it.
func (v value) view() any {
	if v.plain != nil || len(v.text) == 0 {
		return v.plain
	}
	return sdk.RawView(v.text)
}

// raw returns the value as JSON; null is empty.
func (v value) raw() jsontext.Value {
	if len(v.text) > 0 || v.plain == nil {
		return v.text
	}
	return sdk.AppendValue(nil, v.plain)
}

// A stored progress is what a journalled run keeps of it. Nodes go by their id:
// that is what a flow's definition promises to keep.
type storedProgress struct {
	Steps    map[string]storedStep `json:"steps,omitempty"`
	Response jsontext.Value        `json:"response,omitempty"`
	Answered bool                  `json:"answered,omitempty"`
	Patches  []wire.Patch          `json:"patches,omitempty"`
	Events   []wire.Event          `json:"events,omitempty"`
}

type storedStep struct {
	Port    string         `json:"port"`
	Payload jsontext.Value `json:"payload,omitempty"`
}

// store returns what is to be kept of the progress: what nodes that are running
// will have done is not part of it, they are worked on again.
func (p *progress) store() storedProgress {
	s := storedProgress{
		Steps: map[string]storedStep{}, Response: p.response.raw(), Answered: p.answered, Patches: p.patches, Events: p.events,
	}
	for i := range p.steps {
		if st := &p.steps[i]; st.state == done {
			s.Steps[p.flow.Nodes[i].ID] = storedStep{Port: st.port, Payload: st.payload.raw()}
		}
	}
	return s
}

// restore makes the progress of what was stored.
func (s *storedProgress) restore(f *config.Flow) (*progress, error) {
	p := newProgress(f)
	for id, st := range s.Steps {
		i := slices.IndexFunc(f.Nodes, func(n config.FlowNode) bool { return n.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("flow %s has no node %s any more", f.ID, id)
		}
		p.steps[i] = step{state: done, port: st.Port, payload: value{text: st.Payload}}
	}
	p.response, p.answered, p.patches, p.events = value{text: s.Response}, s.Answered, s.Patches, s.Events
	return p, nil
}
