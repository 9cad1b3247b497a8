package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// The bounds of one flow.
const (
	maxFlowNodes   = 200
	maxFlowEdges   = 1000
	minTimeout     = time.Millisecond
	MaxNodeTimeout = time.Hour
	maxRetries     = 10
)

// What a node has that says nothing else.
const (
	defaultTimeout = 10 * time.Second
	defaultRetries = 3
)

// startNode is where a flow begins: a name in edges, and no node.
const startNode = "start"

var (
	nodeID   = regexp.MustCompile(`^[a-z0-9_-]+$`)
	actionID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// laterTriggers are triggers that mean something, but not to this version.
var laterTriggers = []string{"schedule", "segmentation"}

// segmentTriggers are short for the system events of one segment, of these types.
var segmentTriggers = []string{record.TypeSegmentEntered, record.TypeSegmentLeft}

// triggerNames lists what a trigger is one of, for those who got it wrong.
const triggerNames = "event, segment-entered or segment-left"

func compileFlow(f *form, id string) any {
	flow := &Flow{
		ID: id, Name: f.text("name"), Description: f.text("description"), Disabled: f.flag("disabled"),
		Trigger: f.trigger(), Consents: f.texts("consents"),
	}
	broken, ok := f.flowNodes(flow)
	if !ok {
		f.get("edges") // they join what is not there
		return flow
	}
	f.flowEdges(flow, broken)
	return flow
}

// checkFlow reports consents that the set does not have.
func checkFlow(c *checker, compiled any, s *Set) {
	s.wantConsents(c, "spec.consents", compiled.(*Flow).Consents)
}

// trigger reads what a flow runs for.
func (f *form) trigger() Trigger {
	n := f.want("trigger")
	if n == nil {
		return Trigger{}
	}
	t, ok := f.form(n, f.at("trigger"))
	if !ok {
		return Trigger{}
	}
	later := false
	own := *n
	own.fields = slices.DeleteFunc(slices.Clone(n.fields), func(field field) bool {
		if !contains(laterTriggers, field.name) {
			return false
		}
		later = true
		f.fail(&node{line: field.line}, t.at(field.name), "is not available in this version; want "+triggerNames)
		return true
	})
	t.node = &own
	trigger := Trigger{Condition: t.predicate("condition", condition.EventScope)}
	t.starts(&trigger, later)
	if p := trigger.Condition; p != nil {
		trigger.OfEvent = !slices.ContainsFunc(p.Variables(), func(name string) bool { return name != "event" })
	}
	t.close()
	return trigger
}

// starts reads the one field that says which events a trigger is about. Where that is
// one that this version does not have, it need not be there.
func (f *form) starts(trigger *Trigger, later bool) {
	event := f.get("event")
	for _, name := range segmentTriggers {
		n := f.get(name)
		switch {
		case n == nil:
			continue
		case event != nil || trigger.Segment != "":
			f.fail(n, f.at(name), "a trigger is one of %s; make a flow for each", triggerNames)
			continue
		}
		trigger.Event, trigger.Segment = name, f.wantText(name)
		if message := typeID(trigger.Segment); message != "" && trigger.Segment != "" {
			f.fail(n, f.at(name), "%s", message)
		}
	}
	switch {
	case trigger.Event != "":
		return
	case event == nil && !later:
		f.fail(f.node, f.path, "says nothing of what the flow runs for; want %s", triggerNames)
	case event != nil:
		trigger.Event = f.wantText("event")
	}
	if message := typeID(trigger.Event); message != "" && trigger.Event != "" {
		f.fail(event, f.at("event"), "%s", message)
	}
}

// flowNodes reads the nodes, by id. It returns those that something is wrong
// with, whose ports are not known; false where there are none to speak of.
func (f *form) flowNodes(flow *Flow) (broken map[string]bool, ok bool) {
	n := f.get("nodes")
	if n == nil {
		f.fail(f.node, f.at("nodes"), "missing; a flow has at least one node, such as {hello: {action: core/log, config: {message: Hello}}}")
		return nil, false
	}
	nodes, ok := f.form(n, f.at("nodes"))
	if !ok {
		return nil, false
	}
	switch count := len(n.fields); {
	case count == 0:
		f.fail(n, f.at("nodes"), "is empty; a flow has at least one node")
		return nil, false
	case count > maxFlowNodes:
		f.fail(n, f.at("nodes"), "has %d nodes; at most %d are allowed, split the flow", count, maxFlowNodes)
		return nil, false
	}
	broken = map[string]bool{}
	for _, field := range n.fields {
		at := nodes.at(field.name)
		before := len(f.problems)
		switch {
		case field.name == startNode:
			f.fail(&node{line: field.line}, at, "start is where every flow begins; take another id")
		case !nodeID.MatchString(field.name):
			f.fail(&node{line: field.line}, at, "the id of a node may hold a-z, 0-9, _ and -")
		}
		one := FlowNode{ID: field.name, written: field.value}
		if form, ok := f.form(field.value, at); ok {
			form.flowNode(&one)
		}
		flow.Nodes = append(flow.Nodes, one)
		broken[field.name] = len(f.problems) > before
	}
	slices.SortFunc(flow.Nodes, func(a, b FlowNode) int { return strings.Compare(a.ID, b.ID) })
	return broken, true
}

func (f *form) flowNode(n *FlowNode) {
	n.Action = f.wantText("action")
	f.known = append(f.known, "config", "timeout", "retries") // which only some nodes ask for
	core, isCore := coreActions[n.Action]
	switch {
	case n.Action == "":
	case isCore:
		core.compile(f.coreConfig(core), n)
	case contains(laterCoreActions, n.Action):
		f.fail(f.get("action"), f.at("action"), "%s is not available in this version; want one of %s", n.Action, strings.Join(coreIDs, ", "))
	case n.Core():
		f.fail(f.get("action"), f.at("action"), "the engine has no node %q; %s", n.Action, Meant(n.Action, coreIDs))
	case !actionID.MatchString(n.Action):
		f.fail(f.get("action"), f.at("action"), "%q is no action; want plugin/action, such as profile/set", n.Action)
	default:
		n.Config = f.actionConfig()
	}
	if n.Core() {
		for _, name := range []string{"timeout", "retries"} {
			if at := f.get(name); at != nil {
				f.fail(at, f.at(name), "is for calls to plugins, and %s makes none; remove it", n.Action)
			}
		}
	}
	n.Timeout, n.Retries = f.timeout(), defaultRetries
	if f.get("retries") != nil {
		n.Retries = f.integer("retries", 0, maxRetries)
	}
	f.close()
}

// actionConfig reads what a plugin's action is given: an object, that of no
// fields where it is missing.
func (f *form) actionConfig() *NodeConfig {
	n := f.get("config")
	switch {
	case n == nil:
		n = &node{shape: object}
	case n.shape != object:
		f.fail(n, f.at("config"), "want an object, got %s; a template stands for the value of a field", n.typeName())
		return nil
	}
	return f.nodeConfig(n, f.at("config"))
}

func (f *form) timeout() time.Duration {
	n := f.get("timeout")
	if n == nil {
		return defaultTimeout
	}
	text := f.textOf(n, f.at("timeout"))
	if text == "" {
		if n.scalar == "" {
			f.fail(n, f.at("timeout"), "must not be empty")
		}
		return 0
	}
	d, err := condition.ParseDuration(text)
	switch {
	case err != nil:
		f.fail(n, f.at("timeout"), "%v", err)
	case d < minTimeout || d > MaxNodeTimeout:
		f.fail(n, f.at("timeout"), "%s is out of range; want 1ms to 1h", text)
	}
	return d
}

// aggregates lists what a flow reads of a profile's past events, in its trigger
// and in its nodes; one may be there several times.
func (w *Flow) aggregates() []condition.Aggregate {
	var all []condition.Aggregate
	ask := func(p *condition.Program) {
		if p != nil {
			all = append(all, p.Aggregates()...)
		}
	}
	ask(w.Trigger.Condition)
	for i := range w.Nodes {
		n := &w.Nodes[i]
		ask(n.If)
		for _, c := range n.Switch {
			ask(c.When)
		}
		configs := []*NodeConfig{n.Config, n.Result, n.Fail}
		if n.Log != nil {
			configs = append(configs, n.Log.Message)
		}
		for _, c := range configs {
			if c != nil {
				all = append(all, c.Aggregates()...)
			}
		}
	}
	return all
}

// nodePath is the path of a node, or of a field of one.
func nodePath(id string, fields ...string) string {
	path := below("spec.nodes", id)
	for _, name := range fields {
		path = below(path, name)
	}
	return path
}

func edgePath(i int) string { return fmt.Sprintf("spec.edges[%d]", i) }
