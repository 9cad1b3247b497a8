package condition

import (
	"slices"
	"time"

	"cel.dev/cel-go/common/ast"

	"github.com/tributary-bus/tributary/sdk"
)

// Func is one of the functions over a profile's past events.
type Func string

// The functions over a profile's past events.
const (
	Count Func = "count"
	Sum   Func = "sum"
	First Func = "first"
	Last  Func = "last"
)

// An Aggregate is something about a profile's past events that a condition
// reads. Stored conditions say by theirs which windows and sums are to be kept.
type Aggregate struct {
	Func     Func
	Type     string        // event type
	Property string        // of Sum: a path below the event's properties
	Window   time.Duration // of Count and Sum; 0 is the lifetime
}

// forms of the functions, for messages.
var forms = map[Func]string{
	Count: `write count("order-completed") or count("order-completed", "7d")`,
	Sum:   `write sum("order-completed", "total") or sum("order-completed", "total", "30d")`,
	First: `write first("order-completed")`,
	Last:  `write last("order-completed")`,
}

// aggregate builds count, sum, first or last. Their arguments are literals, so
// that what has to be kept is known beforehand.
func (b *builder) aggregate(name string, args []ast.Expr, pos int) (*node, *Error) {
	a := Aggregate{Func: Func(name)}
	wayOut := forms[a.Func]
	if !b.scope.has(varProfile) {
		return nil, b.fail(pos, "use "+b.scope.String(), "%s looks at a profile's events, and there is no profile here", name)
	}
	least, most := 1, 1
	switch a.Func {
	case Count:
		most = 2
	case Sum:
		least, most = 2, 3
	}
	if len(args) < least || len(args) > most {
		return nil, b.fail(pos, wayOut, "%s does not take %d values", name, len(args))
	}
	texts := make([]string, len(args))
	for i, e := range args {
		n, err := b.build(e)
		if err != nil {
			return nil, err
		}
		text, is := n.value.(string)
		if !is || text == "" {
			return nil, b.fail(n.pos, wayOut, "%s takes texts that are written out", name)
		}
		texts[i] = text
		switch window := i == least; {
		case window:
			d, bad := ParseDuration(text)
			if bad != nil {
				return nil, b.fail(n.pos, "", "window: %v", bad)
			}
			if d < time.Millisecond {
				return nil, b.fail(n.pos, wayOut, "a window is longer than nothing, %q is not", text)
			}
			a.Window = d
		case i == 1:
			if _, bad := sdk.ParsePath(text); bad != nil {
				return nil, b.fail(n.pos, wayOut, "property: %v", bad)
			}
			a.Property = text
		}
	}
	a.Type = texts[0]
	b.read(varProfile)
	if !slices.Contains(b.aggregates, a) {
		b.aggregates = append(b.aggregates, a)
	}
	n := newNode(name, a.gives(), nil, a.eval())
	n.fixed, n.agg = false, &a
	return n, nil
}

func (a Aggregate) gives() typ {
	switch a.Func {
	case Count:
		return tInt
	case Sum:
		return tNumber | tNull
	}
	return tTime | tNull
}

func (a Aggregate) eval() func(*frame) any {
	switch a.Func {
	case Count:
		return func(f *frame) any {
			if f.vars.History == nil {
				return int64(0)
			}
			return f.vars.History.Count(a.Type, a.Window)
		}
	case Sum:
		return func(f *frame) any {
			if f.vars.History == nil {
				return nil
			}
			return normal(f.vars.History.Sum(a.Type, a.Property, a.Window))
		}
	case First:
		return a.moment(History.First)
	default:
		return a.moment(History.Last)
	}
}

func (a Aggregate) moment(read func(History, string) time.Time) func(*frame) any {
	return func(f *frame) any {
		if f.vars.History == nil {
			return nil
		}
		if t := read(f.vars.History, a.Type); !t.IsZero() {
			return normal(t)
		}
		return nil
	}
}
