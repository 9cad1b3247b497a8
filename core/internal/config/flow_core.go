package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// The engine's own nodes: what they take, and the ports that they lead on from.

const corePrefix = "core/"

// Core tells whether the engine runs the node itself, without a call.
func (n *FlowNode) Core() bool { return strings.HasPrefix(n.Action, corePrefix) }

// A coreAction is one of the engine's own nodes.
type coreAction struct {
	// example is what a missing config is told to be; empty: it may be missing.
	example string
	// compile reads the config, nil where it is missing, into the node.
	compile func(f *form, n *FlowNode)
	// ports are those that the node leads on from, without error.
	ports func(n *FlowNode) []string
}

var (
	coreActions map[string]coreAction
	coreIDs     []string // sorted
	// laterCoreActions mean something, but not to this version.
	laterCoreActions = []string{"core/pause", "core/wait-for"}
	logLevels        = []string{"info", "debug", "warn", "error"} // the first is what nothing means
	joinModes        = []string{string(JoinAll), string(JoinAny)}
)

func init() {
	done := func(*FlowNode) []string { return []string{PortDone} }
	coreActions = map[string]coreAction{
		"core/if": {"{condition: 'profile.traits.vip == true'}", compileIf,
			func(*FlowNode) []string { return []string{PortTrue, PortFalse} }},
		"core/switch": {"{cases: [{port: large, when: event.properties.total > 100}]}", compileSwitch, switchPorts},
		"core/join":   {"", compileJoin, done},
		"core/result": {"{value: '{{ payload }}'}", compileResult, done},
		"core/log":    {"{message: 'total {{ event.properties.total }}'}", compileLog, done},
		// It ends the run.
		"core/fail": {"{message: 'no stock of {{ event.properties.sku }}'}", compileFail, func(*FlowNode) []string { return nil }},
	}
	coreIDs = slices.Sorted(maps.Keys(coreActions))
}

// coreConfig opens the config of one of the engine's own nodes; nil where there
// is none to read.
func (f *form) coreConfig(a coreAction) *form {
	n := f.get("config")
	if n == nil {
		if a.example != "" {
			f.fail(f.node, f.at("config"), "missing; want %s", a.example)
		}
		return nil
	}
	config, ok := f.form(n, f.at("config"))
	if !ok {
		return nil
	}
	return config
}

func compileIf(f *form, n *FlowNode) {
	if f == nil {
		return
	}
	if f.want("condition") != nil {
		n.If = f.predicate("condition", condition.FlowScope)
	}
	f.close()
}

func compileSwitch(f *form, n *FlowNode) {
	if f == nil {
		return
	}
	if list := f.want("cases"); list != nil && list.shape == array && len(list.items) == 0 {
		f.fail(list, f.at("cases"), "is empty; want at least one case")
	}
	for i, item := range f.list("cases") {
		one, ok := f.form(item, f.item("cases", i))
		if !ok {
			continue
		}
		c := SwitchCase{Port: one.wantText("port")}
		switch {
		case c.Port == "":
		case c.Port == PortDefault || c.Port == PortError:
			one.fail(one.get("port"), one.at("port"), "every switch has the port %s already; take another name", c.Port)
		case !nodeID.MatchString(c.Port):
			one.fail(one.get("port"), one.at("port"), "%q: a port may hold a-z, 0-9, _ and -", c.Port)
		case slices.ContainsFunc(n.Switch, func(o SwitchCase) bool { return o.Port == c.Port }):
			one.fail(one.get("port"), one.at("port"), "port %s has a case already; join the two conditions with ||", c.Port)
		}
		if one.want("when") != nil {
			c.When = one.predicate("when", condition.FlowScope)
		}
		one.close()
		n.Switch = append(n.Switch, c)
	}
	f.close()
}

func switchPorts(n *FlowNode) []string {
	ports := make([]string, 0, len(n.Switch)+1)
	for _, c := range n.Switch {
		ports = append(ports, c.Port)
	}
	return append(ports, PortDefault)
}

func compileJoin(f *form, n *FlowNode) {
	n.Join = JoinAll
	if f == nil {
		return
	}
	n.Join = JoinMode(f.choice("mode", "mode", joinModes))
	f.close()
}

func compileResult(f *form, n *FlowNode) {
	if f == nil {
		return
	}
	// null is an answer too.
	if i := slices.IndexFunc(f.node.fields, func(field field) bool { return field.name == "value" }); i >= 0 {
		f.known = append(f.known, "value")
		n.Result = f.nodeConfig(f.node.fields[i].value, f.at("value"))
	} else {
		f.want("value")
	}
	f.close()
}

func compileLog(f *form, n *FlowNode) {
	if f == nil {
		return
	}
	n.Log = &LogNode{Message: f.message(), Level: f.choice("level", "level", logLevels)}
	f.close()
}

func compileFail(f *form, n *FlowNode) {
	if f == nil {
		return
	}
	n.Fail = f.message()
	f.close()
}

// message reads a text, or a template for one.
func (f *form) message() *NodeConfig {
	if f.wantText("message") == "" {
		return nil
	}
	return f.nodeConfig(f.get("message"), f.at("message"))
}
