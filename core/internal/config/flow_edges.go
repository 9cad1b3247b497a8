package config

import (
	"fmt"
	"slices"
	"strings"
)

// fromStart stands for start in an edge.
const fromStart = -1

// A writtenEdge is an edge at its place in the file.
type writtenEdge struct {
	FlowEdge
	at   int // in spec.edges
	node *node
}

// flowEdges reads the edges and joins the nodes by them. The ports of nodes
// that are broken are not looked at, nor those of plugins, which are known when
// the flow is applied.
func (f *form) flowEdges(flow *Flow, broken map[string]bool) {
	list := f.get("edges")
	if list == nil {
		f.fail(f.node, f.at("edges"), "missing; want at least one from start, such as %s", exampleStart(flow))
		return
	}
	items := f.list("edges")
	if len(items) > maxFlowEdges {
		f.fail(list, f.at("edges"), "has %d edges; at most %d are allowed, split the flow", len(items), maxFlowEdges)
		return
	}
	before := len(f.problems)
	for i, item := range items {
		text := f.textOf(item, f.item("edges", i))
		if text == "" {
			if item.scalar == "" {
				f.fail(item, f.item("edges", i), "must not be empty")
			}
			continue
		}
		edge, err := flow.edge(text, broken)
		if err == nil {
			err = flow.another(edge)
		}
		if err != nil {
			f.fail(item, f.item("edges", i), "%v", err)
			continue
		}
		flow.edges = append(flow.edges, writtenEdge{edge, i, item})
	}
	flow.join()
	if closing, nodes := flow.cycle(); closing != nil {
		f.fail(closing.node, f.item("edges", closing.at), "closes the circle %s; a flow never comes back to a node", strings.Join(nodes, " -> "))
	}
	if len(f.problems) > before || list.shape != array || len(flow.Nodes) == 0 {
		return // what is missing may be what was wrong
	}
	if len(flow.Start) == 0 {
		f.fail(list, f.at("edges"), "none leads on from start; add %s", exampleStart(flow))
		return
	}
	for i, reached := range flow.reached() {
		if n := &flow.Nodes[i]; !reached && !broken[n.ID] {
			f.fail(n.written, below(f.at("nodes"), n.ID), "no way leads here from start; add an edge to it, such as %s -> %s, or remove it", startNode, n.ID)
		}
	}
}

// exampleStart is an edge from start that the flow may lack.
func exampleStart(flow *Flow) string {
	for _, n := range flow.Nodes {
		if len(n.In) == 0 {
			return startNode + " -> " + n.ID
		}
	}
	return startNode + " -> hello"
}

// edge reads one edge and finds its nodes.
func (w *Flow) edge(text string, broken map[string]bool) (FlowEdge, error) {
	from, port, to, err := parseEdge(text)
	if err != nil {
		return FlowEdge{}, err
	}
	edge := FlowEdge{Port: port}
	switch {
	case to == startNode:
		return edge, fmt.Errorf("no edge leads to start, where every run begins; remove it")
	case from == startNode && port != "":
		return edge, fmt.Errorf("start has no ports; write start -> %s", to)
	case from == startNode:
		edge.From = fromStart
	default:
		if edge.From, err = w.find(from, startNode); err != nil {
			return edge, err
		}
	}
	if edge.To, err = w.find(to); err != nil {
		return edge, err
	}
	if edge.From == fromStart || broken[from] {
		return edge, nil
	}
	n := &w.Nodes[edge.From]
	if core, ok := coreActions[n.Action]; ok {
		edge.Port, err = n.port(port, to, core.ports(n))
	}
	return edge, err
}

// find returns the place of a node; others are names that may be meant too.
func (w *Flow) find(id string, others ...string) (int, error) {
	i, ok := slices.BinarySearchFunc(w.Nodes, id, func(n FlowNode, id string) int { return strings.Compare(n.ID, id) })
	if ok {
		return i, nil
	}
	known := others
	for _, n := range w.Nodes {
		known = append(known, n.ID)
	}
	if len(known) == 0 {
		return 0, fmt.Errorf("there is no node %q", id)
	}
	return 0, fmt.Errorf("there is no node %q; %s", id, Meant(id, known))
}

// port finds the port that an edge means, out of those of the node's action.
func (n *FlowNode) port(port, to string, ports []string) (string, error) {
	all := append(slices.Clone(ports), PortError)
	switch {
	case port == "" && len(ports) == 1:
		return ports[0], nil
	case port == "" && len(ports) == 0:
		return "", fmt.Errorf("%s (%s) ends the run, and leads on from its port error only: %s:error -> %s", n.ID, n.Action, n.ID, to)
	case port == "":
		return "", fmt.Errorf("%s (%s) leads on from several ports, %s; name one, such as %s:%s -> %s",
			n.ID, n.Action, strings.Join(all, ", "), n.ID, ports[0], to)
	case !contains(all, port):
		return "", fmt.Errorf("%s (%s) has no port %q; %s", n.ID, n.Action, port, Meant(port, all))
	}
	return port, nil
}

// another refuses an edge that is there already.
func (w *Flow) another(edge FlowEdge) error {
	for _, e := range w.edges {
		if e.FlowEdge == edge {
			return fmt.Errorf("is the same edge as %s; remove one", edgePath(e.at))
		}
	}
	return nil
}

// join tells the nodes of their edges.
func (w *Flow) join() {
	for _, e := range w.edges {
		to := &w.Nodes[e.To]
		to.In = append(to.In, e.FlowEdge)
		if e.From == fromStart {
			w.Start = append(w.Start, e.To)
			continue
		}
		from := &w.Nodes[e.From]
		from.Out = append(from.Out, e.FlowEdge)
	}
}

// cycle finds a cycle: the last of its edges in the file, and the names of its
// nodes in the order of the edges, from where that edge leads and back to it.
// nil: there is none.
func (w *Flow) cycle() (closing *writtenEdge, names []string) {
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(w.Nodes))
	var way []int // the nodes from the first one to where the search is
	var circle []int
	var visit func(i int) bool
	visit = func(i int) bool {
		state[i], way = open, append(way, i)
		for _, e := range w.Nodes[i].Out {
			switch state[e.To] {
			case open:
				circle = way[slices.Index(way, e.To):]
				return true
			case fresh:
				if visit(e.To) {
					return true
				}
			}
		}
		state[i], way = done, way[:len(way)-1]
		return false
	}
	for i := range w.Nodes {
		if state[i] == fresh && visit(i) {
			break
		}
	}
	if circle == nil {
		return nil, nil
	}
	last := 0 // within circle, where the closing edge begins
	for i, from := range circle {
		to := circle[(i+1)%len(circle)]
		for j := range w.edges {
			if e := &w.edges[j]; e.From == from && e.To == to && (closing == nil || e.at > closing.at) {
				closing, last = e, i
			}
		}
	}
	for i := range circle {
		names = append(names, w.Nodes[circle[(last+1+i)%len(circle)]].ID)
	}
	return closing, append(names, names[0])
}

// reached tells of each node whether a way leads to it from start.
func (w *Flow) reached() []bool {
	reached := make([]bool, len(w.Nodes))
	next := slices.Clone(w.Start)
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		if reached[i] {
			continue
		}
		reached[i] = true
		for _, e := range w.Nodes[i].Out {
			next = append(next, e.To)
		}
	}
	return reached
}

const arrow = "->"

// parseEdge reads node[:port] -> node.
func parseEdge(text string) (from, port, to string, err error) {
	parts := strings.Split(text, arrow)
	switch {
	case len(parts) == 1:
		return "", "", "", fmt.Errorf("%q has no arrow; want node -> node, or node:port -> node", text)
	case len(parts) > 2:
		return "", "", "", fmt.Errorf("%q has %d arrows; write an edge for each", text, len(parts)-1)
	}
	from, port, named := strings.Cut(strings.TrimSpace(parts[0]), ":")
	from, port, to = strings.TrimSpace(from), strings.TrimSpace(port), strings.TrimSpace(parts[1])
	switch {
	case from == "" || to == "":
		return "", "", "", fmt.Errorf("%q lacks a node beside the arrow; want node -> node, or node:port -> node", text)
	case strings.Contains(to, ":"):
		return "", "", "", fmt.Errorf("an edge leads to a node, not to a port of it; write -> %s", strings.TrimSpace(to[:strings.IndexByte(to, ':')]))
	case named && port == "":
		return "", "", "", fmt.Errorf("%q names no port after the colon; want %s:port -> %s", text, from, to)
	case strings.ContainsAny(port, ": \t\r\n"):
		return "", "", "", fmt.Errorf("%q is no name of a port; want node:port -> node", port)
	}
	return from, port, to, nil
}
