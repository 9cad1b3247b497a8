package condition

import (
	"slices"

	"cel.dev/cel-go/common/ast"

	"github.com/tributary-bus/tributary/sdk"
)

// callConsented is consented("marketing"): whether the profile has given a consent
// and it has not expired, which the field granted alone does not tell.
const callConsented = "consented"

func (b *builder) consented(args []ast.Expr, pos int) (*node, *Error) {
	const wayOut = `write consented("marketing")`
	if !b.scope.has(varProfile) {
		return nil, b.fail(pos, "use "+b.scope.String(), "consented asks a profile, and there is no profile here")
	}
	if len(args) != 1 {
		return nil, b.fail(pos, wayOut, "consented takes the id of a consent type")
	}
	arg, err := b.build(args[0])
	if err != nil {
		return nil, err
	}
	id, is := arg.value.(string)
	if !is || id == "" {
		return nil, b.fail(arg.pos, wayOut, "consented takes a text that is written out")
	}
	b.read(varProfile)
	path := sdk.Path{"consents", id}
	n := newNode(callConsented, tBool, nil, func(f *frame) any {
		return sdk.Granted(readPath(f.vars.Profile, path), f.clockTime())
	})
	n.fixed, n.variable, n.names = false, varProfile, path
	return n, nil
}

// consented is granted, and not expired, as a store compares it: whatever is no
// time has expired.
func (s *search) consented(n *node) (Predicate, *Error) {
	if s.document != varProfile {
		return nil, s.refuse(n, "search profiles", "consented asks a profile, and the search is over %ss", s.document)
	}
	if err := s.grow(4, n); err != nil {
		return nil, err
	}
	field := func(name string) Field { return Field{Path: append(slices.Clip(sdk.Path(n.names)), name)} }
	expires := field("expires")
	return And{
		Compare{Field: field("granted"), Op: Equal, Value: true},
		Or{Not{Of: Exists{Field: expires}}, Compare{Field: expires, Op: Greater, Value: normal(s.vars.Now)}},
	}, nil
}
