package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// where translates a predicate to SQL over the column body, JSON documents as
// package sdk writes them. The SQL is 1, 0, or NULL where the predicate failed,
// and finds exactly the documents that the condition finds in memory: what
// SQLite cannot decide exactly it leaves to the functions of where_functions.go.
//
// columns names, by first-level field, plain columns beside the JSON that hold
// the field's text — a string, or a time in sdk.TimeLayout — or NULL for null.
// Comparisons of such fields with texts and times use the column, so that an
// index on it serves them.
//
// SQLite compares names up to a NUL, so documents must not have NUL in a name;
// a condition that asks for such a name is refused.
//
// Every value, path and pattern is a parameter; only column names are text of
// the statement.
func where(p condition.Predicate, columns map[string]string) (sql string, args []any, err error) {
	w := &whereBuilder{columns: columns}
	if err := errors.Join(w.predicate(p), w.refused); err != nil {
		return "", nil, fmt.Errorf("translate condition to SQL: %w", err)
	}
	return w.sql.String(), w.args, nil
}

type whereBuilder struct {
	columns map[string]string
	sql     strings.Builder
	args    []any
	refused error // a path that SQLite cannot follow
}

// write appends SQL in which each ? takes the next of args.
func (w *whereBuilder) write(sql string, args ...any) {
	w.sql.WriteString(sql)
	w.args = append(w.args, args...)
}

func (w *whereBuilder) predicate(p condition.Predicate) error {
	switch x := p.(type) {
	case condition.Const:
		w.write(bit(bool(x)))
	case condition.And:
		return w.junction(x, " AND ", "1")
	case condition.Or:
		return w.junction(x, " OR ", "0")
	case condition.Not:
		w.write("NOT (")
		if err := w.predicate(x.Of); err != nil {
			return err
		}
		w.write(")")
	case condition.Exists:
		w.exists(x.Field)
	case condition.Truth:
		w.write("CASE coalesce(json_type(body,?),'null') WHEN 'true' THEN 1 WHEN 'false' THEN 0 WHEN 'null' THEN "+verdict(x.Test(nil))+" END", w.quotedPath(x.Path))
	case condition.Compare:
		return w.compare(x)
	case condition.CompareFields:
		return w.compareFields(x)
	case condition.In:
		return w.in(x)
	case condition.Has:
		return w.has(x)
	case condition.Text:
		return w.text(x)
	case condition.Distance:
		return w.distance(x)
	case condition.Bucket:
		return w.bucket(x)
	default:
		return fmt.Errorf("a %T is unknown to this store", p)
	}
	return nil
}

func (w *whereBuilder) junction(parts []condition.Predicate, operator, none string) error {
	if len(parts) == 0 {
		w.write(none)
		return nil
	}
	w.write("(")
	for i, p := range parts {
		if i > 0 {
			w.write(operator)
		}
		if err := w.predicate(p); err != nil {
			return err
		}
	}
	w.write(")")
	return nil
}

// plainColumn is the column beside the JSON that holds a field, if there is one.
func (w *whereBuilder) plainColumn(f condition.Field) (string, bool) {
	if len(f.Path) != 1 || f.Missing != nil || f.As != condition.AsIs {
		return "", false
	}
	column, ok := w.columns[f.Path[0]]
	return column, ok
}

func (w *whereBuilder) exists(f condition.Field) {
	if column, ok := w.plainColumn(f); ok {
		w.write(column + " IS NOT NULL")
		return
	}
	w.write("coalesce(json_type(body,?),'null')<>'null'", w.quotedPath(f.Path))
}

var sqlOperators = map[condition.Op]string{
	condition.Equal: "=", condition.Less: "<", condition.LessOrEqual: "<=",
	condition.Greater: ">", condition.GreaterOrEqual: ">=",
}

func (w *whereBuilder) compare(c condition.Compare) error {
	operator, known := sqlOperators[c.Op]
	if !known {
		return fmt.Errorf("comparison %q is unknown to this store", c.Op)
	}
	if c.As == condition.Listed {
		return w.compareExactly(c)
	}
	column, plain := w.plainColumn(c.Field)
	switch v := c.Value.(type) {
	case string:
		switch {
		case c.Time:
			t, err := sdk.ParseTime(v)
			if err != nil {
				w.write("0")
				return nil //nolint:nilerr // no time is like a text that is none
			}
			c.Value = t
			return w.compare(c)
		case plain:
			w.compareColumn(column, operator, v)
			return nil
		}
		return w.compareText(c, operator, v)
	case time.Time:
		text, exact := timeText(v)
		switch {
		case !exact:
			return fmt.Errorf("time %v is outside the years 1 to 9999", v)
		case c.Time && plain:
			w.compareColumn(column, operator, text)
			return nil
		case c.Time:
			w.write("CASE json_type(body,?) WHEN 'text' THEN json_extract(body,?)"+operator+"? ELSE 0 END",
				w.quotedPath(c.Path), w.quotedPath(c.Path), text)
			return nil
		case c.As != condition.AsIs:
			return w.compareExactly(c)
		}
		w.write("coalesce("+functionTime+"(body->?)"+operator+"?,0)", w.quotedPath(c.Path), text)
		return nil
	case int64, float64, json.Number:
		if c.As == condition.AsIs && !c.Time {
			return w.compareNumber(c, operator)
		}
	case bool:
		if c.Op == condition.Equal && c.As == condition.AsIs {
			w.write("coalesce(json_type(body,?)=?,0)", w.quotedPath(c.Path), strconv.FormatBool(v))
			return nil
		}
	}
	return w.compareExactly(c)
}

// compareColumn compares a column of texts. NOT NULL tells null from failed, and
// leaves the comparison to an index, a partial one too.
func (w *whereBuilder) compareColumn(column, operator, text string) {
	w.write("("+column+" IS NOT NULL AND "+column+operator+"?)", text)
}

func (w *whereBuilder) compareText(c condition.Compare, operator, text string) error {
	path := w.quotedPath(c.Path)
	switch {
	case c.Missing != nil:
		return w.compareExactly(c)
	case c.As != condition.AsIs:
		w.write("CASE coalesce(json_type(body,?),'null') WHEN 'text' THEN "+formFunctions[c.As]+"(body->?)"+operator+"? WHEN 'null' THEN 0 END",
			path, path, text)
	case operator == "=" && !jsonLike(text):
		// Only a text can be this text: json_extract gives lists and maps as
		// their JSON, everything else as no text.
		w.write("json_extract(body,?) IS ?", path, text)
	default:
		w.write("CASE json_type(body,?) WHEN 'text' THEN json_extract(body,?)"+operator+"? ELSE 0 END", path, path, text)
	}
	return nil
}

func jsonLike(text string) bool { return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") }

// Between nearBelow and nearAbove of a bound, a number that SQLite had to round
// is compared by its digits.
const (
	roundingError = 1e-12
	exactInteger  = 1 << 53
)

// compareNumber lets SQLite compare where neither side was rounded, or where
// rounding does not matter, and a function elsewhere.
func (w *whereBuilder) compareNumber(c condition.Compare, operator string) error {
	bound, native := nativeNumber(c.Value)
	if !native {
		return w.compareExactly(c)
	}
	near := math.Max(math.Abs(bound.float)*roundingError, 1e-290)
	path, value := w.quotedPath(c.Path), "json_extract(body,?)"
	w.write("CASE coalesce(json_type(body,?),'null') ", path)
	if math.Abs(bound.float) < exactInteger && !bound.rounded {
		// An integer is exact, or beyond 64 bits and so beyond the bound.
		w.write("WHEN 'integer' THEN "+value+operator+"? ", path, bound.value)
	} else {
		w.nearNumber(c, "integer", operator, bound, near)
	}
	w.nearNumber(c, "real", operator, bound, near)
	w.write("WHEN 'null' THEN " + verdict(c.Test(nil)) + " ELSE 0 END")
	return nil
}

func (w *whereBuilder) nearNumber(c condition.Compare, jsonType, operator string, bound number, near float64) {
	path, value := w.quotedPath(c.Path), "json_extract(body,?)"
	w.write("WHEN '"+jsonType+"' THEN CASE WHEN "+value+" BETWEEN ? AND ? THEN ", path, bound.float-near, bound.float+near)
	w.function(functionCompare, c.Op, c.Field, nil, literalText(c.Value))
	w.write(" ELSE "+value+operator+"? END ", path, bound.value)
}

// A number is a bound as SQLite takes it.
type number struct {
	value   any // int64 or float64
	float   float64
	rounded bool // value is only near the bound
}

func nativeNumber(v any) (number, bool) {
	switch x := v.(type) {
	case int64:
		return number{value: x, float: float64(x)}, true
	case float64:
		return number{value: x, float: x}, !math.IsInf(x, 0) && math.Abs(x) < 1e300
	case json.Number:
		f, err := strconv.ParseFloat(string(x), 64)
		return number{value: f, float: f, rounded: true}, err == nil && math.Abs(f) < 1e300
	}
	return number{}, false
}

// compareExactly leaves a comparison to the leaf's own Test.
func (w *whereBuilder) compareExactly(c condition.Compare) error {
	if t, is := c.Value.(time.Time); is {
		return fmt.Errorf("%s of a text is not compared with the time %v", c.As, t)
	}
	w.function(functionCompare, c.Op, c.Field, nil, literalText(c.Value))
	return nil
}

func (w *whereBuilder) compareFields(c condition.CompareFields) error {
	if _, known := sqlOperators[c.Op]; !known {
		return fmt.Errorf("comparison %q is unknown to this store", c.Op)
	}
	w.function(functionCompareFields, c.Op, c.Left, &c.Right, "")
	return nil
}

func (w *whereBuilder) in(in condition.In) error {
	texts := make([]any, 0, len(in.Values))
	for _, v := range in.Values {
		if text, is := v.(string); is && !jsonLike(text) {
			texts = append(texts, text)
		}
	}
	column, plain := w.plainColumn(in.Field)
	if len(texts) < len(in.Values) || len(texts) == 0 || in.As != condition.AsIs || in.Time || in.Missing != nil {
		parts := make([]condition.Predicate, len(in.Values))
		for i, v := range in.Values {
			parts[i] = condition.Compare{Field: in.Field, Op: condition.Equal, Value: v}
		}
		return w.junction(parts, " OR ", "0")
	}
	list := " IN (?" + strings.Repeat(",?", len(texts)-1) + ")"
	if plain {
		w.write("("+column+" IS NOT NULL AND "+column+list+")", texts...)
		return nil
	}
	w.write("coalesce(json_extract(body,?)"+list+",0)", append([]any{w.quotedPath(in.Path)}, texts...)...)
	return nil
}

func (w *whereBuilder) has(h condition.Has) error {
	text, is := h.Value.(string)
	if !is || h.As != condition.AsIs || strings.ContainsRune(text, 0) {
		w.function(functionHas, "", h.Field, nil, literalText(h.Value))
		return nil
	}
	path := w.quotedPath(h.Path)
	key := w.quotedPath(append(h.Path[:len(h.Path):len(h.Path)], text))
	w.write("CASE coalesce(json_type(body,?),'null') WHEN 'null' THEN 0 WHEN 'object' THEN json_type(body,?) IS NOT NULL "+
		"WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(body,?) AS element WHERE element.type='text' AND element.value=?) END",
		path, key, path, text)
	return nil
}

// text asks about bytes: SQLite's functions over texts end at NUL. Over an
// empty blob they are NULL.
func (w *whereBuilder) text(t condition.Text) error {
	path, size := w.quotedPath(t.Path), len(t.Arg)
	w.write("CASE coalesce(json_type(body,?),'null') WHEN 'null' THEN 0 WHEN 'text' THEN ", path)
	value, valueArgs := "json_extract(body,?)", []any{path}
	if t.As != condition.AsIs {
		value = formFunctions[t.As] + "(body->?)"
	}
	switch {
	case t.Op == condition.Matches:
		w.write(functionMatches+"(?,?,body->?)", literalText(t.Arg), string(t.As), path)
	case size == 0:
		w.write("1")
	case t.Op == condition.StartsWith:
		w.write("coalesce(substr(CAST("+value+" AS BLOB),1,?)=CAST(? AS BLOB),0)", append(valueArgs, size, t.Arg)...)
	case t.Op == condition.EndsWith:
		w.write("coalesce(substr(CAST("+value+" AS BLOB),?)=CAST(? AS BLOB),0)", append(valueArgs, -size, t.Arg)...)
	case t.Op == condition.Contains:
		w.write("coalesce(instr(CAST("+value+" AS BLOB),CAST(? AS BLOB))>0,0)", append(valueArgs, t.Arg)...)
	default:
		return fmt.Errorf("question %q is unknown to this store", t.Op)
	}
	w.write(" END")
	return nil
}

func (w *whereBuilder) distance(d condition.Distance) error {
	if _, known := sqlOperators[d.Op]; !known {
		return fmt.Errorf("comparison %q is unknown to this store", d.Op)
	}
	w.write(functionDistance+"(?,body->?,?,body->?,?,?,?)",
		encodeField(d.Op, d.Lat), w.quotedPath(d.Lat.Path), encodeField(d.Op, d.Lon), w.quotedPath(d.Lon.Path),
		d.FromLat, d.FromLon, literalText(d.Value))
	return nil
}

func (w *whereBuilder) bucket(b condition.Bucket) error {
	if _, known := sqlOperators[b.Op]; !known {
		return fmt.Errorf("comparison %q is unknown to this store", b.Op)
	}
	w.write(functionBucket+"(?,body->?,?,?,?)", encodeField(b.Op, b.Field), w.quotedPath(b.Path), literalText(b.Name), b.Buckets, literalText(b.Value))
	return nil
}

// function calls a function of where_functions.go with what stands at one or
// two fields as JSON, and a literal as JSON.
func (w *whereBuilder) function(name string, op condition.Op, f condition.Field, other *condition.Field, literal string) {
	w.write(name+"(?,body->?,", encodeField(op, f), w.quotedPath(f.Path))
	if other != nil {
		w.write("?,body->?)", encodeField(op, *other), w.quotedPath(other.Path))
		return
	}
	w.write("?)", literal)
}

// quotedPath writes a path of SQLite's: names in quotes, escaped as in JSON, so
// that no name can end early or mean anything else.
func (w *whereBuilder) quotedPath(path sdk.Path) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, name := range path {
		if strings.ContainsRune(name, 0) {
			w.refused = fmt.Errorf("field %q: a name with NUL is not searched", path)
		}
		b.WriteByte('.')
		b.Write(sdk.AppendString(nil, name))
	}
	return b.String()
}

func literalText(v any) string { return string(sdk.AppendValue(nil, v)) }

// timeText writes a time as documents hold it; conditions keep milliseconds.
func timeText(t time.Time) (string, bool) {
	y := t.UTC().Year()
	return sdk.FormatTime(t), y >= 1 && y <= 9999
}

// verdict is what a leaf says of a document without the field.
func verdict(holds bool, failed error) string {
	if failed != nil {
		return "NULL"
	}
	return bit(holds)
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
