package condition

import (
	"slices"
	"strings"
)

// What conditions can say. A name that stands in none of these lists is unknown
// to the compiler, whatever else knows it: so tests that go through the lists
// leave nothing out.
var (
	operatorNames = []string{"!", "&&", "||", "?", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in", "[]"}
	functionNames = []string{
		"has", "count", "sum", "first", "last", "ago", "consented", "day", "lower", "fold", "size", "list", "distance", "bucket",
		"double", "int", "string", "bool", "timestamp", "duration",
	}
	methodNames = []string{
		"startsWith", "endsWith", "contains", "matches", "size",
		"getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek",
		"getHours", "getMinutes", "getSeconds", "getMilliseconds",
	}
	macroNames = []string{"all", "exists", "exists_one", "filter", "map"}
)

// Operators lists the operators of conditions as they are written; ? is that of
// a ? b : c, [] that of a[b].
func Operators() []string { return slices.Clone(operatorNames) }

// Functions lists what is called as name(x).
func Functions() []string { return slices.Clone(functionNames) }

// Methods lists what is called as x.name().
func Methods() []string { return slices.Clone(methodNames) }

// Macros lists what goes through a list: list.name(x, condition).
func Macros() []string { return slices.Clone(macroNames) }

// known lists what can be called, for messages.
var known = "conditions have " + strings.Join(functionNames, ", ") +
	", x." + strings.Join(methodNames[:slices.Index(methodNames, "size")], ", x.") +
	", list." + strings.Join(macroNames, ", list.") + ", time.getFullYear and its kin"
