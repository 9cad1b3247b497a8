package condition

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/tributary-bus/tributary/sdk"
)

// Operators as the parser names them, and kinds of nodes of our own.
const (
	opConditional   = "_?_:_"
	opAnd           = "_&&_"
	opOr            = "_||_"
	opNot           = "!_"
	opEquals        = "_==_"
	opNotEquals     = "_!=_"
	opLess          = "_<_"
	opLessEquals    = "_<=_"
	opGreater       = "_>_"
	opGreaterEquals = "_>=_"
	opAdd           = "_+_"
	opSubtract      = "_-_"
	opMultiply      = "_*_"
	opDivide        = "_/_"
	opModulo        = "_%_"
	opNegate        = "-_"
	opIndex         = "_[_]"
	opIn            = "@in"

	nodeConstant = "constant"
	nodePath     = "field"
	nodeLocal    = "loop variable"
	nodeSelect   = "field of a value"
	nodeList     = "list"
	nodeMap      = "map"
)

// A node is a part of a condition, ready to be evaluated.
type node struct {
	op       string // an operator, a function, or a kind of node
	args     []*node
	eval     func(*frame) any
	typ      typ
	value    any      // of a constant
	variable string   // of a path: the variable that it starts from
	names    []string // of a path: the names below the variable; none for the variable itself
	local    string   // of a macro: its loop variable
	agg      *Aggregate
	pos      int  // offset in the source, in characters
	fixed    bool // the same for every document: reads constants and now
	// cost estimates the steps of one evaluation, size those of going through
	// the result as a list; costliest is where most of the cost arises.
	cost, size float64
	costliest  int
	// owned is true for a part of a document, read where it stands: the lists
	// below the elements of such a list are no longer together than it.
	owned bool
}

type loop struct {
	name  string
	owned bool
}

type builder struct {
	source     string
	scope      Scope
	info       *ast.SourceInfo
	nodes      int
	loops      []loop
	aggregates []Aggregate
	reads      []string // variables, but for now
	lookups    int      // how often they are read, as written
	again      bool     // one is read in the body of a loop
}

func (b *builder) fail(pos int, wayOut, format string, args ...any) *Error {
	return errorAt(b.source, pos, wayOut, format, args...)
}

// read notes that the condition reads a variable.
func (b *builder) read(variable string) {
	b.lookups++
	b.again = b.again || len(b.loops) > 0
	if !slices.Contains(b.reads, variable) {
		b.reads = append(b.reads, variable)
	}
}

func (b *builder) build(e ast.Expr) (*node, *Error) {
	pos := 0
	if r, ok := b.info.GetOffsetRange(e.ID()); ok {
		pos = int(r.Start)
	}
	if b.nodes++; b.nodes > maxNodes {
		return nil, b.fail(pos, "split the condition", "a condition has no more than %d parts", maxNodes)
	}
	n, err := b.expression(e, pos)
	if err != nil {
		return nil, err
	}
	n.pos = pos
	n.cost++
	most := 0.0
	n.costliest = pos
	for _, a := range n.args {
		if a.cost > most && a.cost > maxCost {
			most, n.costliest = a.cost, a.costliest
		}
	}
	return b.fold(n)
}

func (b *builder) expression(e ast.Expr, pos int) (*node, *Error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return b.literal(e, pos)
	case ast.IdentKind:
		return b.name(e.AsIdent(), pos)
	case ast.SelectKind:
		s := e.AsSelect()
		of, err := b.build(s.Operand())
		if err != nil {
			return nil, err
		}
		return b.field(of, s.FieldName(), pos)
	case ast.ListKind:
		args, err := b.all(e.AsList().Elements())
		if err != nil {
			return nil, err
		}
		return listNode(args), nil
	case ast.MapKind:
		return b.mapNode(e.AsMap())
	case ast.CallKind:
		return b.call(e.AsCall(), pos)
	}
	return nil, b.fail(pos, "write a map: {\"name\": value}", "conditions have no message types")
}

func (b *builder) all(list []ast.Expr) ([]*node, *Error) {
	args := make([]*node, len(list))
	for i, e := range list {
		var err *Error
		if args[i], err = b.build(e); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// newNode sums up what a node has from its arguments.
func newNode(op string, t typ, args []*node, eval func(*frame) any) *node {
	n := &node{op: op, args: args, typ: t, eval: eval, fixed: true, size: unboundedSize}
	for _, a := range args {
		n.cost += a.cost
		n.fixed = n.fixed && a.fixed
	}
	return n
}

func constant(v any) *node {
	n := newNode(nodeConstant, typeOf(v), nil, func(*frame) any { return v })
	n.value = v
	switch x := v.(type) {
	case []any:
		n.size = float64(len(x))
	case map[string]any:
		n.size = float64(len(x))
	}
	return n
}

// fold replaces an operation on constants by its result.
func (b *builder) fold(n *node) (*node, *Error) {
	if n.op == nodeConstant || !n.fixed || n.local != "" || n.agg != nil {
		return n, nil
	}
	for _, a := range n.args {
		if a.op != nodeConstant {
			return n, nil
		}
	}
	if len(n.args) == 0 && n.op != nodeList && n.op != nodeMap {
		return n, nil
	}
	f := &frame{left: maxSteps}
	v := n.eval(f)
	if bad, is := v.(*fault); is {
		return nil, b.fail(n.pos, "", "%s", bad.message)
	}
	if f.left < 0 {
		return n, nil
	}
	c := constant(v)
	c.pos, c.cost = n.pos, 1
	return c, nil
}

func (b *builder) literal(e ast.Expr, pos int) (*node, *Error) {
	switch v := e.AsLiteral().(type) {
	case types.Null:
		return constant(nil), nil
	case types.Bool:
		return constant(bool(v)), nil
	case types.Int:
		return constant(int64(v)), nil
	case types.Uint:
		if v <= math.MaxInt64 {
			return constant(int64(v)), nil
		}
		return constant(json.Number(strconv.FormatUint(uint64(v), 10))), nil
	case types.Double:
		return constant(float64(v)), nil
	case types.String:
		return constant(string(v)), nil
	}
	return nil, b.fail(pos, `write it as text: "..."`, "conditions have no bytes")
}

func (b *builder) name(name string, pos int) (*node, *Error) {
	for i, l := range slices.Backward(b.loops) {
		if l.name == name {
			n := newNode(nodeLocal, tAny, nil, func(f *frame) any { return f.locals[i] })
			n.fixed, n.local, n.owned = false, name, l.owned
			if l.owned {
				n.size = nestedSize
			}
			return n, nil
		}
	}
	switch {
	case name == varNow && b.scope.has(name):
		return newNode(varNow, tTime, nil, (*frame).clock), nil
	case b.scope.has(name):
		b.read(name)
		t := tAny
		if _, document := schema[name]; document {
			t = tMap | tNull
		}
		n := newNode(nodePath, t, nil, func(f *frame) any { return document(f.vars.variable(name)) })
		n.variable, n.fixed, n.owned = name, false, true
		return n, nil
	case slices.Contains(variables, name):
		return nil, b.fail(pos, "use "+b.scope.String(), "%s is not known here", name)
	}
	return nil, b.fail(pos, "this condition may use "+b.scope.String()+`; a text stands in quotes: "`+name+`"`, "unknown name %s", name)
}

// document is a variable as a value: a document that is missing behind its
// pointer is null.
func document(v any) any {
	switch x := v.(type) {
	case *sdk.Event:
		if x == nil {
			return nil
		}
	case *sdk.Profile:
		if x == nil {
			return nil
		}
	case *sdk.Session:
		if x == nil {
			return nil
		}
	}
	return normal(v)
}

// field reads a field by a name that is written out.
func (b *builder) field(of *node, name string, pos int) (*node, *Error) {
	if of.op == nodePath {
		return b.path(of, name, pos)
	}
	if !of.typ.fits(tMap) {
		return nil, b.fail(pos, "", "%s has no field %s", of.typ, name)
	}
	read := of.eval
	n := newNode(nodeSelect, tAny, []*node{of}, func(f *frame) any {
		v := read(f)
		if isFault(v) {
			return v
		}
		return normal(readField(v, name))
	})
	b.own(n, of)
	return n, nil
}

// own carries the owner of a value to a part of it.
func (b *builder) own(n, of *node) {
	if n.owned = of.owned; n.owned {
		n.size = of.size
	}
}

// path reads a field below a variable.
func (b *builder) path(of *node, name string, pos int) (*node, *Error) {
	variable, names := of.variable, append(slices.Clip(of.names), name)
	if fields, fixed := schema[variable]; fixed && len(names) == 1 {
		if _, known := fields[name]; !known {
			return nil, b.fail(pos, variable+" has "+fieldNames(variable)+open(variable), "unknown field %s.%s", variable, name)
		}
	}
	if fields := closedFields(variable, of.names); fields != nil && !slices.Contains(fields, name) {
		return nil, b.fail(pos, sdk.Path(append([]string{variable}, of.names...)).String()+" has "+strings.Join(fields, ", "),
			"unknown field %s.%s", variable, sdk.Path(names))
	}
	t := pathType(variable, names)
	if !of.typ.fits(tMap) && of.typ != tAny {
		return nil, b.fail(pos, "", "%s.%s is %s and has no field %s", variable, sdk.Path(of.names), of.typ, name)
	}
	n := newNode(nodePath, t, nil, pathReader(variable, names, t))
	n.variable, n.names, n.fixed, n.owned = variable, names, false, true
	return n, nil
}

// open says where free fields belong.
func open(variable string) string {
	switch variable {
	case varEvent:
		return "; fields of your own are in event.properties"
	case varProfile:
		return "; fields of your own are in profile.traits"
	}
	return ""
}

func pathReader(variable string, names []string, t typ) func(*frame) any {
	read := func(f *frame) any { return readPath(f.vars.variable(variable), names) }
	switch variable {
	case varEvent:
		read = func(f *frame) any { return readPath(f.vars.Event, names) }
	case varProfile:
		read = func(f *frame) any { return readPath(f.vars.Profile, names) }
	}
	switch {
	case t&^tNull == tTime:
		// A document that was decoded from JSON has its times as text.
		return func(f *frame) any {
			v := read(f)
			if s, is := v.(string); is {
				if at, err := sdk.ParseTime(s); err == nil {
					return at
				}
			}
			return v
		}
	case t == tMap && len(names) == 1:
		return orEmpty(read, variable, map[string]any{})
	case t == tList && len(names) == 1:
		return orEmpty(read, variable, []any{})
	}
	return read
}

// orEmpty reads an open object or a list that a document always has, also
// where its JSON leaves it out.
func orEmpty(read func(*frame) any, variable string, empty any) func(*frame) any {
	return func(f *frame) any {
		switch v := read(f).(type) {
		case nil:
		case map[string]any:
			if v != nil {
				return v
			}
		default:
			return v
		}
		if !isMap(f.vars.variable(variable)) {
			return nil
		}
		return empty
	}
}

// isMap tells whether a variable has fields.
func isMap(v any) bool {
	if view, is := v.(sdk.View); is {
		return view.IsObject()
	}
	return typeName(document(v)) == "a map"
}

func listNode(args []*node) *node {
	n := newNode(nodeList, tList, args, func(f *frame) any {
		list := make([]any, len(args))
		for i, a := range args {
			v := a.eval(f)
			if isFault(v) {
				return v
			}
			list[i] = v
		}
		return list
	})
	n.size = float64(len(args))
	return n
}

func (b *builder) mapNode(m ast.MapExpr) (*node, *Error) {
	var keys []string
	var args []*node
	for _, entry := range m.Entries() {
		e := entry.AsMapEntry()
		key, err := b.build(e.Key())
		if err != nil {
			return nil, err
		}
		name, is := key.value.(string)
		if key.op != nodeConstant || !is {
			return nil, b.fail(key.pos, `write {"name": value}`, "a key of a map is a text that is written out")
		}
		if slices.Contains(keys, name) {
			return nil, b.fail(key.pos, "keep one of them", "key %q stands twice", name)
		}
		value, err := b.build(e.Value())
		if err != nil {
			return nil, err
		}
		keys, args = append(keys, name), append(args, value)
	}
	n := newNode(nodeMap, tMap, args, func(f *frame) any {
		m := make(map[string]any, len(args))
		for i, a := range args {
			v := a.eval(f)
			if isFault(v) {
				return v
			}
			m[keys[i]] = v
		}
		return m
	})
	n.size = float64(len(args))
	return n, nil
}

// literalTime reads a constant text that stands beside a time.
func literalTime(n *node) (time.Time, bool, error) {
	s, is := n.value.(string)
	if n.op != nodeConstant || !is {
		return time.Time{}, false, nil
	}
	t, err := sdk.ParseTime(s)
	return t, true, err
}
