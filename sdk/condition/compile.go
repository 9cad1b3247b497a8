package condition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/parser"
)

// The bounds of one condition.
const (
	maxSource = 4096 // bytes
	maxNodes  = 1000 // parts: names, literals, operators, calls
	maxDepth  = 100  // levels of nesting in the text
	maxLoops  = 8    // macros inside each other
	// maxCost bounds the estimated steps of one evaluation, maxSteps those
	// that are really taken.
	maxCost  = 1_000_000
	maxSteps = 1_000_000
	// unboundedSize is what a list of a document counts for in the estimate,
	// nestedSize a list inside an element of one: all of them together are no
	// longer than the document.
	unboundedSize = 1000
	nestedSize    = 10
)

// Compile reads a condition, or an expression for a value. Unknown names,
// unknown fields of event, profile and session, types that can never fit, bad
// literals and expressions that could cost too much are an [*Error].
func Compile(src string, scope Scope) (*Program, error) {
	p, err := compile(src, scope)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// CompileCondition is Compile for an expression that must be true or false: it
// also refuses one that can never be.
func CompileCondition(src string, scope Scope) (*Program, error) {
	p, err := compile(src, scope)
	if err != nil {
		return nil, err
	}
	if !p.root.typ.fits(tBool) {
		return nil, errorAt(src, 0, "compare it with something, such as x == 5, or ask has(x)",
			"a condition is true or false, this one is %s", p.root.typ)
	}
	return p, nil
}

func compile(src string, scope Scope) (*Program, *Error) {
	if len(src) > maxSource {
		return nil, errorAt(src, 0, "split it, or compare with a list: x in [...]",
			"a condition has at most %d bytes, this one has %d", maxSource, len(src))
	}
	if !utf8.ValidString(src) {
		return nil, errorAt(src, 0, "save the text as UTF-8", "the text is not UTF-8")
	}
	if strings.TrimSpace(src) == "" {
		return nil, errorAt(src, 0, "write true for one that always holds", "the condition is empty")
	}
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	b := &builder{source: src, scope: scope, info: tree.SourceInfo()}
	root, err := b.build(tree.Expr())
	if err != nil {
		return nil, err
	}
	if root.cost > maxCost {
		return nil, errorAt(src, root.costliest, "loop over one list only, or over one that is written out: [1, 2].exists(x, ...)",
			"this could take %.0f steps, more than %d", root.cost, maxCost)
	}
	slices.Sort(b.reads)
	return &Program{
		source: src, scope: scope, root: root, aggregates: b.aggregates, variables: b.reads,
		decodes: b.again || b.lookups > fewLookups,
	}, nil
}

// The macros of CEL are plain calls to the parser; build gives them their
// meaning.
var celParser = func() *parser.Parser {
	p, err := parser.NewParser(
		parser.MaxRecursionDepth(maxDepth),
		parser.ExpressionSizeCodePointLimit(maxSource),
		parser.ErrorRecoveryLimit(4),
		parser.ErrorReportingLimit(4),
	)
	if err != nil {
		panic(fmt.Sprintf("condition: CEL parser: %v", err))
	}
	return p
}()

func parse(src string) (*ast.AST, *Error) {
	tree, errs := celParser.Parse(common.NewTextSource(src))
	if list := errs.GetErrors(); len(list) > 0 {
		first := list[0]
		e := &Error{Source: src, Line: max(1, first.Location.Line()), Column: max(0, first.Location.Column()) + 1}
		e.Message, _, _ = strings.Cut(first.Message, ", expecting {")
		e.Message, _, _ = strings.Cut(e.Message, " expecting {")
		e.Message = strings.TrimPrefix(e.Message, "Syntax error: ")
		e.WayOut = syntaxHint(src, e.Message)
		return nil, e
	}
	return tree, nil
}

var (
	wordOperator = regexp.MustCompile(`(?i)\s(and|or|not)\s|^\s*not\s`)
	singleEquals = regexp.MustCompile(`[^=!<>]=[^=]`)
	reservedKey  = regexp.MustCompile(`\.\s*(in|null|true|false|[0-9]\w*)\b`)
	quoted       = regexp.MustCompile(`"(\\.|[^"\\])*"|'(\\.|[^'\\])*'`)
)

// syntaxHint guesses what was meant.
func syntaxHint(src, message string) string {
	plain := quoted.ReplaceAllString(src, "s")
	switch {
	case strings.ContainsAny(plain, `"'`):
		return "close the quote"
	case wordOperator.MatchString(plain):
		return "write && for and, || for or, ! for not"
	case singleEquals.MatchString(plain):
		return "write == to compare"
	case reservedKey.MatchString(plain):
		return `write such a name in brackets: ["` + reservedKey.FindStringSubmatch(plain)[1] + `"]`
	case strings.Count(plain, "(") != strings.Count(plain, ")"):
		return "close every parenthesis"
	case strings.Contains(message, "recursion"):
		return "split the condition"
	}
	return `a condition looks like event.properties.total > 100 && event.type == "order"`
}
