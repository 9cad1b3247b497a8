package condition

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// maxLeaves bounds a predicate: lists that are written out are unrolled.
const maxLeaves = 500

// Predicate lowers the condition to what a query store can search: documents of
// the first variable of its scope. It finds those documents for which
// [Program.Bool] is true at that time with a History of the same profile. now
// stands for the time of the search. What cannot be kept exact is an [*Error]
// that says why.
func (p *Program) Predicate(now time.Time) (Predicate, error) {
	s := &search{source: p.source, document: p.scope.variables[0], vars: &Vars{Now: now}}
	if _, is := schema[s.document]; !is {
		return nil, errorAt(p.source, 0, "search events, profiles or sessions", "%s is not kept in the store", s.document)
	}
	pr, err := s.condition(p.root)
	if err != nil {
		return nil, err
	}
	return pr, nil
}

type search struct {
	source   string
	document string
	vars     *Vars
	locals   []binding // loop variables over lists that are written out
	leaves   int
}

type binding struct {
	name  string
	value any
}

func (s *search) refuse(n *node, wayOut, format string, args ...any) *Error {
	return errorAt(s.source, n.pos, wayOut, format, args...)
}

// condition lowers a node that is true or false.
func (s *search) condition(n *node) (Predicate, *Error) {
	if err := s.grow(1, n); err != nil {
		return nil, err
	}
	if v, known, err := s.value(n); err != nil {
		return nil, err
	} else if known {
		switch x := truth(v).(type) {
		case bool:
			return Const(x), nil
		default:
			return nil, s.refuse(n, "compare it with something", "it is %s, neither true nor false", typeName(v))
		}
	}
	switch n.op {
	case opAnd, opOr:
		return s.junction(n)
	case opNot:
		of, err := s.condition(n.args[0])
		return Not{Of: of}, err
	case opConditional:
		return s.conditional(n)
	case opEquals, opNotEquals, opLess, opLessEquals, opGreater, opGreaterEquals:
		return s.comparison(n)
	case opIn:
		return s.in(n.args[0], n.args[1], n)
	case "has":
		f, err := s.field(n.args[0])
		if err != nil {
			return nil, err
		}
		if f.textual() {
			return nil, s.refuse(n, "ask has(x)", "%s(x) is not asked for", f.As)
		}
		return s.exists(f), nil
	case "startsWith", "endsWith", "contains", "matches":
		return s.text(n)
	case "exists", "all":
		return s.loop(n)
	case callConsented:
		return s.consented(n)
	}
	f, err := s.field(n)
	if err != nil {
		return nil, err
	}
	return Truth{Field: f}, nil
}

// grow counts parts of the predicate.
func (s *search) grow(by int, n *node) *Error {
	if s.leaves += by; s.leaves > maxLeaves {
		return s.refuse(n, "search for less at once", "it comes to more than %d comparisons", maxLeaves)
	}
	return nil
}

func (s *search) junction(n *node) (Predicate, *Error) {
	var parts []Predicate
	for _, a := range n.args {
		p, err := s.condition(a)
		if err != nil {
			return nil, err
		}
		switch x := p.(type) {
		case And:
			if n.op == opAnd {
				parts = append(parts, x...)
				continue
			}
		case Or:
			if n.op == opOr {
				parts = append(parts, x...)
				continue
			}
		}
		parts = append(parts, p)
	}
	if n.op == opAnd {
		return And(parts), nil
	}
	return Or(parts), nil
}

// conditional is two branches, exact only where the question itself cannot
// fail: a failed question fails the whole, whatever the branches are.
func (s *search) conditional(n *node) (Predicate, *Error) {
	var parts [3]Predicate
	for i, a := range n.args {
		var err *Error
		if parts[i], err = s.condition(a); err != nil {
			return nil, err
		}
	}
	if !certain(parts[0]) {
		return nil, s.refuse(n.args[0], "join the cases with && and ||", "the question before ? could fail for a field of another type")
	}
	// The question stands twice.
	if err := s.grow(weight(parts[0]), n); err != nil {
		return nil, err
	}
	return Or{And{parts[0], parts[1]}, And{Not{Of: parts[0]}, parts[2]}}, nil
}

// weight counts the parts of a predicate.
func weight(p Predicate) int {
	n := 1
	switch x := p.(type) {
	case And:
		for _, p := range x {
			n += weight(p)
		}
	case Or:
		for _, p := range x {
			n += weight(p)
		}
	case Not:
		n += weight(x.Of)
	case In:
		n += len(x.Values)
	}
	return n
}

// certain tells whether a predicate cannot fail.
func certain(p Predicate) bool {
	switch x := p.(type) {
	case Const, Exists:
		return true
	case And:
		return !slices.ContainsFunc(x, func(p Predicate) bool { return !certain(p) })
	case Or:
		return !slices.ContainsFunc(x, func(p Predicate) bool { return !certain(p) })
	case Not:
		return certain(x.Of)
	case Compare:
		return !x.textual()
	case CompareFields:
		return !x.Left.textual() && !x.Right.textual()
	case In:
		return !x.textual()
	}
	return false
}

// textual tells whether a field is read in a form that only texts have.
func (f Field) textual() bool { return f.As == Lowered || f.As == Folded }

// value gives the value of a node that is the same for every document.
func (s *search) value(n *node) (v any, known bool, err *Error) {
	if n.op == nodeLocal {
		for _, b := range slices.Backward(s.locals) {
			if b.name == n.local {
				return b.value, true, nil
			}
		}
		return nil, false, nil
	}
	if !n.fixed {
		return nil, false, nil
	}
	f := &frame{vars: s.vars, left: maxSteps}
	v = n.eval(f)
	if bad, is := v.(*fault); is {
		return nil, false, s.refuse(n, "", "%s", bad.message)
	}
	return v, true, nil
}

// field reads a node as a field of the searched document.
func (s *search) field(n *node) (Field, *Error) {
	switch {
	case n.op == nodePath && n.variable != s.document:
		return Field{}, s.refuse(n, "copy what you need to the "+s.document+" when it is processed",
			"the search is over %ss, which do not hold the %s", s.document, n.variable)
	case n.op == nodePath && len(n.names) == 0:
		return Field{}, s.refuse(n, "name a field of it", "%s is the whole document", n.variable)
	case n.op == nodePath:
		f := Field{Path: n.names, Time: n.typ&^tNull == tTime}
		switch {
		case len(n.names) == 1 && n.typ == tMap:
			f.Missing = map[string]any{}
		case len(n.names) == 1 && n.typ == tList:
			f.Missing = []any{}
		}
		return f, nil
	case n.op == "lower", n.op == "fold", n.op == "list":
		return s.form(n)
	case n.agg != nil:
		return s.aggregate(n)
	case n.op == nodeLocal:
		return Field{}, s.refuse(n, `ask "x" in list`, "the store does not look into single elements")
	case n.op == opIndex:
		return Field{}, s.refuse(n, `ask "x" in list`, "the store does not look at one place of a list")
	case n.op == "day":
		return Field{}, s.refuse(n, `ask for a span: x >= day(now) && x < day(now) + duration("1d")`, "the store does not compute with fields (day)")
	case n.op == "timestamp":
		return Field{}, s.refuse(n, "compare the field itself: a text beside a time is read as one", "the store does not convert")
	}
	what := n.op
	if symbol, is := symbols[n.op]; is {
		what = symbol
	}
	return Field{}, s.refuse(n, "compare a field with a value; keep what is computed in a field by a copy rule",
		"the store does not compute with fields (%s)", what)
}

// form reads a field in another form.
func (s *search) form(n *node) (Field, *Error) {
	f, err := s.field(n.args[0])
	switch {
	case err != nil:
		return f, err
	case f.As != AsIs:
		return f, s.refuse(n, "write one of them", "the store does not compute with fields (%s of %s)", n.op, f.As)
	case f.Time && n.op != "list":
		return f, s.refuse(n, "compare the time itself", "a time is no text")
	}
	f.As = Form(n.op)
	return f, nil
}

// aggregate finds a lifetime figure where a profile keeps it.
func (s *search) aggregate(n *node) (Field, *Error) {
	a := n.agg
	if s.document != varProfile {
		return Field{}, s.refuse(n, "search profiles", "%s looks at a profile, and the search is over %ss", a.Func, s.document)
	}
	path := sdk.Path{"stats", "events", a.Type}
	switch {
	case a.Window > 0:
		return Field{}, s.refuse(n, "have a flow with this condition keep a trait or a segment, and search for that; count, first and last of all time can be searched by",
			"the store keeps no figure of a window, which moves with time, also where profiles keep it")
	case a.Func == Count:
		return Field{Path: append(path, "count"), Missing: int64(0)}, nil
	case a.Func == Sum:
		return Field{}, s.refuse(n, "keep it in a counter by a copy rule and search for that", "the sum is not kept in the store")
	}
	return Field{Path: append(path, string(a.Func)), Time: true}, nil
}

// exists is has(x): what a document always has needs no look.
func (s *search) exists(f Field) Predicate {
	if f.Missing != nil {
		return Const(true)
	}
	return Exists{Field: Field{Path: f.Path, Time: f.Time}}
}

func (s *search) comparison(n *node) (Predicate, *Error) {
	l, r, op := n.args[0], n.args[1], n.op
	lv, lKnown, err := s.value(l)
	if err != nil {
		return nil, err
	}
	rv, rKnown, err := s.value(r)
	if err != nil {
		return nil, err
	}
	if lKnown && rKnown {
		if op == opEquals || op == opNotEquals {
			return Const(equal(nil, lv, rv) == (op == opEquals)), nil
		}
		return Const(ordering(op, lv, rv) == true), nil
	}
	if lKnown {
		l, rv, rKnown, op = r, lv, true, mirror(op)
	}
	negate := op == opNotEquals
	if negate {
		op = opEquals
	}
	var p Predicate
	if rKnown && (l.op == "distance" || l.op == "bucket") {
		if p, err = s.number(l, Op(symbols[op]), rv); err != nil || !negate {
			return p, err
		}
		return Not{Of: p}, nil
	}
	f, err := s.field(l)
	if err != nil {
		return nil, err
	}
	if rKnown {
		p, err = s.compare(f, Op(symbols[op]), rv, l)
	} else {
		var g Field
		if g, err = s.field(r); err == nil {
			if holdsTimes(f, s.document) || holdsTimes(g, s.document) {
				return nil, s.refuse(n, "compare a field of it", "a map that holds times is not compared whole")
			}
			p = CompareFields{Left: f, Op: Op(symbols[op]), Right: g}
		}
	}
	if err != nil {
		return nil, err
	}
	if negate {
		return Not{Of: p}, nil
	}
	return p, nil
}

// holdsTimes tells whether a field is a map in which the product keeps times: a
// document in memory has them as times, its JSON as text.
func holdsTimes(f Field, document string) bool {
	switch {
	case document != varProfile:
		return false
	case f.Path[0] == "segments":
		return len(f.Path) < 3
	case f.Path[0] == "stats":
		return len(f.Path) == 1 || f.Path[1] == "events" && len(f.Path) < 4
	}
	return false
}

// literal tells whether JSON can hold v.
func literal(v any) bool {
	switch x := v.(type) {
	case nil, bool, string, int64, json.Number:
		return true
	case float64:
		return !math.IsInf(x, 0) && x == x
	case []any:
		return !slices.ContainsFunc(x, func(e any) bool { return !literal(e) })
	case map[string]any:
		for _, e := range x {
			if !literal(e) {
				return false
			}
		}
		return true
	}
	return false
}

// mirror turns an operator around, for its operands the other way round.
func mirror(op string) string {
	switch op {
	case opLess:
		return opGreater
	case opLessEquals:
		return opGreaterEquals
	case opGreater:
		return opLess
	case opGreaterEquals:
		return opLessEquals
	}
	return op
}

func (s *search) compare(f Field, op Op, v any, n *node) (Predicate, *Error) {
	never := Predicate(Const(false))
	if f.textual() {
		// No text is below the empty one, and what is no text fails.
		never = Compare{Field: f, Op: Less, Value: ""}
	}
	switch x := v.(type) {
	case nil:
		switch {
		case op != Equal:
			return never, nil
		case f.textual():
			return nil, s.refuse(n, "compare the field itself with null", "%s(x) is not compared with null", f.As)
		}
		return Not{Of: s.exists(f)}, nil
	case time.Duration:
		return never, nil
	case float64:
		switch {
		case x != x:
			return never, nil
		case math.IsInf(x, 0):
			return nil, s.refuse(n, "compare with a finite number", "no document holds an infinite number")
		}
	case []any, map[string]any:
		if op != Equal {
			return never, nil
		}
		switch {
		case !literal(x):
			return nil, s.refuse(n, "compare the elements", "the value holds times, durations or infinite numbers")
		case holdsTimes(f, s.document):
			return nil, s.refuse(n, "compare a field of it", "%s holds times", f.Path)
		}
	case string:
		if f.Time && f.As == AsIs {
			t, err := sdk.ParseTime(x)
			if err != nil {
				return never, nil //nolint:nilerr // no time is like a text that is none
			}
			v = t
		}
	}
	return Compare{Field: f, Op: op, Value: v}, nil
}

// in is x in list, where one side is written out.
func (s *search) in(x, list, n *node) (Predicate, *Error) {
	values, known, err := s.value(list)
	if err != nil {
		return nil, err
	}
	if !known {
		v, known, err := s.value(x)
		switch {
		case err != nil:
			return nil, err
		case !known:
			return nil, s.refuse(n, `write out one side: x in ["a", "b"], or "a" in list`, "two fields are not looked up in each other")
		case !literal(v):
			return nil, s.refuse(n, "look for a text or a number", "the store does not look for %s in a list", typeName(v))
		}
		f, err := s.list(list)
		if err != nil {
			return nil, err
		}
		return Has{Field: f, Value: v}, nil
	}
	f, err := s.field(x)
	if err != nil {
		return nil, err
	}
	elements, is := values.([]any)
	if !is {
		return nil, s.refuse(n, `write a list: x in ["a", "b"]`, "in looks into a list")
	}
	if err := s.grow(len(elements), n); err != nil {
		return nil, err
	}
	in, null := In{Field: f}, false
	for _, e := range elements {
		if e == nil {
			null = true
			continue
		}
		c, err := s.compare(f, Equal, e, x)
		if err != nil {
			return nil, err
		}
		if c, is := c.(Compare); is && c.Op == Equal {
			in.Values = append(in.Values, c.Value)
		}
	}
	var p Predicate = in
	switch {
	case f.textual() && (null || len(in.Values) == 0):
		return nil, s.refuse(n, "write a list of texts", "%s(x) is not looked up in it", f.As)
	case len(in.Values) == 0:
		p = Const(false)
	}
	if null {
		return Or{Not{Of: s.exists(f)}, p}, nil
	}
	return p, nil
}

func (s *search) text(n *node) (Predicate, *Error) {
	arg, known, err := s.value(n.args[1])
	if err != nil {
		return nil, err
	}
	text, is := arg.(string)
	if !known || !is {
		return nil, s.refuse(n.args[1], "write it out as text", "the text that is looked for is not known")
	}
	f, err := s.field(n.args[0])
	switch {
	case err != nil:
		return nil, err
	case f.Time:
		return nil, s.refuse(n, "compare it: x >= timestamp(\"2026-01-01\")", "a time is no text")
	}
	return Text{Field: f, Op: TextOp(n.op), Arg: text}, nil
}

// loop lowers exists and all over a list that is written out, and exists over
// a field where the condition looks for values.
func (s *search) loop(n *node) (Predicate, *Error) {
	list, body := n.args[0], n.args[1]
	v, known, err := s.value(list)
	if err != nil {
		return nil, err
	}
	if known {
		elements, is := v.([]any)
		if !is {
			return nil, s.refuse(n, "write out a list", "the loop is not over a list")
		}
		parts := make([]Predicate, len(elements))
		for i, e := range elements {
			s.locals = append(s.locals, binding{n.local, e})
			parts[i], err = s.condition(body)
			s.locals = s.locals[:len(s.locals)-1]
			if err != nil {
				return nil, err
			}
		}
		if n.op == "all" {
			return And(parts), nil
		}
		return Or(parts), nil
	}
	var values []any
	if n.op == "exists" {
		values = s.lookedFor(n.local, body)
	}
	if len(values) == 0 {
		return nil, s.refuse(n, `ask "x" in list, or ["x", "y"].exists(v, v in list)`, "the store does not loop over a field")
	}
	if err := s.grow(len(values), n); err != nil {
		return nil, err
	}
	f, err := s.list(list)
	if err != nil {
		return nil, err
	}
	parts := make([]Predicate, len(values))
	for i, v := range values {
		parts[i] = Has{Field: f, Value: v}
	}
	return Or(parts), nil
}

// lookedFor gives the values of x == value and x in [values], x being the loop
// variable; none for any other condition.
func (s *search) lookedFor(local string, body *node) []any {
	isLocal := func(n *node) bool { return n.op == nodeLocal && n.local == local }
	var values []any
	switch l := body; {
	case (l.op == opEquals || l.op == opIn) && isLocal(l.args[0]) && isLocal(l.args[1]):
	case (l.op == opEquals || l.op == opIn) && isLocal(l.args[0]):
		if v, known, err := s.value(l.args[1]); known && err == nil {
			if l.op == opEquals {
				values = []any{v}
			} else {
				values, _ = v.([]any)
			}
		}
	case l.op == opEquals && isLocal(l.args[1]):
		if v, known, err := s.value(l.args[0]); known && err == nil {
			values = []any{v}
		}
	}
	if slices.ContainsFunc(values, func(v any) bool { return !literal(v) }) {
		return nil
	}
	return values
}
