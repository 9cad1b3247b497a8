package config

import (
	"fmt"
	"slices"
	"strings"
)

// CheckActions holds the flows that a change has created or changed against
// what the plugins offer: their actions, their ports, their configs. Other flows
// are left alone, so that a plugin that is away keeps nobody from changing
// something else. The error is [Problems], all of them.
func (s *Set) CheckActions(actions Actions, differences []Difference) error {
	var problems Problems
	for _, d := range differences {
		if d.Kind != KindFlow || d.Action != Created && d.Action != Changed {
			continue
		}
		c := s.checker(s.byKey[key{d.Kind, d.ID}])
		s.flows[d.ID].check(c, actions, func(action string) { c.unknownAction(s.flows[d.ID], action, actions) })
		problems = append(problems, c.problems...)
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// CheckKnownActions is CheckActions of all flows by what is known without a
// server. It returns the actions of plugins that are not known, sorted: only
// an apply can tell whether they are right. Without actions nothing is known.
func (s *Set) CheckKnownActions(actions Actions) (unknown []string, err error) {
	var problems Problems
	if actions == nil {
		actions = noActions{}
	}
	for _, flow := range s.flowList {
		c := s.checker(s.byKey[key{KindFlow, flow.ID}])
		flow.check(c, actions, func(action string) {
			switch {
			case contains(plugins(actions), pluginOf(action)):
				c.unknownAction(flow, action, actions)
			case !contains(unknown, action):
				unknown = append(unknown, action)
			}
		})
		problems = append(problems, c.problems...)
	}
	slices.Sort(unknown)
	if len(problems) > 0 {
		return unknown, problems
	}
	return unknown, nil
}

// noActions is the catalogue of a place that knows no plugin.
type noActions struct{}

func (noActions) Action(string) (ActionSpec, bool) { return ActionSpec{}, false }
func (noActions) ActionIDs() []string              { return nil }

// check holds a flow against the catalogue. An action that is not in it is
// handed over, once a flow, and nothing else is said of its nodes.
func (w *Flow) check(c *checker, actions Actions, unknown func(action string)) {
	specs := make([]*ActionSpec, len(w.Nodes))
	var told []string
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if n.Core() {
			continue
		}
		spec, ok := actions.Action(n.Action)
		if !ok {
			if !contains(told, n.Action) {
				told = append(told, n.Action)
				unknown(n.Action)
			}
			continue
		}
		specs[i] = &spec
		c.actionConfig(n, spec)
	}
	w.checkPorts(c, specs)
}

// checkPorts reports edges from ports that their actions do not have, and those
// that are the same once their ports are named.
func (w *Flow) checkPorts(c *checker, specs []*ActionSpec) {
	seen := map[FlowEdge]int{}
	for _, e := range w.edges {
		if e.From != fromStart && specs[e.From] != nil {
			n, ports := &w.Nodes[e.From], specs[e.From].Ports
			if len(ports) == 0 {
				ports = []string{PortDone}
			}
			port, err := n.port(e.Port, w.Nodes[e.To].ID, ports)
			if err != nil {
				c.fail(e.node, edgePath(e.at), "%v", err)
				continue
			}
			e.Port = port
		}
		if first, ok := seen[e.FlowEdge]; ok {
			c.fail(e.node, edgePath(e.at), "is the same edge as %s; remove one", edgePath(first))
			continue
		}
		seen[e.FlowEdge] = e.at
	}
}

// unknownAction reports each node of an action that no plugin offers.
func (c *checker) unknownAction(flow *Flow, action string, actions Actions) {
	all, plugin := actions.ActionIDs(), pluginOf(action)
	var own []string
	for _, id := range all {
		if pluginOf(id) == plugin {
			own = append(own, id)
		}
	}
	message := fmt.Sprintf("there is no action %q; ", action)
	switch names, best := plugins(actions), nearest(action, append(slices.Clone(all), coreIDs...)); {
	case best != "":
		message += fmt.Sprintf("did you mean %q?", best)
	case len(own) > 0:
		message += fmt.Sprintf("the plugin %s has %s", plugin, strings.Join(own, ", "))
	case len(names) == 0:
		message += fmt.Sprintf("no plugin is there, nor is %s: put the plugin in the plugin directory first; a new file is found when the server starts: restart it", plugin)
	default:
		message += fmt.Sprintf("of the plugins %s none is %s: put the plugin in the plugin directory first; a new file is found when the server starts: restart it", strings.Join(names, ", "), plugin)
	}
	for i := range flow.Nodes {
		if n := &flow.Nodes[i]; n.Action == action {
			at, _ := n.written.child("action")
			c.fail(at, nodePath(n.ID, "action"), "%s", message)
		}
	}
}

// actionConfig reports what the schema of an action finds wrong with a node's
// config, other than what a template may put right.
func (c *checker) actionConfig(n *FlowNode, spec ActionSpec) {
	if spec.Config == nil {
		return
	}
	config, line := n.written.child("config")
	if config == nil || config.null() {
		config, line = &node{line: n.written.line}, n.written.line
	}
	for _, fault := range spec.Config.faults(n.Config) {
		path, at := nodePath(n.ID, "config"), &node{line: line}
		here := config
		for _, name := range fault.at {
			if here == nil {
				path = below(path, name)
				continue
			}
			path, here, at = here.step(path, name, at)
		}
		c.fail(at, path, "%s", fault.message)
	}
}

// step goes to an element or a field of n: the path of it, the value, nil where
// there is none, and where it is written, at where that is not known.
func (n *node) step(path, name string, at *node) (string, *node, *node) {
	if n.shape == array {
		for i, item := range n.items {
			if fmt.Sprint(i) == name {
				return fmt.Sprintf("%s[%d]", path, i), item, item
			}
		}
	}
	value, line := n.child(name)
	if value != nil {
		at = &node{line: line}
	}
	return below(path, name), value, at
}

func pluginOf(action string) string {
	plugin, _, _ := strings.Cut(action, "/")
	return plugin
}

// plugins lists the plugins of a catalogue, sorted.
func plugins(actions Actions) []string {
	var names []string
	for _, id := range actions.ActionIDs() {
		if name := pluginOf(id); !contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
