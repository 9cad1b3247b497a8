package condition

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"

	"github.com/tributary-bus/tributary/sdk"
)

var symbols = map[string]string{
	opAnd: "&&", opOr: "||", opNot: "!", opEquals: "==", opNotEquals: "!=", opLess: "<", opLessEquals: "<=",
	opGreater: ">", opGreaterEquals: ">=", opAdd: "+", opSubtract: "-", opMultiply: "*", opDivide: "/",
	opModulo: "%", opNegate: "-", opIn: "in", opConditional: "?", opIndex: "[]",
}

func (b *builder) call(c ast.CallExpr, pos int) (*node, *Error) {
	op := c.FunctionName()
	if _, is := symbols[op]; !is || c.IsMemberFunction() {
		return b.function(c, pos)
	}
	args, err := b.all(c.Args())
	if err != nil {
		return nil, err
	}
	switch op {
	case opAnd, opOr, opNot, opConditional:
		return b.logic(op, args)
	case opEquals, opNotEquals, opLess, opLessEquals, opGreater, opGreaterEquals:
		return b.comparison(op, args, pos)
	case opIn:
		return b.in(args, pos)
	case opIndex:
		return b.index(args, pos)
	case opNegate:
		return b.negate(args, pos)
	}
	return b.arithmetic(op, args, pos)
}

// truth reads a value as a condition: true, false, or a fault.
func truth(v any) any {
	switch x := v.(type) {
	case bool, *fault:
		return x
	case nil:
		return false
	}
	return notCondition(v)
}

func notCondition(v any) *fault {
	return faultf("a condition is true or false, this one is %s", typeName(v))
}

func (b *builder) logic(op string, args []*node) (*node, *Error) {
	conditions := args
	if op == opConditional {
		conditions = args[:1]
	}
	for _, a := range conditions {
		if !a.typ.fits(tBool) {
			return nil, b.fail(a.pos, "compare it with something, such as x == 5, or ask has(x)",
				"%s joins conditions, this is %s", symbols[op], a.typ)
		}
	}
	x := args[0].eval
	switch op {
	case opNot:
		return newNode(op, tBool, args, func(f *frame) any {
			v := truth(x(f))
			if is, ok := v.(bool); ok {
				return !is
			}
			return v
		}), nil
	case opConditional:
		yes, no := args[1].eval, args[2].eval
		return newNode(op, args[1].typ|args[2].typ, args, func(f *frame) any {
			v := truth(x(f))
			switch v {
			case true:
				return yes(f)
			case false:
				return no(f)
			}
			return v
		}), nil
	}
	// An operand settles the answer whether the other one failed or not.
	y, settles := args[1].eval, op == opOr
	return newNode(op, tBool, args, func(f *frame) any {
		a := truth(x(f))
		if a == settles {
			return a
		}
		c := truth(y(f))
		if c == settles || !isFault(a) {
			return c
		}
		return a
	}), nil
}

// holds tells whether an order of c fulfils an ordering operator.
func holds(op string, c int) bool {
	switch op {
	case opLess:
		return c < 0
	case opLessEquals:
		return c <= 0
	case opGreater:
		return c > 0
	default:
		return c >= 0
	}
}

func (b *builder) comparison(op string, args []*node, pos int) (*node, *Error) {
	for i, a := range args {
		other := args[1-i]
		if other.typ&^tNull != tTime || a.typ != tString {
			continue
		}
		t, literal, err := literalTime(a)
		if err != nil {
			return nil, b.fail(a.pos, "write RFC 3339 or a date", "it stands beside a time, but %v", err)
		}
		if literal {
			at := constant(t)
			at.pos = a.pos
			args[i] = at
		}
	}
	l, r := args[0], args[1]
	if !l.typ.comparesWith(r.typ) {
		return nil, b.fail(pos, "compare values of one type; double(x), int(x), string(x) and timestamp(x) convert",
			"%s never compares with %s", l.typ, r.typ)
	}
	x, y := l.eval, r.eval
	if op == opEquals || op == opNotEquals {
		want := op == opEquals
		if s, is := r.value.(string); is && r.op == nodeConstant {
			return newNode(op, tBool, args, func(f *frame) any {
				v := x(f)
				if text, is := v.(string); is {
					return (text == s) == want
				}
				return equality(f, v, s, want)
			}), nil
		}
		return newNode(op, tBool, args, func(f *frame) any { return equality(f, x(f), y(f), want) }), nil
	}
	if none := tList | tMap; l.typ&^none == 0 || r.typ&^none == 0 {
		return nil, b.fail(pos, "compare with == or ask for its size(x)", "lists and maps have no order")
	}
	if n, is := r.value.(int64); is && r.op == nodeConstant {
		return newNode(op, tBool, args, func(f *frame) any {
			v := x(f)
			switch i := v.(type) {
			case int64:
				switch op {
				case opLess:
					return i < n
				case opLessEquals:
					return i <= n
				case opGreater:
					return i > n
				default:
					return i >= n
				}
			case float64:
				c, ok := compareIntFloat(n, i)
				return ok && holds(op, -c)
			}
			return ordering(op, v, r.value)
		}), nil
	}
	return newNode(op, tBool, args, func(f *frame) any { return ordering(op, x(f), y(f)) }), nil
}

func equality(f *frame, a, b any, want bool) any {
	if isFault(a) {
		return a
	}
	if isFault(b) {
		return b
	}
	return equal(f, a, b) == want
}

func ordering(op string, a, b any) any {
	if isFault(a) {
		return a
	}
	if isFault(b) {
		return b
	}
	c, ok := order(a, b)
	return ok && holds(op, c)
}

func (b *builder) in(args []*node, pos int) (*node, *Error) {
	if !args[1].typ.fits(tList | tMap) {
		return nil, b.fail(pos, `write x in ["a", "b"], or x.contains("a") for a text`,
			"in looks into a list or a map, not into %s", args[1].typ)
	}
	if list, is := args[1].value.([]any); is && len(list) > 0 && args[1].op == nodeConstant &&
		!slices.ContainsFunc(list, func(e any) bool { return args[0].typ.comparesWith(typeOf(e)) }) {
		return nil, b.fail(pos, "look for values of its type; double(x), int(x), string(x) and timestamp(x) convert",
			"%s is never one of these", args[0].typ)
	}
	if err := b.timesIn(args); err != nil {
		return nil, err
	}
	x, y := args[0].eval, args[1].eval
	n := newNode(opIn, tBool, args, func(f *frame) any {
		v, list := x(f), y(f)
		if isFault(v) {
			return v
		}
		if isFault(list) {
			return list
		}
		return member(f, v, list)
	})
	n.cost += min(args[1].size, 100)
	return n, nil
}

// timesIn refuses a list for a time in which a text is none.
func (b *builder) timesIn(args []*node) *Error {
	list, is := args[1].value.([]any)
	if !is || args[0].typ&^tNull != tTime {
		return nil
	}
	for _, e := range list {
		if text, is := e.(string); is {
			if _, err := sdk.ParseTime(text); err != nil {
				return b.fail(args[1].pos, "write RFC 3339 or a date", "a time is looked for, but %v", err)
			}
		}
	}
	return nil
}

func (b *builder) index(args []*node, pos int) (*node, *Error) {
	of, at := args[0], args[1]
	if name, is := at.value.(string); is && at.op == nodeConstant {
		return b.field(of, name, pos)
	}
	if !of.typ.fits(tList|tMap) || !at.typ.fits(tInt|tString) {
		return nil, b.fail(pos, `write list[0] or map["name"]`, "%s has no index that is %s", of.typ, at.typ)
	}
	x, i := of.eval, at.eval
	n := newNode(opIndex, tAny, args, func(f *frame) any {
		v, key := x(f), i(f)
		if isFault(v) {
			return v
		}
		switch k := key.(type) {
		case *fault:
			return k
		case string:
			return normal(readField(v, k))
		case int64:
			if list, is := v.([]any); is && k >= 0 && k < int64(len(list)) {
				return normal(list[k])
			}
			return nil
		case nil:
			return nil
		}
		return faultf("an index is a whole number or a text, not %s", typeName(key))
	})
	b.own(n, of)
	return n, nil
}

func (b *builder) negate(args []*node, pos int) (*node, *Error) {
	if !args[0].typ.fits(tNumber | tDuration) {
		return nil, b.fail(pos, "for a condition write !x", "- turns numbers, not %s", args[0].typ)
	}
	x := args[0].eval
	return newNode(opNegate, args[0].typ&(tNumber|tDuration|tNull), args, func(f *frame) any {
		switch v := x(f).(type) {
		case nil, *fault:
			return v
		case int64:
			if v == math.MinInt64 {
				return overflow
			}
			return -v
		case float64:
			return -v
		case json.Number:
			if rest, minus := strings.CutPrefix(string(v), "-"); minus {
				return sdk.ParseNumber(rest)
			}
			return sdk.ParseNumber("-" + string(v))
		case time.Duration:
			if v == math.MinInt64 {
				return overflow
			}
			return -v
		default:
			return faultf("- turns numbers, not %s", typeName(v))
		}
	}), nil
}

func (b *builder) arithmetic(op string, args []*node, pos int) (*node, *Error) {
	t := arithmetic(op, args[0].typ, args[1].typ)
	if t == 0 {
		return nil, b.fail(pos, "double(x), int(x), string(x), timestamp(x) and duration(x) convert",
			"%s is not made for %s and %s", symbols[op], args[0].typ, args[1].typ)
	}
	x, y := args[0].eval, args[1].eval
	n := newNode(op, t, args, func(f *frame) any {
		v, w := x(f), y(f)
		if isFault(v) {
			return v
		}
		if isFault(w) {
			return w
		}
		return calculate(f, op, v, w)
	})
	n.size = args[0].size + args[1].size
	return n, nil
}
