package sqlite

import (
	"database/sql/driver"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"modernc.org/sqlite"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// The functions by which SQLite decides what its own language cannot say
// exactly. Documents reach them as JSON text, which has no NUL at which SQLite's
// texts would end. NULL is the answer of a predicate that failed.
const (
	functionTime          = "tributary_time"           // (json) → text in sdk.TimeLayout, or NULL where it is no time
	functionLower         = "tributary_lower"          // (json text) → text in lower case
	functionFold          = "tributary_fold"           // (json text) → folded text
	functionMatches       = "tributary_matches"        // (pattern as JSON, form, json text)
	functionCompare       = "tributary_compare"        // (field, json, literal)
	functionCompareFields = "tributary_compare_fields" // (field, json, field, json)
	functionHas           = "tributary_has"            // (field, json, literal)
	functionDistance      = "tributary_distance"       // (field, json, field, json, latitude, longitude, literal)
	functionBucket        = "tributary_bucket"         // (field, json, name as JSON, buckets, literal)
)

// formFunctions make a text what counts of it.
var formFunctions = map[condition.Form]string{condition.Lowered: functionLower, condition.Folded: functionFold}

func init() {
	register(functionTime, 1, timeOf)
	register(functionLower, 1, func(args []driver.Value) (driver.Value, error) { return textOf(args[0], strings.ToLower) })
	register(functionFold, 1, func(args []driver.Value) (driver.Value, error) { return textOf(args[0], condition.Fold) })
	register(functionMatches, 3, matchesOf)
	register(functionCompare, 3, compareOf)
	register(functionCompareFields, 4, compareFieldsOf)
	register(functionHas, 3, hasOf)
	register(functionDistance, 7, distanceOf)
	register(functionBucket, 5, bucketOf)
}

func register(name string, args int32, f func(args []driver.Value) (driver.Value, error)) {
	sqlite.MustRegisterDeterministicScalarFunction(name, args, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		v, err := f(args)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	})
}

// parseJSON reads what -> gave; NULL is null.
func parseJSON(v driver.Value) (any, error) {
	text, is := v.(string)
	if !is {
		return nil, nil
	}
	return sdk.ParseValue([]byte(text))
}

func timeOf(args []driver.Value) (driver.Value, error) {
	v, err := parseJSON(args[0])
	if err != nil {
		return nil, err
	}
	text, is := v.(string)
	if !is {
		return nil, nil
	}
	t, err := sdk.ParseTime(text)
	if err != nil {
		return nil, nil //nolint:nilerr // a text that is no time is no error
	}
	return sdk.FormatTime(t), nil
}

func textOf(json driver.Value, form func(string) string) (driver.Value, error) {
	v, err := parseJSON(json)
	if err != nil {
		return nil, err
	}
	text, is := v.(string)
	if !is {
		return nil, nil
	}
	return form(text), nil
}

func matchesOf(args []driver.Value) (driver.Value, error) {
	quoted, _ := args[0].(string)
	re, err := patterns.compile(quoted)
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(args[2])
	if err != nil {
		return nil, err
	}
	form, _ := args[1].(string)
	field := condition.Field{As: condition.Form(form)}
	return answer(condition.Text{Field: field, Op: condition.Matches}.Test(v, re))
}

func compareOf(args []driver.Value) (driver.Value, error) {
	op, field, err := decodeField(args[0])
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(args[1])
	if err != nil {
		return nil, err
	}
	literal, err := parseJSON(args[2])
	if err != nil {
		return nil, err
	}
	return answer(condition.Compare{Field: field, Op: op, Value: literal}.Test(v))
}

func compareFieldsOf(args []driver.Value) (driver.Value, error) {
	op, left, err := decodeField(args[0])
	if err != nil {
		return nil, err
	}
	a, err := parseJSON(args[1])
	if err != nil {
		return nil, err
	}
	_, right, err := decodeField(args[2])
	if err != nil {
		return nil, err
	}
	b, err := parseJSON(args[3])
	if err != nil {
		return nil, err
	}
	return answer(condition.CompareFields{Left: left, Op: op, Right: right}.Test(a, b))
}

func hasOf(args []driver.Value) (driver.Value, error) {
	_, field, err := decodeField(args[0])
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(args[1])
	if err != nil {
		return nil, err
	}
	literal, err := parseJSON(args[2])
	if err != nil {
		return nil, err
	}
	return answer(condition.Has{Field: field, Value: literal}.Test(v))
}

func distanceOf(args []driver.Value) (driver.Value, error) {
	op, lat, err := decodeField(args[0])
	if err != nil {
		return nil, err
	}
	_, lon, err := decodeField(args[2])
	if err != nil {
		return nil, err
	}
	d := condition.Distance{Lat: lat, Lon: lon, Op: op}
	d.FromLat, _ = args[4].(float64)
	d.FromLon, _ = args[5].(float64)
	var at [2]any
	for i, arg := range []int{1, 3} {
		if at[i], err = parseJSON(args[arg]); err != nil {
			return nil, err
		}
	}
	if d.Value, err = parseJSON(args[6]); err != nil {
		return nil, err
	}
	return answer(d.Test(at[0], at[1]))
}

func bucketOf(args []driver.Value) (driver.Value, error) {
	op, field, err := decodeField(args[0])
	if err != nil {
		return nil, err
	}
	id, err := parseJSON(args[1])
	if err != nil {
		return nil, err
	}
	name, err := parseJSON(args[2])
	if err != nil {
		return nil, err
	}
	b := condition.Bucket{Field: field, Op: op}
	b.Name, _ = name.(string)
	b.Buckets, _ = args[3].(int64)
	if b.Value, err = parseJSON(args[4]); err != nil {
		return nil, err
	}
	return answer(b.Test(id))
}

// answer is what a leaf says; a leaf that failed is NULL, not an error of the
// statement.
func answer(holds bool, failed error) (driver.Value, error) {
	switch {
	case failed != nil:
		return nil, nil //nolint:nilerr // failed is the third value of a predicate
	case holds:
		return int64(1), nil
	}
	return int64(0), nil
}

// encodeField writes how a field is read and compared: the comparison, t for a
// time, the form, then what counts where it is missing, as JSON.
func encodeField(op condition.Op, f condition.Field) string {
	time, missing := "", ""
	if f.Time {
		time = "t"
	}
	if f.Missing != nil {
		missing = literalText(f.Missing)
	}
	return string(op) + "|" + time + "|" + string(f.As) + "|" + missing
}

func decodeField(v driver.Value) (condition.Op, condition.Field, error) {
	text, _ := v.(string)
	parts := strings.SplitN(text, "|", 4)
	if len(parts) != 4 {
		return "", condition.Field{}, fmt.Errorf("field %q: want comparison|time|form|missing", text)
	}
	f := condition.Field{Time: parts[1] == "t", As: condition.Form(parts[2])}
	if parts[3] != "" {
		missing, err := sdk.ParseValue([]byte(parts[3]))
		if err != nil {
			return "", condition.Field{}, fmt.Errorf("field %q: %w", text, err)
		}
		f.Missing = missing
	}
	return condition.Op(parts[0]), f, nil
}

// patterns keeps the latest compiled patterns by their JSON: SQLite hands over
// the text for every row.
var patterns patternCache

const maxPatterns = 256

type patternCache struct {
	mu       sync.RWMutex
	compiled map[string]*regexp.Regexp
}

func (c *patternCache) compile(quoted string) (*regexp.Regexp, error) {
	c.mu.RLock()
	re, ok := c.compiled[quoted]
	c.mu.RUnlock()
	if ok {
		return re, nil
	}
	v, err := parseJSON(quoted)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", quoted, err)
	}
	pattern, _ := v.(string)
	if re, err = regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("pattern %s: %w", quoted, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled == nil || len(c.compiled) >= maxPatterns {
		c.compiled = make(map[string]*regexp.Regexp)
	}
	c.compiled[quoted] = re
	return re, nil
}
