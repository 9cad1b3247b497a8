package flow

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk"
)

// What a run does is told to those who listen to its flow, step by step. Where
// nobody does, nothing is made of it. A run does not wait for what is told.

type telling interface {
	TellSteps() (*bus.StepTeller, error)
}

// A toldStep is a step as it is told: a run has begun, a node has ended, the run
// has ended. It has nothing of what a node was given, and of what it answered only
// why it failed.
type toldStep struct {
	Flow    string  `json:"flow"`
	Run     string  `json:"run"`
	Event   string  `json:"event"`
	Profile *string `json:"profile"` // null: the event is about nobody
	Step    string  `json:"step"`
	// Node and Action are of a node that has ended, or at the end of a run that has
	// failed of the one that it failed at, if any.
	Node   string `json:"node,omitempty"`
	Action string `json:"action,omitempty"`
	// Port is what a node left by; empty where the run has failed at it.
	Port     string `json:"port,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	// Outcome is what a run has ended with.
	Outcome string `json:"outcome,omitempty"`
	// Took is in milliseconds; nil where nobody listened when it began.
	Took  *float64 `json:"took_ms,omitempty"`
	Error string   `json:"error,omitempty"`
	Time  string   `json:"time"`
}

// The steps of a run, and what it ends with.
const (
	stepBegun = "begun"
	stepNode  = "node"
	stepEnded = "ended"

	outcomeOK       = "ok"
	outcomeAnswered = "answered"
	outcomeFailed   = "failed"
	outcomeStopped  = "stopped"
)

// listened tells whether somebody listens to the run's flow.
func (r *run) listened() bool { return r.lane.session.engine.steps.Listened(r.flow.ID) }

// clock is the time where somebody listens, else zero.
func (r *run) clock() time.Time {
	if !r.listened() {
		return time.Time{}
	}
	return time.Now()
}

// tellBegun tells that the trigger has held.
func (r *run) tellBegun() {
	if r.since = r.clock(); !r.since.IsZero() {
		r.tell(toldStep{Step: stepBegun})
	}
}

// tellNodes tells what became of nodes.
func (r *run) tellNodes(results []result) {
	if !r.listened() {
		return
	}
	for i := range results {
		res := &results[i]
		node := &r.flow.Nodes[res.node]
		s := toldStep{Step: stepNode, Node: node.ID, Action: node.Action, Attempts: res.attempts}
		if st := &r.progress.steps[res.node]; st.state == done {
			s.Port = st.port
		}
		if res.took > 0 {
			s.Took = milliseconds(res.took)
		}
		if res.err != nil {
			s.Error = clipped(res.err.Error())
		}
		r.tell(s)
	}
}

// tellEnded tells what the run has ended with. One whose trigger did not hold
// has not been one.
func (r *run) tellEnded() {
	f := r.progress.failure
	if !r.held && f == nil || !r.listened() {
		return
	}
	s := toldStep{Step: stepEnded, Outcome: outcomeOK}
	if r.progress.answered {
		s.Outcome = outcomeAnswered
	}
	if !r.since.IsZero() {
		s.Took = milliseconds(time.Since(r.since))
	}
	switch {
	case f == nil:
	case f.stop != nil:
		s.Outcome, s.Error = outcomeStopped, clipped(f.Message)
	default:
		s.Outcome, s.Node, s.Attempts, s.Error = outcomeFailed, f.Node, f.Attempts, clipped(f.Message)
		for i := range r.flow.Nodes {
			if r.flow.Nodes[i].ID == f.Node {
				s.Action = r.flow.Nodes[i].Action
			}
		}
	}
	r.tell(s)
}

func (r *run) tell(s toldStep) {
	e := r.lane.session.engine
	s.Flow, s.Run, s.Event = r.flow.ID, r.id, r.event.id()
	if r.event.profile != "" {
		s.Profile = &r.event.profile
	}
	s.Time = sdk.FormatTime(e.options.Now())
	text, err := json.Marshal(&s)
	if err != nil {
		e.log.Error("a step of a run cannot be encoded", "flow", r.flow.ID, "run", r.id, "error", err)
		return
	}
	e.steps.Tell(r.flow.ID, text)
}

// milliseconds is a duration to the microsecond.
func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// maxTold bounds, in bytes, what is told of an error.
const maxTold = 1000

func clipped(text string) string {
	if len(text) <= maxTold {
		return text
	}
	end := maxTold
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
