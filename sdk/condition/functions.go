package condition

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
)

const (
	maxPattern      = 512  // bytes of a regular expression
	maxInstructions = 2000 // of its compiled form
)

func (b *builder) function(c ast.CallExpr, pos int) (*node, *Error) {
	name := c.FunctionName()
	if c.IsMemberFunction() {
		return b.method(c, name, pos)
	}
	if !slices.Contains(functionNames, name) {
		return b.valueCall(c, name, pos)
	}
	switch name {
	case "count", "sum", "first", "last":
		return b.aggregate(name, c.Args(), pos)
	case "ago":
		return b.ago(c.Args(), pos)
	case "day":
		return b.day(c.Args(), pos)
	case "distance":
		return b.distance(c.Args(), pos)
	case "bucket":
		return b.bucket(c.Args(), pos)
	case callConsented:
		return b.consented(c.Args(), pos)
	}
	if len(c.Args()) != 1 {
		return nil, b.fail(pos, "write "+name+"(x)", "%s takes one value, not %d", name, len(c.Args()))
	}
	args, err := b.all(c.Args())
	if err != nil {
		return nil, err
	}
	return b.unary(name, unaries[name], args, pos)
}

// valueCall builds matches(x, pattern), as CEL has it; whatever else is called
// on a value is no function.
func (b *builder) valueCall(c ast.CallExpr, name string, pos int) (*node, *Error) {
	switch {
	case name == "matches":
		if len(c.Args()) != 2 {
			return nil, b.fail(pos, `write x.matches("^a.*")`, "matches takes a text and a pattern")
		}
		args, err := b.all(c.Args())
		if err != nil {
			return nil, err
		}
		return b.matches(args)
	case slices.Contains(methodNames, name), isMacro(name):
		return nil, b.fail(pos, "write x."+name+"(...)", "%s is called on a value", name)
	}
	return nil, b.fail(pos, known, "unknown function %s", name)
}

// A unary is a function of one value. Null is null, but for has.
type unary struct {
	takes, gives typ
	call         func(f *frame, v any) any
}

var unaries = map[string]unary{
	"has":       {tAny, tBool, nil},
	"lower":     {tString, tString, callLower},
	"fold":      {tString, tString, callFold},
	"list":      {tAny, tList, callList},
	"size":      {tString | tList | tMap, tInt, callSize},
	"double":    {tString | tNumber, tDouble, callDouble},
	"int":       {tString | tNumber | tTime, tInt, callInt},
	"string":    {tAny &^ (tList | tMap), tString, callString},
	"bool":      {tString | tBool, tBool, callBool},
	"timestamp": {tString | tTime | tInt, tTime, callTimestamp},
	"duration":  {tString | tDuration, tDuration, callDuration},
}

func (b *builder) unary(name string, u unary, args []*node, pos int) (*node, *Error) {
	x := args[0]
	if !x.typ.fits(u.takes) {
		return nil, b.fail(pos, "", "%s takes %s, not %s", name, u.takes, x.typ)
	}
	eval := x.eval
	if name == "has" {
		return newNode(name, tBool, args, func(f *frame) any {
			v := eval(f)
			if isFault(v) {
				return v
			}
			return v != nil
		}), nil
	}
	// The conversions read an empty text as null.
	gives := u.gives | x.typ&tNull
	switch name {
	case "lower", "fold", "list", "size", "string":
	default:
		if x.typ&tString != 0 {
			gives |= tNull
		}
	}
	n := newNode(name, gives, args, func(f *frame) any {
		v := eval(f)
		if v == nil || isFault(v) {
			return v
		}
		return u.call(f, v)
	})
	if name == "list" {
		b.own(n, x)
	}
	return n, nil
}

// callList makes a list of one of what is no list.
func callList(_ *frame, v any) any {
	if list, is := v.([]any); is {
		return list
	}
	return []any{v}
}

func callLower(f *frame, v any) any {
	s, is := v.(string)
	switch {
	case !is:
		return faultf("lower takes a text, not %s", typeName(v))
	case !f.spendText(s):
		return tooMuch
	}
	return strings.ToLower(s)
}

func callSize(f *frame, v any) any {
	switch x := v.(type) {
	case string:
		if !f.spendText(x) {
			return tooMuch
		}
		return int64(utf8.RuneCountInString(x))
	case []any:
		return int64(len(x))
	case map[string]any:
		return int64(len(x))
	}
	return faultf("size takes a text, a list or a map, not %s", typeName(v))
}

func (b *builder) ago(args []ast.Expr, pos int) (*node, *Error) {
	const wayOut = `write ago("7d")`
	if len(args) != 1 {
		return nil, b.fail(pos, wayOut, "ago takes one duration")
	}
	arg, err := b.build(args[0])
	if err != nil {
		return nil, err
	}
	text, is := arg.value.(string)
	if !is {
		return nil, b.fail(arg.pos, wayOut, "ago takes a duration that is written out as text")
	}
	d, bad := ParseDuration(text)
	if bad != nil {
		return nil, b.fail(arg.pos, "", "%v", bad)
	}
	if d < 0 {
		return nil, b.fail(arg.pos, `write now + duration("7d") for a time to come`, "ago looks back, %q does not", text)
	}
	return newNode("ago", tTime, nil, func(f *frame) any { return shift(f.clockTime(), -d) }), nil
}

// A textTest is a question about a text and another one.
type textTest func(s, arg string) bool

var textTests = map[string]textTest{
	"startsWith": strings.HasPrefix,
	"endsWith":   strings.HasSuffix,
	"contains":   strings.Contains,
}

func (b *builder) method(c ast.CallExpr, name string, pos int) (*node, *Error) {
	if isMacro(name) {
		return b.macro(c, name, pos)
	}
	target, err := b.build(c.Target())
	if err != nil {
		return nil, err
	}
	rest, err := b.all(c.Args())
	if err != nil {
		return nil, err
	}
	args := append([]*node{target}, rest...)
	if _, is := calendar[name]; is {
		return b.calendar(name, args, pos)
	}
	switch {
	case name == "size":
		if len(rest) > 0 {
			return nil, b.fail(pos, "write x.size()", "size takes nothing more")
		}
		return b.unary(name, unaries[name], args, pos)
	case slices.Contains(functionNames, name):
		return nil, b.fail(pos, "write "+name+"(x)", "%s is no method", name)
	case !slices.Contains(methodNames, name):
		return nil, b.fail(pos, known, "unknown method %s", name)
	case len(rest) != 1:
		return nil, b.fail(pos, "write x."+name+`("text")`, "%s takes one text", name)
	case name == "matches":
		return b.matches(args)
	}
	for _, a := range args {
		if !a.typ.fits(tString) {
			return nil, b.fail(a.pos, "string(x) makes a text", "%s takes texts, not %s", name, a.typ)
		}
	}
	x, y, test := args[0].eval, args[1].eval, textTests[name]
	return newNode(name, tBool|(args[0].typ|args[1].typ)&tNull, args, func(f *frame) any {
		return testText(f, name, test, x(f), y(f))
	}), nil
}

// testText asks a question about two values; a null makes it null.
func testText(f *frame, name string, test textTest, a, b any) any {
	s, isText := a.(string)
	arg, argIsText := b.(string)
	switch {
	case isText && argIsText:
		if !f.spendText(s) {
			return tooMuch
		}
		return test(s, arg)
	case isFault(a):
		return a
	case isFault(b):
		return b
	case a == nil || b == nil:
		return nil
	case isText:
		a = b
	}
	return faultf("%s takes texts, not %s", name, typeName(a))
}

func (b *builder) matches(args []*node) (*node, *Error) {
	const wayOut = `write x.matches("^a.*z$"), in the syntax of RE2`
	if !args[0].typ.fits(tString) {
		return nil, b.fail(args[0].pos, "string(x) makes a text", "matches takes a text, not %s", args[0].typ)
	}
	pattern, is := args[1].value.(string)
	if !is || args[1].op != nodeConstant {
		return nil, b.fail(args[1].pos, wayOut, "a pattern is written out as text")
	}
	re, bad := compilePattern(pattern)
	if bad != "" {
		return nil, b.fail(args[1].pos, wayOut, "pattern: %s", bad)
	}
	x := args[0].eval
	test := func(s, _ string) bool { return re.MatchString(s) }
	n := newNode("matches", tBool|args[0].typ&tNull, args, func(f *frame) any {
		v := x(f)
		if s, is := v.(string); is && !f.spend(len(s)/2) {
			return tooMuch
		}
		return testText(f, "matches", test, v, pattern)
	})
	n.cost += 10
	return n, nil
}

// compilePattern bounds a regular expression by its compiled size, since RE2
// takes time in proportion to size and text.
func compilePattern(pattern string) (re *regexp.Regexp, bad string) {
	if len(pattern) > maxPattern {
		return nil, "it is longer than 512 bytes"
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err.Error()
	}
	if len(prog.Inst) > maxInstructions {
		return nil, "its repetitions are too many"
	}
	re, err = regexp.Compile(pattern)
	if err != nil {
		return nil, err.Error()
	}
	return re, ""
}

// calendar has what can be asked of a time in a time zone, and of a duration.
var calendar = map[string]struct {
	time     func(time.Time) int
	duration func(time.Duration) int64
}{
	"getFullYear":     {func(t time.Time) int { return t.Year() }, nil},
	"getMonth":        {func(t time.Time) int { return int(t.Month()) - 1 }, nil},
	"getDayOfYear":    {func(t time.Time) int { return t.YearDay() - 1 }, nil},
	"getDayOfMonth":   {func(t time.Time) int { return t.Day() - 1 }, nil},
	"getDate":         {func(t time.Time) int { return t.Day() }, nil},
	"getDayOfWeek":    {func(t time.Time) int { return int(t.Weekday()) }, nil},
	"getHours":        {time.Time.Hour, func(d time.Duration) int64 { return int64(d / time.Hour) }},
	"getMinutes":      {time.Time.Minute, func(d time.Duration) int64 { return int64(d / time.Minute) }},
	"getSeconds":      {time.Time.Second, func(d time.Duration) int64 { return int64(d / time.Second) }},
	"getMilliseconds": {func(t time.Time) int { return t.Nanosecond() / 1e6 }, time.Duration.Milliseconds},
}

func (b *builder) calendar(name string, args []*node, pos int) (*node, *Error) {
	if len(args) > 2 {
		return nil, b.fail(pos, "write time."+name+`("Europe/Paris")`, "%s takes no more than a time zone", name)
	}
	zone, err := b.zone(args[1:], "write time."+name+`("Europe/Paris")`)
	if err != nil {
		return nil, err
	}
	if !args[0].typ.fits(tTime | tDuration) {
		return nil, b.fail(pos, "timestamp(x) makes a time", "%s asks a time, not %s", name, args[0].typ)
	}
	x, ask := args[0].eval, calendar[name]
	return newNode(name, tInt|args[0].typ&tNull, args, func(f *frame) any {
		switch v := x(f).(type) {
		case nil, *fault:
			return v
		case time.Time:
			return int64(ask.time(v.In(zone)))
		case time.Duration:
			if ask.duration != nil {
				return ask.duration(v)
			}
			return faultf("%s asks a time, not a duration", name)
		default:
			return faultf("%s asks a time, not %s; timestamp(x) makes one", name, typeName(v))
		}
	}), nil
}
