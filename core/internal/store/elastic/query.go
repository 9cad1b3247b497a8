package elastic

import "slices"

// A query is a question in Elasticsearch's query DSL.
type query = map[string]any

// A node is a query as it is put together: a leaf, or some nodes joined. Nodes that are
// the same pointer ask the same.
type node struct {
	op   byte // 'l' leaf, '&' all of, '|' any of, '!' not
	leaf query
	of   []*node
}

// everything and nothing match all documents and none.
var (
	everything = &node{op: 'l', leaf: query{"match_all": query{}}}
	nothing    = &node{op: 'l', leaf: query{"match_none": query{}}}
)

func leaf(kind, field string, value any) *node {
	return &node{op: 'l', leaf: query{kind: query{field: value}}}
}

// all matches what every node matches.
func all(nodes ...*node) *node {
	list, dead := join('&', everything, nothing, nodes)
	switch {
	case dead:
		return nothing
	case len(list) == 0:
		return everything
	case len(list) == 1:
		return list[0]
	}
	return &node{op: '&', of: list}
}

// anyOf matches what some node matches.
func anyOf(nodes ...*node) *node {
	list, full := join('|', nothing, everything, nodes)
	switch {
	case full:
		return everything
	case len(list) == 0:
		return nothing
	case len(list) == 1:
		return list[0]
	}
	return &node{op: '|', of: list}
}

// join lists nodes and those of the same joint among them, without what changes nothing;
// decided tells of one that decides for all.
func join(op byte, neutral, deciding *node, nodes []*node) (list []*node, decided bool) {
	for _, n := range nodes {
		switch {
		case n == deciding:
			return nil, true
		case n == neutral || slices.Contains(list, n):
		case n.op == op:
			list = append(list, n.of...)
		default:
			list = append(list, n)
		}
	}
	return list, false
}

// not matches what a node does not.
func not(n *node) *node {
	switch {
	case n == everything:
		return nothing
	case n == nothing:
		return everything
	case n.op == '!':
		return n.of[0]
	}
	return &node{op: '!', of: []*node{n}}
}

// depth is how deep nodes stand in each other.
func (n *node) depth() int {
	deepest := 0
	for _, of := range n.of {
		deepest = max(deepest, of.depth())
	}
	return deepest + 1
}

// dsl writes the node, which only filters: nothing is scored.
func (n *node) dsl() query {
	var occurrence string
	switch n.op {
	case '&':
		occurrence = "filter"
	case '|':
		occurrence = "should"
	case '!':
		occurrence = "must_not"
	default:
		return n.leaf
	}
	list := make([]query, len(n.of))
	for i, of := range n.of {
		list[i] = of.dsl()
	}
	return query{"bool": query{occurrence: list}}
}
