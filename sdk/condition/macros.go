package condition

import (
	"maps"
	"slices"

	"cel.dev/cel-go/common/ast"
)

// The macros of CEL over lists, and over the keys of maps in sorted order. A
// null list is empty.

func isMacro(name string) bool { return slices.Contains(macroNames, name) || name == "existsOne" }

func (b *builder) macro(c ast.CallExpr, name string, pos int) (*node, *Error) {
	args := c.Args()
	if name == "existsOne" {
		name = "exists_one"
	}
	if len(args) != 2 && (name != "map" || len(args) != 3) {
		return nil, b.fail(pos, "write list."+name+"(x, x > 5)", "%s takes a name for the element and an expression", name)
	}
	list, err := b.build(c.Target())
	if err != nil {
		return nil, err
	}
	if !list.typ.fits(tList | tMap) {
		return nil, b.fail(pos, "", "%s goes through a list, not through %s", name, list.typ)
	}
	if args[0].Kind() != ast.IdentKind {
		return nil, b.fail(pos, "write list."+name+"(x, x > 5)", "%s takes a name for the element first", name)
	}
	local := args[0].AsIdent()
	switch {
	case slices.Contains(variables, local):
		return nil, b.fail(pos, "take another name", "%s is a variable already", local)
	case len(b.loops) == maxLoops:
		return nil, b.fail(pos, "split the condition", "more than %d loops in each other", maxLoops)
	}
	slot := len(b.loops)
	b.loops = append(b.loops, loop{name: local, owned: list.owned})
	body, err := b.all(args[1:])
	b.loops = b.loops[:slot]
	if err != nil {
		return nil, err
	}
	last := body[len(body)-1]
	keep := body[0]
	if name != "map" && !last.typ.fits(tBool) || len(body) == 2 && !keep.typ.fits(tBool) {
		return nil, b.fail(keep.pos, "compare the element with something", "%s takes a condition, this is %s", name, keep.typ)
	}
	l := &looping{list: list.eval, slot: slot}
	n := newNode(name, tBool, append([]*node{list}, body...), nil)
	switch name {
	case "all":
		n.eval = l.quantifier(last.eval, false)
	case "exists":
		n.eval = l.quantifier(last.eval, true)
	case "exists_one":
		n.eval = l.one(last.eval)
	case "filter":
		n.eval, n.typ, n.size, n.owned = l.collect(last.eval, nil), tList, list.size, list.owned
	case "map":
		var condition func(*frame) any
		if len(body) == 2 {
			condition = keep.eval
		}
		n.eval, n.typ, n.size = l.collect(condition, last.eval), tList, list.size
	}
	n.local, n.cost = local, list.cost
	for _, e := range body {
		n.cost += max(1, list.size) * (e.cost + 1)
	}
	return n, nil
}

type looping struct {
	list func(*frame) any
	slot int
}

// elements evaluates what the loop goes through.
func (l *looping) elements(f *frame) ([]any, *fault) {
	switch v := l.list(f).(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	case map[string]any:
		if !f.spend(2 * len(v)) {
			return nil, tooMuch
		}
		keys := make([]any, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			keys = append(keys, k)
		}
		return keys, nil
	case *fault:
		return nil, v
	default:
		return nil, faultf("a loop goes through a list, not through %s", typeName(v))
	}
}

// set makes an element the loop variable.
func (l *looping) set(f *frame, e any) bool {
	f.locals[l.slot] = normal(e)
	return f.spend(1)
}

// quantifier is all or exists: the first element for which the condition
// settles the answer settles it, else a fault among them is the answer.
func (l *looping) quantifier(condition func(*frame) any, settles bool) func(*frame) any {
	return func(f *frame) any {
		list, bad := l.elements(f)
		if bad != nil {
			return bad
		}
		var answer any = !settles
		for _, e := range list {
			if !l.set(f, e) {
				return tooMuch
			}
			switch v := truth(condition(f)).(type) {
			case bool:
				if v == settles {
					return v
				}
			case *fault:
				answer = v
			}
		}
		return answer
	}
}

func (l *looping) one(condition func(*frame) any) func(*frame) any {
	return func(f *frame) any {
		list, bad := l.elements(f)
		if bad != nil {
			return bad
		}
		found := 0
		for _, e := range list {
			if !l.set(f, e) {
				return tooMuch
			}
			switch v := truth(condition(f)).(type) {
			case bool:
				found += boolRank(v)
			case *fault:
				return v
			}
		}
		return found == 1
	}
}

// collect is filter, without a value, or map.
func (l *looping) collect(condition, value func(*frame) any) func(*frame) any {
	return func(f *frame) any {
		list, bad := l.elements(f)
		if bad != nil {
			return bad
		}
		out := []any{}
		for _, e := range list {
			if !l.set(f, e) {
				return tooMuch
			}
			if condition != nil {
				switch v := truth(condition(f)).(type) {
				case bool:
					if !v {
						continue
					}
				case *fault:
					return v
				}
			}
			v := f.locals[l.slot]
			if value != nil {
				v = value(f)
			}
			if isFault(v) {
				return v
			}
			out = append(out, v)
		}
		return out
	}
}
