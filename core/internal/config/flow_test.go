package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// flowText is a flow with these fields, from line 4 on; trigger, nodes and
// edges are those of a flow that is right where they are not among them.
func flowText(fields string) string {
	for _, standard := range []string{
		"trigger: {event: a}", "nodes: {hi: {action: core/log, config: {message: hi}}}", "edges: [start -> hi]",
	} {
		name, _, _ := strings.Cut(standard, ":")
		if !strings.HasPrefix(fields, name+":") && !strings.Contains(fields, "\n"+name+":") {
			fields += "\n" + standard
		}
	}
	return spec(KindFlow, fields)
}

// thankYou has every node of the engine and one of a plugin.
const thankYou = `
kind: flow
id: thank-you
spec:
  name: Thank you
  description: Thanks whoever orders.
  trigger: {event: order-completed, condition: 'event.properties.total > 100'}
  nodes:
    big:   {action: core/if, config: {condition: 'count("order-completed", "30d") > 3'}}
    vip:   {action: profile/set, config: {set: {traits.vip: true}}, timeout: 2s, retries: 0}
    kind:  {action: core/switch, config: {cases: [{port: large, when: payload.n > 5}, {port: small, when: payload.n > 1}]}}
    both:  {action: core/join, config: {mode: any}}
    all:   {action: core/join}
    reply: {action: core/result, config: {value: {thanks: '{{ profile.traits.firstName }}', n: [1, '{{ sum("order-completed", "total", "7d") }}']}}}
    note:  {action: core/log, config: {message: 'to {{ profile.id }}', level: warn}}
    stop:  {action: core/fail, config: {message: no}}
  edges:
    - start -> big
    - big:true -> vip
    - "big : false->kind"
    - kind:large -> both
    - kind:default -> both
    - vip -> both
    - vip:error -> stop
    - both -> all
    - all:done -> reply
    - reply -> note
`

// A trigger of a segment is about what the product says of that one alone.
func TestSegmentTriggers(t *testing.T) {
	s := newSet(t, flowText("trigger: {segment-entered: loyal, condition: 'event.profile != null'}"))
	f := s.FlowsOf("segment-entered")
	if len(f) != 1 || len(s.FlowsOf("segment-left")) != 0 || f[0].Trigger.Condition == nil || !slices.Contains(s.NamedTypes(), "segment-entered") {
		t.Fatalf("%+v", f)
	}
	for text, want := range map[string]bool{
		`{"type":"segment-entered","source":"system","properties":{"segment":"loyal"}}`: true,
		`{"type":"segment-entered","source":"system","properties":{"segment":"vip"}}`:   false,
		`{"type":"segment-entered","source":"system","properties":{}}`:                  false,
		`{"type":"segment-entered","source":"shop","properties":{"segment":"loyal"}}`:   false,
	} {
		if f[0].Trigger.Covers(sdk.RawView([]byte(text))) != want {
			t.Errorf("%s: not %t", text, want)
		}
	}
}

func TestFlow(t *testing.T) {
	s := newSet(t, thankYou)
	f, ok := s.Flow("thank-you")
	if !ok || f.Name != "Thank you" || f.Description != "Thanks whoever orders." || f.Disabled {
		t.Fatalf("got %+v", f)
	}
	if f.Trigger.Event != "order-completed" || f.Trigger.Condition == nil || !f.Trigger.OfEvent {
		t.Errorf("trigger %+v", f.Trigger)
	}
	name := func(i int) string {
		if i < 0 {
			return "start"
		}
		return f.Nodes[i].ID
	}
	edges := func(list []FlowEdge) string {
		var text []string
		for _, e := range list {
			text = append(text, name(e.From)+":"+e.Port+">"+name(e.To))
		}
		return strings.Join(text, " ")
	}
	var got []string
	for _, n := range f.Nodes {
		got = append(got, n.ID+" in "+edges(n.In)+" out "+edges(n.Out))
	}
	// Of a plugin's action the port is not known yet; those of the engine are.
	want := []string{
		"all in both:done>all out all:done>reply",
		"big in start:>big out big:true>vip big:false>kind",
		"both in kind:large>both kind:default>both vip:>both out both:done>all",
		"kind in big:false>kind out kind:large>both kind:default>both",
		"note in reply:done>note out ",
		"reply in all:done>reply out reply:done>note",
		"stop in vip:error>stop out ",
		"vip in big:true>vip out vip:>both vip:error>stop",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(f.Start) != 1 || name(f.Start[0]) != "big" {
		t.Errorf("start leads to %v", f.Start)
	}
	node := func(id string) *FlowNode {
		i, err := f.find(id)
		if err != nil {
			t.Fatal(err)
		}
		return &f.Nodes[i]
	}
	if n := node("vip"); n.Timeout != 2*time.Second || n.Retries != 0 || n.Core() || n.Config == nil || !n.Config.Literal() {
		t.Errorf("vip %+v", n)
	}
	if n := node("big"); n.Timeout != 10*time.Second || n.Retries != 3 || !n.Core() || n.If == nil {
		t.Errorf("big %+v", n)
	}
	if n := node("kind"); len(n.Switch) != 2 || n.Switch[0].Port != "large" || n.Switch[1].When.Source() != "payload.n > 1" {
		t.Errorf("kind %+v", n)
	}
	if node("both").Join != JoinAny || node("all").Join != JoinAll {
		t.Error("the joins wait for something else")
	}
	if n := node("note"); n.Log.Level != "warn" || n.Log.Message.Literal() {
		t.Errorf("note %+v", n.Log)
	}
	if n := node("stop"); n.Fail == nil || !n.Fail.Literal() {
		t.Errorf("stop %+v", n)
	}
}

func TestFlowNamesWhatIsWrong(t *testing.T) {
	node := func(text string) string { return flowText("nodes:\n  hi: " + text) }
	core := func(action, config string) string {
		return node("{action: core/" + action + ", config: " + config + "}")
	}
	edges := func(list string) string {
		return flowText("nodes: {a: {action: core/log, config: {message: m}}, b: {action: core/log, config: {message: m}},\n" +
			"  c: {action: core/log, config: {message: m}}, which: {action: core/if, config: {condition: 'true'}},\n" +
			"  sw: {action: core/switch, config: {cases: [{port: x, when: 'true'}]}}, end: {action: core/fail, config: {message: m}}, p: {action: my/do}}\n" +
			"edges:\n- " + strings.ReplaceAll(list, ", ", "\n- "))
	}
	const all = "start -> a, start -> b, start -> c, start -> which, start -> sw, start -> end, start -> p"
	for _, test := range []struct{ name, text, want string }{
		// The trigger.
		{"no trigger", spec(KindFlow, "nodes: {a: {action: my/do}}\nedges: [start -> a]"), "f.yaml:4: flow/x: spec.trigger: missing"},
		{"trigger is text", flowText("trigger: a"), "f.yaml:4: flow/x: spec.trigger: want an object, got a string"},
		{"no event", flowText("trigger:\n  condition: 'true'"), "f.yaml:5: flow/x: spec.trigger: says nothing of what the flow runs for; want event, segment-entered or segment-left"},
		{"empty event", flowText("trigger: {event: ''}"), "f.yaml:4: flow/x: spec.trigger.event: must not be empty"},
		{"event's name", flowText("trigger: {event: \"a\\tb\"}"), `f.yaml:4: flow/x: spec.trigger.event: "a\tb" must not hold control characters`},
		{"unknown trigger", flowText("trigger: {event: a, condtion: 'true'}"), `f.yaml:4: flow/x: spec.trigger.condtion: unknown field; did you mean "condition"?`},
		{"no segment", flowText("trigger:\n  segment-entered: ''"), "f.yaml:5: flow/x: spec.trigger.segment-entered: must not be empty"},
		{"segments", flowText("trigger: {segment-left: [loyal]}"), "f.yaml:4: flow/x: spec.trigger.segment-left: want a string, got an array"},
		{"segment's id", flowText("trigger: {segment-left: \"a\\tb\"}"), `f.yaml:4: flow/x: spec.trigger.segment-left: "a\tb" must not hold control characters`},
		{"two triggers", flowText("trigger:\n  event: a\n  segment-left: loyal"), "f.yaml:6: flow/x: spec.trigger.segment-left: a trigger is one of event, segment-entered or segment-left; make a flow for each"},
		{"both ways", flowText("trigger: {segment-entered: loyal, segment-left: loyal}"), "f.yaml:4: flow/x: spec.trigger.segment-left: a trigger is one of event, segment-entered or segment-left; make a flow for each"},
		{"schedule", flowText("trigger: {schedule: 1h}"), "f.yaml:4: flow/x: spec.trigger.schedule: is not available in this version; want event, segment-entered or segment-left"},
		{"segmentation", flowText("trigger: {segmentation: live}"), "f.yaml:4: flow/x: spec.trigger.segmentation: is not available in this version; want event, segment-entered or segment-left"},

		// The nodes.
		{"unknown field", flowText("node: {}"), `f.yaml:4: flow/x: spec.node: unknown field; did you mean "nodes"?`},
		{"no nodes", spec(KindFlow, "trigger: {event: a}\nedges: []"), "f.yaml:4: flow/x: spec.nodes: missing; a flow has at least one node, such as {hello: {action: core/log, config: {message: Hello}}}"},
		{"empty", flowText("nodes: {}"), "f.yaml:4: flow/x: spec.nodes: is empty; a flow has at least one node"},
		{"start is reserved", flowText("nodes:\n  hi: {action: my/do}\n  start: {action: my/do}"), "f.yaml:6: flow/x: spec.nodes.start: start is where every flow begins; take another id"},
		{"a node's id", flowText("nodes:\n  hi: {action: my/do}\n  Big.one: {action: my/do}"), `f.yaml:6: flow/x: spec.nodes["Big.one"]: the id of a node may hold a-z, 0-9, _ and -`},
		{"a node is text", node("my/do"), "f.yaml:5: flow/x: spec.nodes.hi: want an object, got a string"},
		{"no action", node("{config: {}}"), "f.yaml:5: flow/x: spec.nodes.hi.action: missing"},
		{"no plugin", node("{action: set}"), `f.yaml:5: flow/x: spec.nodes.hi.action: "set" is no action; want plugin/action, such as profile/set`},
		{"unknown core", node("{action: core/iff}"), `f.yaml:5: flow/x: spec.nodes.hi.action: the engine has no node "core/iff"; did you mean "core/if"?`},
		{"strange core", node("{action: core/http}"), `f.yaml:5: flow/x: spec.nodes.hi.action: the engine has no node "core/http"; want one of core/fail, core/if, core/join, core/log, core/result, core/switch`},
		{"pause", node("{action: core/pause, config: {for: 2s}}"), "f.yaml:5: flow/x: spec.nodes.hi.action: core/pause is not available in this version; want one of core/fail, core/if, core/join, core/log, core/result, core/switch"},
		{"wait-for", node("{action: core/wait-for}"), "f.yaml:5: flow/x: spec.nodes.hi.action: core/wait-for is not available in this version; want one of core/fail, core/if, core/join, core/log, core/result, core/switch"},
		{"a node's field", node("{action: my/do, timout: 1s}"), `f.yaml:5: flow/x: spec.nodes.hi.timout: unknown field; did you mean "timeout"?`},
		{"timeout", node("{action: my/do, timeout: fast}"), `f.yaml:5: flow/x: spec.nodes.hi.timeout: "fast" is not a duration: want a number with a unit, such as "90s", "15m", "1h30m", "7d" or "2w"`},
		{"timeout is a number", node("{action: my/do, timeout: 5}"), "f.yaml:5: flow/x: spec.nodes.hi.timeout: want a string, got a number; put it in quotes"},
		{"short timeout", node("{action: my/do, timeout: 10us}"), "f.yaml:5: flow/x: spec.nodes.hi.timeout: 10us is out of range; want 1ms to 1h"},
		{"long timeout", node("{action: my/do, timeout: 61m}"), "f.yaml:5: flow/x: spec.nodes.hi.timeout: 61m is out of range; want 1ms to 1h"},
		{"retries", node("{action: my/do, retries: 11}"), "f.yaml:5: flow/x: spec.nodes.hi.retries: 11 is out of range; want 0 to 10"},
		{"timeout of the engine's own", node("{action: core/join,\n      timeout: 1s}"), "f.yaml:6: flow/x: spec.nodes.hi.timeout: is for calls to plugins, and core/join makes none; remove it"},
		{"retries of the engine's own", node("{action: core/join, retries: 1}"), "f.yaml:5: flow/x: spec.nodes.hi.retries: is for calls to plugins, and core/join makes none; remove it"},
		{"config is text", node("{action: my/do, config: '{{ payload }}'}"), "f.yaml:5: flow/x: spec.nodes.hi.config: want an object, got a string; a template stands for the value of a field"},

		// The engine's own.
		{"no config", node("{action: core/if}"), "f.yaml:5: flow/x: spec.nodes.hi.config: missing; want {condition: 'profile.traits.vip == true'}"},
		{"if without condition", core("if", "{}"), "f.yaml:5: flow/x: spec.nodes.hi.config.condition: missing"},
		{"if's field", core("if", "{condition: 'true', else: b}"), "f.yaml:5: flow/x: spec.nodes.hi.config.else: unknown field; want one of condition"},
		{"no cases", core("switch", "{}"), "f.yaml:5: flow/x: spec.nodes.hi.config.cases: missing"},
		{"empty cases", core("switch", "{cases: []}"), "f.yaml:5: flow/x: spec.nodes.hi.config.cases: is empty; want at least one case"},
		{"a case's port", core("switch", "{cases: [{port: A B, when: 'true'}]}"), `f.yaml:5: flow/x: spec.nodes.hi.config.cases[0].port: "A B": a port may hold a-z, 0-9, _ and -`},
		{"default is taken", core("switch", "{cases: [{port: default, when: 'true'}]}"), "f.yaml:5: flow/x: spec.nodes.hi.config.cases[0].port: every switch has the port default already; take another name"},
		{"two cases of a port", core("switch", "{cases: [{port: a, when: 'true'}, {port: a, when: 'true'}]}"), "f.yaml:5: flow/x: spec.nodes.hi.config.cases[1].port: port a has a case already; join the two conditions with ||"},
		{"a case without when", core("switch", "{cases: [{port: a}]}"), "f.yaml:5: flow/x: spec.nodes.hi.config.cases[0].when: missing"},
		{"join's mode", core("join", "{mode: some}"), `f.yaml:5: flow/x: spec.nodes.hi.config.mode: unknown mode "some"; want one of all, any`},
		{"no value", core("result", "{}"), "f.yaml:5: flow/x: spec.nodes.hi.config.value: missing"},
		{"no message", core("log", "{level: info}"), "f.yaml:5: flow/x: spec.nodes.hi.config.message: missing"},
		{"message is a number", core("fail", "{message: 5}"), "f.yaml:5: flow/x: spec.nodes.hi.config.message: want a string, got a number; put it in quotes"},
		{"level", core("log", "{message: a, level: loud}"), `f.yaml:5: flow/x: spec.nodes.hi.config.level: unknown level "loud"; want one of info, debug, warn, error`},

		// The edges.
		{"no edges", spec(KindFlow, "trigger: {event: a}\nnodes: {b: {action: my/do}}"), "f.yaml:4: flow/x: spec.edges: missing; want at least one from start, such as start -> b"},
		{"empty edges", flowText("edges: []"), "f.yaml:4: flow/x: spec.edges: none leads on from start; add start -> hi"},
		{"edges is text", flowText("edges: start -> hi"), "f.yaml:4: flow/x: spec.edges: want a list, got a string"},
		{"no start", edges("a -> b"), "f.yaml:8: flow/x: spec.edges: none leads on from start; add start -> a"},
		{"no arrow", edges(all + ", a b"), `f.yaml:15: flow/x: spec.edges[7]: "a b" has no arrow; want node -> node, or node:port -> node`},
		{"two arrows", edges(all + ", a -> b -> c"), `f.yaml:15: flow/x: spec.edges[7]: "a -> b -> c" has 2 arrows; write an edge for each`},
		{"half an edge", edges(all + ", a ->"), `f.yaml:15: flow/x: spec.edges[7]: "a ->" lacks a node beside the arrow; want node -> node, or node:port -> node`},
		{"no port", edges(all + ", 'which: -> b'"), `f.yaml:15: flow/x: spec.edges[7]: "which: -> b" names no port after the colon; want which:port -> b`},
		{"port with a space", edges(all + ", 'which:a b -> b'"), `f.yaml:15: flow/x: spec.edges[7]: "a b" is no name of a port; want node:port -> node`},
		{"to a port", edges(all + ", a -> which:true"), "f.yaml:15: flow/x: spec.edges[7]: an edge leads to a node, not to a port of it; write -> which"},
		{"an edge is a number", edges(all + ", 5"), "f.yaml:15: flow/x: spec.edges[7]: want a string, got a number; put it in quotes"},
		{"from nowhere", edges(all + ", whichh:true -> b"), `f.yaml:15: flow/x: spec.edges[7]: there is no node "whichh"; did you mean "which"?`},
		{"to nowhere", edges(all + ", a -> nobody"), `f.yaml:15: flow/x: spec.edges[7]: there is no node "nobody"; want one of a, b, c, end, p, sw, which`},
		{"into start", edges(all + ", a -> start"), "f.yaml:15: flow/x: spec.edges[7]: no edge leads to start, where every run begins; remove it"},
		{"a port of start", edges(all + ", 'start:x -> b'"), "f.yaml:15: flow/x: spec.edges[7]: start has no ports; write start -> b"},
		{"twice", edges(all + ", start -> b"), "f.yaml:15: flow/x: spec.edges[7]: is the same edge as spec.edges[1]; remove one"},
		{"twice in two ways", edges(all + ", a -> b, 'a:done -> b'"), "f.yaml:16: flow/x: spec.edges[8]: is the same edge as spec.edges[7]; remove one"},
		{"unknown port", edges(all + ", which:ture -> b"), `f.yaml:15: flow/x: spec.edges[7]: which (core/if) has no port "ture"; did you mean "true"?`},
		{"unknown case", edges(all + ", sw:large -> b"), `f.yaml:15: flow/x: spec.edges[7]: sw (core/switch) has no port "large"; want one of x, default, error`},
		{"several ports", edges(all + ", which -> b"), "f.yaml:15: flow/x: spec.edges[7]: which (core/if) leads on from several ports, true, false, error; name one, such as which:true -> b"},
		{"several cases", edges(all + ", sw -> b"), "f.yaml:15: flow/x: spec.edges[7]: sw (core/switch) leads on from several ports, x, default, error; name one, such as sw:x -> b"},
		{"on from the end", edges(all + ", end -> b"), "f.yaml:15: flow/x: spec.edges[7]: end (core/fail) ends the run, and leads on from its port error only: end:error -> b"},
		{"to itself", edges(all + ", p -> p"), "f.yaml:15: flow/x: spec.edges[7]: closes the circle p -> p; a flow never comes back to a node"},
		{"a circle", edges(all + ", c -> a, a -> b, p -> c, b -> c, c -> p"), "f.yaml:18: flow/x: spec.edges[10]: closes the circle c -> a -> b -> c; a flow never comes back to a node"},
		{"unreachable", edges("start -> a, start -> which, start -> sw, start -> end, start -> p, b -> c"),
			"f.yaml:4: flow/x: spec.nodes.b: no way leads here from start; add an edge to it, such as start -> b, or remove it\n" +
				"f.yaml:5: flow/x: spec.nodes.c: no way leads here from start; add an edge to it, such as start -> c, or remove it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("accepted\n%s", test.text)
			}
			if got := err.Error(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Conditions and templates are named with the messages of their language behind
// the place where they stand.
func TestFlowNamesTheExpression(t *testing.T) {
	for _, test := range []struct{ text, where string }{
		{flowText("trigger: {event: a, condition: payload.x}"), "f.yaml:4: flow/x: spec.trigger.condition: line 1, column 1: payload is not known here"},
		{flowText("trigger: {event: a, condition: event.total > 1}"), "f.yaml:4: flow/x: spec.trigger.condition: line 1, column "},
		{flowText("nodes: {hi: {action: core/if, config: {condition: row.x}}}\nedges: ['start -> hi']"), "f.yaml:4: flow/x: spec.nodes.hi.config.condition: line 1, column 1"},
		{flowText("nodes: {hi: {action: core/switch, config: {cases: [{port: a, when: '7'}]}}}"), "f.yaml:4: flow/x: spec.nodes.hi.config.cases[0].when: line 1, column "},
		{flowText("nodes:\n  hi:\n    action: my/do\n    config:\n      a.b:\n        - {c: 'x {{ nobody }}'}"), `f.yaml:9: flow/x: spec.nodes.hi.config["a.b"][0].c: line 1, column 6: unknown name nobody`},
		{flowText("nodes: {hi: {action: core/result, config: {value: ['{{ 1 +']}}}"), "f.yaml:4: flow/x: spec.nodes.hi.config.value[0]: line 1, column 1: {{ has no end"},
		{flowText("nodes: {hi: {action: core/log, config: {message: '{{ event.nonsense }}'}}}"), "f.yaml:4: flow/x: spec.nodes.hi.config.message: line 1, column "},
	} {
		_, err := Parse("f.yaml", []byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.where) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\ngot  %v\nwant %s…", test.text, err, test.where)
		}
	}
}

func TestFlowIsBounded(t *testing.T) {
	many := func(nodes, edges int) error {
		var text strings.Builder
		text.WriteString("nodes:")
		for i := range nodes {
			text.WriteString("\n  n" + string(sdk.AppendValue(nil, i)) + ": {action: my/do}")
		}
		text.WriteString("\nedges:")
		for i := range min(edges, nodes) {
			text.WriteString("\n- start -> n" + string(sdk.AppendValue(nil, i)))
		}
		for i := range edges - nodes {
			text.WriteString("\n- n0:p" + string(sdk.AppendValue(nil, i)) + " -> n1")
		}
		_, err := Parse("f.yaml", []byte(flowText(text.String())))
		return err
	}
	for _, test := range []struct {
		nodes, edges int
		want         string
	}{
		{200, 1000, ""},
		{201, 201, "f.yaml:5: flow/x: spec.nodes: has 201 nodes; at most 200 are allowed, split the flow"},
		{2, 1001, "f.yaml:8: flow/x: spec.edges: has 1001 edges; at most 1000 are allowed, split the flow"},
	} {
		got := ""
		if err := many(test.nodes, test.edges); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%d nodes, %d edges: got %q, want %q", test.nodes, test.edges, got, test.want)
		}
	}
}

// A trigger that reads the event alone can be asked before the profile is known.
func TestTriggerOfEvent(t *testing.T) {
	for source, want := range map[string]bool{
		"event.properties.total > 100":                true,
		"event.time > ago('1d') && now > event.time":  true,
		"'true' == 'true'":                            true,
		"event.type == 'a' || profile.traits.vip":     false,
		"session.duration > 5":                        false,
		"event.id == 'a' && count('a') > 1":           false,
		"event.tags.exists(profiles, profiles > 'a')": true,
	} {
		f, _ := newSet(t, flowText("trigger: {event: a, condition: \""+source+"\"}")).Flow("x")
		if f.Trigger.OfEvent != want {
			t.Errorf("%s: of the event alone: %v", source, !want)
		}
	}
}

// Windows that a flow reads are kept by the processor, wherever the flow reads
// them.
func TestFlowsKeepAggregates(t *testing.T) {
	window := func(typ string) condition.Aggregate {
		return condition.Aggregate{Func: condition.Count, Type: typ, Window: 24 * time.Hour}
	}
	s := newSet(t, `
kind: flow
id: x
spec:
  disabled: true
  trigger: {event: e, condition: 'count("a", "1d") > 1'}
  nodes:
    if: {action: core/if, config: {condition: 'count("b", "1d") > count("b")'}}
    sw: {action: core/switch, config: {cases: [{port: p, when: 'count("c", "1d") > 1'}]}}
    do: {action: my/do, config: {list: [{n: '{{ count("d", "1d") }}'}]}}
    re: {action: core/result, config: {value: 'is {{ count("e", "1d") }}, {{ count("a", "1d") }}'}}
    lo: {action: core/log, config: {message: '{{ count("f", "1d") }}'}}
    fa: {action: core/fail, config: {message: '{{ count("g", "1d") }}'}}
  edges: [start -> if, start -> sw, start -> do, start -> re, start -> lo, start -> fa]
`)
	var want []condition.Aggregate
	for _, typ := range strings.Split("abcdefg", "") {
		want = append(want, window(typ))
	}
	if got := s.Aggregates(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSetFindsFlows(t *testing.T) {
	one := func(id, event, more string) string {
		return strings.Replace(flowText("trigger: {event: "+event+"}"+more), "id: x", "id: "+id, 1)
	}
	s := newSet(t, one("b", "order", "")+"---\n"+one("a", "order", "")+"---\n"+one("off", "order", "\ndisabled: true")+"---\n"+one("view", "page-view", "")+"---"+orders)
	ids := func(list []*Flow) string {
		var text []string
		for _, f := range list {
			text = append(text, f.ID)
		}
		return strings.Join(text, " ")
	}
	if got := ids(s.Flows()); got != "a b off view" {
		t.Errorf("flows %s", got)
	}
	if got := ids(s.FlowsOf("order")); got != "a b" {
		t.Errorf("flows of order %s", got)
	}
	if got := ids(s.FlowsOf("page-view")) + ids(s.FlowsOf("none")); got != "view" {
		t.Errorf("flows of page-view and none %s", got)
	}
	if off, ok := s.Flow("off"); !ok || !off.Disabled {
		t.Error("a disabled flow is not there, or runs")
	}
	if _, ok := s.Flow("none"); ok {
		t.Error("found a flow that is not there")
	}
	if got := strings.Join(s.NamedTypes(), " "); got != "order order-completed page-view" {
		t.Errorf("named types %s", got)
	}
}

// A flow that is stored reads as the one that was written.
func TestStoredFlow(t *testing.T) {
	written := parse(t, thankYou)[0]
	stored, err := New(written.Kind, written.ID, written.Spec)
	if err != nil || !stored.same(written) {
		t.Fatalf("stored, it reads as another: %v", err)
	}
	if got := written.Where("spec.nodes.vip.config.set"); got != (Origin{"f.yaml", 10}) {
		t.Errorf("a field is at %v", got)
	}
	if got := written.Where("spec.edges[3]"); got != (Origin{"f.yaml", 21}) {
		t.Errorf("an edge is at %v", got)
	}
	if got := stored.Where("spec.edges[3]"); got != (Origin{}) {
		t.Errorf("an edge of a stored flow is at %v", got)
	}
}

func FuzzEdge(f *testing.F) {
	for _, seed := range []string{"start -> a", "a:b->c", "a -> b -> c", "->", ":->:", "a: -> b", " a : b -> c ", "a\n:\tb->c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		from, port, to, err := parseEdge(text)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error that says nothing")
			}
			return
		}
		edge := from + " -> " + to
		if port != "" {
			edge = from + ":" + port + " -> " + to
		}
		from2, port2, to2, err := parseEdge(edge)
		if err != nil || from2 != from || port2 != port || to2 != to {
			t.Fatalf("%q reads as %q, and that as %q %q %q: %v", text, edge, from2, port2, to2, err)
		}
	})
}

func FuzzFlow(f *testing.F) {
	_, text, _ := strings.Cut(thankYou, "spec:")
	f.Add([]byte(text))
	f.Add([]byte("{trigger: {event: a}, nodes: {a: {action: b/c}}, edges: [start -> a]}"))
	f.Add([]byte("{trigger: {event: a}, nodes: {a: {action: core/if, config: {condition: 'true'}}}, edges: [start -> a, 'a:true -> a']}"))
	f.Fuzz(func(t *testing.T, spec []byte) {
		if len(spec) > 1<<14 {
			return
		}
		nodes, err := readYAML(spec)
		if err != nil || len(nodes) != 1 {
			return
		}
		r, err := New(KindFlow, "x", canonical(nodes[0]))
		if err != nil {
			if len(problemsOf(err)) == 0 {
				t.Fatalf("an error that says nothing: %#v", err)
			}
			return
		}
		flow := r.compiled.(*Flow)
		// Every run ends: the nodes can be put in an order that all edges keep,
		// and each of them is reached.
		left, done, ready := make([]int, len(flow.Nodes)), 0, []int{}
		in := len(flow.Start)
		for i, n := range flow.Nodes {
			for _, e := range n.In {
				if e.From != fromStart {
					left[i]++
				}
			}
			if in += len(n.Out); len(n.In) == 0 {
				t.Fatalf("no edge leads to %s", n.ID)
			}
			if left[i] == 0 {
				ready = append(ready, i)
			}
		}
		if in != len(flow.edges) {
			t.Fatalf("%d edges of %d", in, len(flow.edges))
		}
		for ; done < len(ready); done++ {
			for _, e := range flow.Nodes[ready[done]].Out {
				if left[e.To]--; left[e.To] == 0 {
					ready = append(ready, e.To)
				}
			}
		}
		if done != len(flow.Nodes) {
			t.Fatalf("%d of %d nodes can be reached", done, len(flow.Nodes))
		}
	})
}
