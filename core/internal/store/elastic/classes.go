package elastic

import (
	"slices"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A leaf is decided for each class of value that may stand at its place.
type class int

const (
	classNull class = iota // or nothing there
	classTrue
	classFalse
	classNumber
	classText
	classMap
	classList
	classes
)

// A site is a place of documents as it can be asked about: a column, or the terms of a
// place.
type site struct {
	column string // empty: terms
	date   bool   // the column holds times
	place  string
	of     [classes]*node // the documents with a value of each class there
	there  *node          // those with anything but null
}

// site gives the place of a field.
func (t *translator) site(f condition.Field) site {
	if len(f.Path) == 1 && slices.Contains(t.kind.Columns(), f.Path[0]) {
		s := site{column: f.Path[0], date: slices.Contains(t.kind.Times(), f.Path[0])}
		for c := range s.of {
			s.of[c] = nothing
		}
		s.there = &node{op: 'l', leaf: query{"exists": query{"field": s.column}}}
		s.of[classText], s.of[classNull] = s.there, not(s.there)
		return s
	}
	place := placeOf(f.Path)
	term := func(text string) *node { return leaf("term", fieldTerms, text) }
	s := site{place: place, there: leaf("terms", fieldTerms, presences(place))}
	s.of = [classes]*node{
		classNull: not(s.there), classTrue: term(valueTerm(place, kindBool, "true")), classFalse: term(valueTerm(place, kindBool, "false")),
		classNumber: term(presence(place, kindNumber)), classText: term(presence(place, kindText)),
		classMap: term(presence(place, kindMap)), classList: term(presence(place, kindList)),
	}
	return s
}

// term matches a value of a kind of term at the site, terms some of them.
func (s *site) terms(kind string, values ...string) *node {
	texts := make([]string, len(values))
	for i, v := range values {
		if texts[i] = v; s.column == "" {
			texts[i] = valueTerm(s.place, kind, v)
		}
	}
	field := s.field()
	switch len(texts) {
	case 0:
		return nothing
	case 1:
		return leaf("term", field, texts[0])
	}
	return leaf("terms", field, texts)
}

func (s *site) field() string {
	if s.column != "" {
		return s.column
	}
	return fieldTerms
}

// ordered matches the values of a kind of term that compare so with one.
func (s *site) ordered(kind string, op condition.Op, value string) (*node, error) {
	bound, first, end := value, "", ""
	if s.column == "" {
		bound, first = valueTerm(s.place, kind, value), valueTerm(s.place, kind, "")
		end = first[:len(first)-1] + ">" // what comes after an equals sign
	}
	within := query{}
	switch op {
	case condition.Equal:
		return s.terms(kind, value), nil
	case condition.Less:
		within["lt"] = bound
	case condition.LessOrEqual:
		within["lte"] = bound
	case condition.Greater:
		within["gt"] = bound
	case condition.GreaterOrEqual:
		within["gte"] = bound
	default:
		return nil, unknown("comparison", op)
	}
	if s.column == "" {
		if op == condition.Less || op == condition.LessOrEqual {
			within["gte"] = first
		} else {
			within["lt"] = end
		}
	}
	return leaf("range", s.field(), within), nil
}

// An answer is where a leaf is true and where it is false among the values of a class.
// Both are empty where it fails.
type answer struct{ yes, no span }

// An answers has one of each class.
type answers [classes]answer

// whether is the answer of a leaf that is true of just what a span matches, among the
// values of a class.
func (s *site) whether(c class, yes span) answer {
	among := func(n *node) *node { return all(s.of[c], n) }
	no := span{among(not(yes.possible)), among(not(yes.sure))}
	if yes.sure == yes.possible {
		no.possible = no.sure
	}
	return answer{yes, no}
}

// same is the answer of a leaf that says the same of all values of a class.
func (s *site) same(c class, holds bool, failed error) answer {
	switch {
	case failed != nil:
		return answer{exactly(nothing), exactly(nothing)}
	case holds:
		return answer{exactly(s.of[c]), exactly(nothing)}
	}
	return answer{exactly(nothing), exactly(s.of[c])}
}

// unsure is the answer of a leaf that has to be decided value by value.
func (s *site) unsure(c class) answer {
	some := span{nothing, s.of[c]}
	return answer{some, some}
}

// tested has a leaf's own test answer for the classes that have one value only, and says
// false of all others.
func (s *site) tested(test func(v any) (bool, error)) (a answers) {
	for c := range classes {
		a[c] = s.same(c, false, nil)
	}
	for c, v := range map[class]any{classNull: nil, classTrue: true, classFalse: false} {
		holds, failed := test(v)
		a[c] = s.same(c, holds, failed)
	}
	return a
}

// failing has a leaf fail for some classes.
func (a *answers) failing(list ...class) {
	for _, c := range list {
		a[c] = answer{exactly(nothing), exactly(nothing)}
	}
}

// verdict puts together what a leaf says of all classes.
func (s *site) verdict(a answers, fails bool) verdict {
	yes, no := make([]span, classes), make([]span, classes)
	for c := range classes {
		yes[c], no[c] = a[c].yes, a[c].no
	}
	v := verdict{yes: joined(anyOf, yes)}
	if v.no = v.yes.not(); fails {
		v.no = joined(anyOf, no)
	}
	return v
}
