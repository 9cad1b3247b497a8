package condition

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
)

// A Predicate is a condition as a query store can translate it: a closed tree
// of [Const], [And], [Or], [Not] and the leaves [Exists], [Truth], [Compare],
// [CompareFields], [In], [Has], [Text], [Distance] and [Bucket].
//
// A predicate is true, false or failed. And, Or and Not are Kleene's: failed is
// their third value, as NULL is in SQL, and a document whose predicate failed
// is not found. Each leaf has a method Test that decides it for what stands at
// its field, so that a store may leave to it what its own language cannot say
// exactly.
type Predicate interface{ predicate() }

// Op is a comparison.
type Op string

// The comparisons.
const (
	Equal          Op = "=="
	Less           Op = "<"
	LessOrEqual    Op = "<="
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
)

// TextOp is a question about a text.
type TextOp string

// The questions about texts.
const (
	StartsWith TextOp = "startsWith"
	EndsWith   TextOp = "endsWith"
	Contains   TextOp = "contains"
	Matches    TextOp = "matches" // Arg is a valid RE2 pattern
)

// A Form is what counts of a field's value.
type Form string

// The forms.
const (
	AsIs    Form = ""
	Lowered Form = "lower" // a text in lower case, as Unicode has it; what is neither text nor null fails
	Folded  Form = "fold"  // a text as [Fold] gives it; what is neither text nor null fails
	Listed  Form = "list"  // a list; what is none is its only element
)

// A Field is a place in the searched document and how it is read.
type Field struct {
	Path sdk.Path // from the document's own field on: traits, total
	// Time is true where the product keeps a time: RFC 3339 UTC with
	// milliseconds. Elsewhere times are whatever text the client sent.
	Time bool
	// As is what counts of the value.
	As Form
	// Missing is what counts where the document has null or nothing; nil: null.
	Missing any
}

type (
	// Const holds for every document or for none.
	Const bool
	// And holds where all do.
	And []Predicate
	// Or holds where one does.
	Or []Predicate
	// Not holds where the other is false.
	Not struct{ Of Predicate }
	// Exists holds where the field is not null.
	Exists struct{ Field }
	// Truth holds where the field is true; false and null do not, anything else fails.
	Truth struct{ Field }
	// Compare holds where the field compares so with a value: a bool, string,
	// int64, finite float64, json.Number, time.Time, or, with Equal, a []any
	// or map[string]any. Order with null or another type is false. A text
	// beside a time is read as one.
	Compare struct {
		Field
		Op    Op
		Value any
	}
	// CompareFields holds where two fields of the document compare so.
	CompareFields struct {
		Left  Field
		Op    Op
		Right Field
	}
	// In holds where the field equals one of the values, none of which is null.
	In struct {
		Field
		Values []any
	}
	// Has holds where the field is a list with an element that equals the
	// value, or a map with that key; null has none, anything else fails.
	Has struct {
		Field
		Value any
	}
	// Text holds where the field is a text with that property; null has none,
	// anything else fails.
	Text struct {
		Field
		Op  TextOp
		Arg string
	}
	// Distance holds where the kilometres between the point at two fields and a
	// given one compare so with a number; null is nowhere, and what is neither
	// null nor a number within the bounds of its kind fails.
	Distance struct {
		Lat, Lon         Field
		FromLat, FromLon float64
		Op               Op
		Value            any
	}
	// Bucket holds where the bucket of a profile's id, of so many under a name,
	// compares so with a number.
	Bucket struct {
		Field
		Name    string
		Buckets int64
		Op      Op
		Value   any
	}
)

func (Const) predicate()         {}
func (And) predicate()           {}
func (Or) predicate()            {}
func (Not) predicate()           {}
func (Exists) predicate()        {}
func (Truth) predicate()         {}
func (Compare) predicate()       {}
func (CompareFields) predicate() {}
func (In) predicate()            {}
func (Has) predicate()           {}
func (Text) predicate()          {}
func (Distance) predicate()      {}
func (Bucket) predicate()        {}

// Test decides the leaf for a value; it never fails.
func (e Exists) Test(v any) (bool, error) { return e.read(v) != nil, nil }

// Test decides the leaf for a value; an error means failed.
func (t Truth) Test(v any) (bool, error) { return verdict(truth(t.read(v))) }

// Test decides the leaf for a value; an error means failed.
func (c Compare) Test(v any) (bool, error) {
	return verdict(compareOp(c.Op, c.read(v), normal(c.Value)))
}

// Test decides the leaf for the values of its two fields; an error means failed.
func (c CompareFields) Test(left, right any) (bool, error) {
	return verdict(compareOp(c.Op, c.Left.read(left), c.Right.read(right)))
}

// Test decides the leaf for a value; an error means failed.
func (i In) Test(v any) (bool, error) {
	v = i.read(v)
	if isFault(v) {
		return verdict(v)
	}
	return slices.ContainsFunc(i.Values, func(e any) bool { return equal(nil, v, normal(e)) }), nil
}

// Test decides the leaf for a value; an error means failed.
func (h Has) Test(v any) (bool, error) { return verdict(member(nil, normal(h.Value), h.read(v))) }

// Test decides the leaf for a value; an error means failed. re is the compiled
// Arg of Matches, and not used otherwise.
func (t Text) Test(v any, re *regexp.Regexp) (bool, error) {
	test := textTests[string(t.Op)]
	if t.Op == Matches {
		test = func(s, _ string) bool { return re.MatchString(s) }
	}
	return verdict(truth(testText(nil, string(t.Op), test, t.read(v), t.Arg)))
}

// Test decides the leaf for the values of its two fields; an error means failed.
func (d Distance) Test(lat, lon any) (bool, error) {
	km := distanceOf([4]any{d.Lat.read(lat), d.Lon.read(lon), d.FromLat, d.FromLon})
	return verdict(compareOp(d.Op, km, normal(d.Value)))
}

// Test decides the leaf for a value; an error means failed.
func (b Bucket) Test(v any) (bool, error) {
	return verdict(compareOp(b.Op, bucketOf(b.read(v), b.Name, b.Buckets), normal(b.Value)))
}

// read makes the value of a field what the leaf compares.
func (f Field) read(v any) any {
	if v == nil {
		v = f.Missing
	}
	if v == nil {
		return nil
	}
	v = normal(v)
	s, text := v.(string)
	if f.Time && text {
		if t, err := sdk.ParseTime(s); err == nil {
			v = t
		}
	}
	switch {
	case f.As == AsIs || isFault(v):
		return v
	case f.As == Listed:
		return callList(nil, v)
	case !text:
		return faultf("%s takes a text, not %s", f.As, typeName(v))
	case f.As == Folded:
		return Fold(s)
	}
	return strings.ToLower(s)
}

func compareOp(op Op, a, b any) any {
	if op == Equal {
		return equality(nil, a, b, true)
	}
	return ordering("_"+string(op)+"_", a, b)
}

func verdict(v any) (bool, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case *fault:
		return false, errors.New(x.message)
	}
	return false, nil
}
