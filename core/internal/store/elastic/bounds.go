package elastic

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Bounds are what Elasticsearch can say of a condition. What holds is at least what sure
// matches and at most what possible matches; where both are the same it is exactly that,
// and elsewhere [decide] tells of a document between them.
type bounds struct {
	sure, possible query
	exact          bool
	// doubt matches what lies between.
	doubt query
}

// allDocuments are the bounds of no condition.
var allDocuments = bounds{sure: everything.dsl(), possible: everything.dsl(), exact: true, doubt: nothing.dsl()}

// mostDepth bounds how deep queries stand in each other; Elasticsearch refuses more than
// thirty.
const mostDepth = 24

// translate gives the bounds of a predicate over the documents of a kind. No text of a
// condition is ever read as a part of the query language: each is a value of its own, and
// what is special in patterns is escaped.
func translate(p condition.Predicate, kind store.Kind) (bounds, error) {
	t := translator{kind: kind}
	v, err := t.predicate(p)
	if err != nil {
		return bounds{}, err
	}
	yes := v.yes
	if yes.sure.depth() > mostDepth {
		yes.sure = nothing
	}
	if yes.possible.depth() > mostDepth {
		yes.possible = everything
	}
	return bounds{
		sure: yes.sure.dsl(), possible: yes.possible.dsl(), exact: yes.sure == yes.possible,
		doubt: all(yes.possible, not(yes.sure)).dsl(),
	}, nil
}

// A span is a set of documents that is known to hold all of sure and nothing that is not
// of possible.
type span struct{ sure, possible *node }

func exactly(n *node) span { return span{n, n} }

func (s span) not() span {
	if s.sure == s.possible {
		return exactly(not(s.sure))
	}
	return span{sure: not(s.possible), possible: not(s.sure)}
}

func joined(join func(...*node) *node, spans []span) span {
	sure, possible := make([]*node, len(spans)), make([]*node, len(spans))
	for i, s := range spans {
		sure[i], possible[i] = s.sure, s.possible
	}
	if slices.Equal(sure, possible) {
		return exactly(join(sure...))
	}
	return span{join(sure...), join(possible...)}
}

// A verdict is where a predicate is true and where it is false; elsewhere it failed.
type verdict struct{ yes, no span }

// A translator makes verdicts of predicates over a kind.
type translator struct{ kind store.Kind }

func (t *translator) predicate(p condition.Predicate) (verdict, error) {
	switch x := p.(type) {
	case condition.Const:
		if x {
			return verdict{exactly(everything), exactly(nothing)}, nil
		}
		return verdict{exactly(nothing), exactly(everything)}, nil
	case condition.And:
		return t.junction(x, all, anyOf)
	case condition.Or:
		return t.junction(x, anyOf, all)
	case condition.Not:
		v, err := t.predicate(x.Of)
		return verdict{yes: v.no, no: v.yes}, err
	}
	return t.leaf(p)
}

// junction joins what is true by one way and what is false by the other, as Kleene has it.
func (t *translator) junction(parts []condition.Predicate, yes, no func(...*node) *node) (verdict, error) {
	ys, ns := make([]span, len(parts)), make([]span, len(parts))
	for i, p := range parts {
		v, err := t.predicate(p)
		if err != nil {
			return verdict{}, err
		}
		ys[i], ns[i] = v.yes, v.no
	}
	return verdict{joined(yes, ys), joined(no, ns)}, nil
}

func unknown(what string, v any) error {
	return fmt.Errorf("translate condition to a query: %s %v is unknown to this store", what, v)
}
