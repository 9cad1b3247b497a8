package elastic

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// undecided are the verdicts of a leaf of which nothing is known but that some of these
// documents may be found by it.
func undecided(possible *node) verdict {
	return verdict{yes: span{nothing, possible}, no: span{nothing, everything}}
}

func (t *translator) leaf(p condition.Predicate) (verdict, error) {
	switch x := p.(type) {
	case condition.Exists:
		if x.Missing != nil || x.As != condition.AsIs {
			return undecided(everything), nil
		}
		s := t.site(x.Field)
		return verdict{exactly(s.there), exactly(not(s.there))}, nil
	case condition.Truth:
		s := t.site(x.Field)
		a := s.tested(x.Test)
		a.failing(classNumber, classText, classMap, classList)
		return s.verdict(a, true), nil
	case condition.Compare:
		return t.compare(x)
	case condition.In:
		return t.in(x)
	case condition.Has:
		return t.has(x)
	case condition.Text:
		return t.text(x)
	case condition.CompareFields:
		return t.compareFields(x)
	case condition.Distance:
		if x.Lat.Missing != nil || x.Lon.Missing != nil {
			return undecided(everything), nil
		}
		lat, lon := t.site(x.Lat), t.site(x.Lon)
		return undecided(all(lat.of[classNumber], lon.of[classNumber])), nil
	case condition.Bucket:
		return undecided(everything), nil
	}
	return verdict{}, unknown("predicate", p)
}

// compareFields knows only that what is ordered is there.
func (t *translator) compareFields(c condition.CompareFields) (verdict, error) {
	if c.Op == condition.Equal || c.Left.Missing != nil || c.Right.Missing != nil {
		return undecided(everything), nil
	}
	left, right := t.site(c.Left), t.site(c.Right)
	return undecided(all(left.there, right.there)), nil
}

func (t *translator) compare(c condition.Compare) (verdict, error) {
	s := t.site(c.Field)
	if c.As == condition.Listed {
		return undecided(everything), nil
	}
	if text, is := c.Value.(string); is && c.Time {
		at, err := sdk.ParseTime(text)
		if err != nil {
			// No time is like a text that is none.
			return verdict{exactly(nothing), exactly(everything)}, nil //nolint:nilerr
		}
		c.Value = at
	}
	a, failing := s.tested(c.Test), c.As != condition.AsIs
	var err error
	switch v := c.Value.(type) {
	case int64, float64, json.Number:
		if c.Time {
			a[classText] = s.unsure(classText)
		}
		a[classNumber], err = s.number(c.Op, v)
	case string:
		var yes span
		if yes, err = s.comparedText(c.Op, c.As, v); err == nil {
			a[classText] = s.whether(classText, yes)
		}
	case time.Time:
		var yes span
		if yes, err = s.comparedTime(c.Op, c.Field, v); err == nil {
			a[classText] = s.whether(classText, yes)
		}
	case []any:
		a[classList] = s.unsure(classList)
	case map[string]any:
		a[classMap] = s.unsure(classMap)
	}
	if err != nil {
		return verdict{}, err
	}
	if failing { // a form of what is no text
		a.failing(classNumber, classMap, classList)
	}
	return s.verdict(a, failing), nil
}

// number compares the numbers of a site.
func (s *site) number(op condition.Op, v any) (answer, error) {
	text, ok := condition.AppendOrdered(nil, v)
	if !ok || s.column != "" {
		return s.unsure(classNumber), nil
	}
	n, err := s.ordered(kindNumber, op, string(text))
	if err != nil {
		return answer{}, err
	}
	huge := leaf("term", fieldTerms, presence(s.place, kindHuge))
	return s.whether(classNumber, span{n, anyOf(n, huge)}), nil
}

// long matches the texts of a site of which only a hash is known.
func (s *site) long() *node {
	if s.column != "" {
		return nothing
	}
	return leaf("term", fieldTerms, presence(s.place, kindLong))
}

// formKinds are the kinds of term that have a text in another form.
var formKinds = map[condition.Form]string{condition.Lowered: kindLowered, condition.Folded: kindFolded}

// inForm asks about the texts of a site in a form, by how it is asked of one kind of term.
func (s *site) inForm(form condition.Form, ask func(kind string) (*node, error)) (span, error) {
	if s.column != "" && form != condition.AsIs {
		return span{nothing, s.of[classText]}, nil
	}
	n, err := ask(kindText)
	if err != nil {
		return span{}, err
	}
	if form != condition.AsIs {
		kind := formKinds[form]
		changed, err := ask(kind)
		if err != nil {
			return span{}, err
		}
		n = anyOf(changed, all(n, not(leaf("term", fieldTerms, presence(s.place, kind)))))
	}
	return span{n, anyOf(n, s.long())}, nil
}

func (s *site) comparedText(op condition.Op, form condition.Form, text string) (span, error) {
	if s.date {
		return span{nothing, s.of[classText]}, nil
	}
	switch {
	case form == condition.AsIs && op == condition.Equal && s.column == "" && len(text) > mostText:
		return exactly(s.terms(kindHash, hashOf(text))), nil
	case len(text) > mostTerm:
		return span{nothing, s.of[classText]}, nil
	}
	return s.inForm(form, func(kind string) (*node, error) { return s.ordered(kind, op, text) })
}

// mostTerm bounds what is asked for as a term.
const mostTerm = 8 << 10

// comparedTime compares what the product keeps as a time, or any text that is one.
func (s *site) comparedTime(op condition.Op, f condition.Field, at time.Time) (span, error) {
	if y := at.UTC().Year(); f.As != condition.AsIs || y < 1 || y > 9999 {
		return span{nothing, s.of[classText]}, nil
	}
	n, err := s.ordered(kindTime, op, sdk.FormatTime(at))
	if err != nil {
		return span{}, err
	}
	if s.column != "" && !s.date {
		return span{nothing, s.of[classText]}, nil
	}
	return span{n, anyOf(n, s.long())}, nil
}

// in asks for many texts at once, and for other values one by one.
func (t *translator) in(in condition.In) (verdict, error) {
	var texts []string
	var others []condition.Predicate
	plain := in.As == condition.AsIs && !in.Time && in.Missing == nil
	for _, v := range in.Values {
		if text, is := v.(string); is && plain && len(text) <= mostText {
			texts = append(texts, text)
			continue
		}
		others = append(others, condition.Compare{Field: in.Field, Op: condition.Equal, Value: v})
	}
	rest, err := t.predicate(condition.Or(others))
	if err != nil || len(texts) == 0 {
		return rest, err
	}
	s := t.site(in.Field)
	yes := span{nothing, s.of[classText]}
	if !s.date {
		yes = exactly(s.terms(kindText, texts...))
	}
	return verdict{
		yes: joined(anyOf, []span{yes, rest.yes}),
		no:  joined(all, []span{yes.not(), rest.no}),
	}, nil
}

// has looks for an element of a list or a key of a map.
func (t *translator) has(h condition.Has) (verdict, error) {
	s := t.site(h.Field)
	if s.column != "" || h.Missing != nil || h.As != condition.AsIs && h.As != condition.Listed {
		return undecided(everything), nil
	}
	a := s.tested(h.Test)
	a[classList] = s.whether(classList, s.element(h.Value))
	if h.As == condition.Listed {
		for _, c := range []class{classNumber, classText, classMap} {
			a[c] = s.unsure(c)
		}
		if v, is := h.Value.(string); is && !h.Time {
			yes, err := s.comparedText(condition.Equal, condition.AsIs, v)
			if err != nil {
				return verdict{}, err
			}
			a[classText], a[classNumber], a[classMap] = s.whether(classText, yes), s.same(classNumber, false, nil), s.same(classMap, false, nil)
		}
		return s.verdict(a, false), nil
	}
	a[classMap] = s.unsure(classMap)
	if key, is := h.Value.(string); is {
		place := placeOf(append(h.Path[:len(h.Path):len(h.Path)], key))
		a[classMap] = s.whether(classMap, exactly(all(s.of[classMap], leaf("terms", fieldTerms, append(presences(place), presence(place, kindNull))))))
	}
	a.failing(classTrue, classFalse, classNumber, classText)
	return s.verdict(a, true), nil
}

// element matches lists with an element that equals a value.
func (s *site) element(v any) span {
	huge, long := s.without("e"+kindHuge), s.without("e"+kindLong)
	switch v := v.(type) {
	case bool:
		text := "false"
		if v {
			text = "true"
		}
		return exactly(s.terms("e"+kindBool, text))
	case int64, float64, json.Number:
		text, ok := condition.AppendOrdered(nil, v)
		if !ok {
			return span{nothing, huge}
		}
		return exactly(s.terms("e"+kindNumber, string(text)))
	case string:
		if len(v) > mostText {
			return exactly(s.terms("e"+kindHash, hashOf(v)))
		}
		return exactly(s.terms("e"+kindText, v))
	case time.Time:
		n := s.terms("e"+kindTime, sdk.FormatTime(v))
		return span{n, anyOf(n, long)}
	}
	return span{nothing, s.of[classList]}
}

// without matches a kind of term without a value.
func (s *site) without(kind string) *node { return leaf("term", fieldTerms, presence(s.place, kind)) }

// mostPattern bounds the text of a wildcard: Lucene makes an automaton of it.
const mostPattern = 200

func (t *translator) text(x condition.Text) (verdict, error) {
	s := t.site(x.Field)
	if s.date || x.Missing != nil || x.As == condition.Listed {
		return undecided(everything), nil
	}
	// Without a value no text is looked at: the test needs no pattern.
	a := s.tested(func(v any) (bool, error) { return x.Test(v, noPattern) })
	yes := span{nothing, s.of[classText]}
	switch {
	case x.Op == condition.Matches || len(x.Arg) > mostPattern:
	case x.Arg == "":
		yes = exactly(s.of[classText])
	default:
		var err error
		yes, err = s.inForm(x.As, func(kind string) (*node, error) { return s.pattern(kind, x.Op, x.Arg) })
		if err != nil {
			return verdict{}, err
		}
	}
	a[classText] = s.whether(classText, yes)
	a.failing(classTrue, classFalse, classNumber, classMap, classList)
	return s.verdict(a, true), nil
}

var noPattern = regexp.MustCompile("")

// pattern matches texts that begin with another, end with it or contain it.
func (s *site) pattern(kind string, op condition.TextOp, arg string) (*node, error) {
	before := ""
	if s.column == "" {
		before = valueTerm(s.place, kind, "")
	}
	switch op {
	case condition.StartsWith:
		return leaf("prefix", s.field(), before+arg), nil
	case condition.EndsWith:
		return leaf("wildcard", s.field(), wildcard.Replace(before)+"*"+wildcard.Replace(arg)), nil
	case condition.Contains:
		return leaf("wildcard", s.field(), wildcard.Replace(before)+"*"+wildcard.Replace(arg)+"*"), nil
	}
	return nil, unknown("question", op)
}

// wildcard takes their meaning from the characters of a pattern.
var wildcard = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)
