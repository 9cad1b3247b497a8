package config

import (
	"strings"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A CopyRule changes a profile by what an event says.
type CopyRule struct {
	// When, where it is there and does not hold, keeps the rule from an event.
	When *condition.Program
	To   sdk.Path // begins with one of the profile's sections
	Text string   // To, written out
	// OfProfile is true where From reads the profile, whose parts may be large.
	OfProfile bool
	// Name gives the last name of the path, below To; nil where To is all of it.
	Name *condition.Program
	Op   Op
	// From computes the value; nil for OpDelete and where By is set.
	From *condition.Program
	// By is the constant of an increment or decrement, a number; nil where
	// From is set and for the other operations.
	By any
}

// An Op is what a copy rule does to its target. The operations of segments are
// not among those of copy rules.
type Op = wire.Op

// The operations of copy rules.
const (
	OpSet          = wire.OpSet
	OpSetIfMissing = wire.OpSetIfMissing
	OpAppend       = wire.OpAppend
	OpRemove       = wire.OpRemove
	OpIncrement    = wire.OpIncrement
	OpDecrement    = wire.OpDecrement
	OpDelete       = wire.OpDelete
)

var (
	ops = []string{
		string(OpSet), string(OpSetIfMissing), string(OpAppend), string(OpRemove), string(OpIncrement),
		string(OpDecrement), string(OpDelete),
	}
	counterOps = []string{string(OpSet), string(OpIncrement), string(OpDecrement), string(OpDelete)}
	// copyTargets are the sections of a profile that events may write.
	copyTargets = []string{"traits", "data", "counters", "interests", "consents"}
)

func compileCopy(f *form) CopyRule {
	rule := CopyRule{
		When: f.predicate("when", condition.EventScope), Op: Op(f.choice("op", "op", ops)), From: f.expression("from", condition.EventScope),
	}
	rule.To, rule.Name = f.target()
	rule.Text = rule.To.String()
	rule.OfProfile = rule.From != nil && len(rule.From.Needs("profile")) > 0
	by := f.get("by")
	f.close()
	if len(rule.To) > 0 && rule.To[0] == "counters" && contains(ops, string(rule.Op)) && !contains(counterOps, string(rule.Op)) {
		f.fail(f.get("op"), f.at("op"), "%s does not work on counters, which are numbers; want one of %s", rule.Op, strings.Join(counterOps, ", "))
	}
	from := f.get("from")
	switch rule.Op {
	case OpIncrement, OpDecrement:
		switch {
		case by != nil && from != nil:
			f.fail(by, f.at("by"), "stands beside from; remove one of them")
		case by != nil:
			if rule.By = by.scalar; by.typeName() != "a number" {
				f.fail(by, f.at("by"), "want a number, got %s; a computed value goes into from", by.typeName())
			}
		case from == nil:
			rule.By = int64(1)
		}
	case OpDelete:
		if from != nil {
			f.fail(from, f.at("from"), "delete takes no value; remove from")
		}
		if by != nil {
			f.fail(by, f.at("by"), "delete takes no value; remove by")
		}
	default:
		if by != nil {
			f.fail(by, f.at("by"), "only increment and decrement take by; use from")
		}
		if from == nil {
			f.fail(f.node, f.at("from"), "missing; want an expression (CEL), such as event.properties.total")
		}
	}
	return rule
}

// target reads the place in the profile that a rule writes. Its last name may be
// an expression.
func (f *form) target() (sdk.Path, *condition.Program) {
	text := f.wantText("to")
	if text == "" {
		return nil, nil
	}
	text, name, ok := f.targetName(text)
	if !ok {
		return nil, nil
	}
	path, err := sdk.ParsePath(text)
	switch {
	case err != nil:
		f.fail(f.get("to"), f.at("to"), "%v", err)
	case !contains(copyTargets, path[0]):
		f.fail(f.get("to"), f.at("to"), "an event cannot write to %q; want a path that begins with one of %s", path[0], strings.Join(copyTargets, ", "))
	case len(path) == 1 && name == nil:
		f.fail(f.get("to"), f.at("to"), "names the whole of %s; want a field in it, such as %s.name", path[0], path[0])
	}
	return path, name
}

// targetName takes the last name off a path where it is an expression.
func (f *form) targetName(text string) (path string, name *condition.Program, ok bool) {
	path, expression, has := strings.Cut(text, "{{")
	if !has {
		return text, nil, true
	}
	path, dot := strings.CutSuffix(path, ".")
	expression, end := strings.CutSuffix(strings.TrimRight(expression, " "), "}}")
	if !dot || !end {
		f.fail(f.get("to"), f.at("to"), "want an expression as the last name alone, such as interests.{{ event.properties.topic }}")
		return "", nil, false
	}
	name, err := condition.Compile(strings.TrimSpace(expression), condition.EventScope)
	if err != nil {
		f.fail(f.get("to"), f.at("to"), "%v", err)
		return "", nil, false
	}
	return path, name, true
}
