package sqlite

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// An order says how a query's answer is sorted: by rank (numbers, texts, the
// rest), then by value, then by the key.
type order struct {
	kind store.Kind
	sort string
	desc bool
	path sdk.Path
	json string // the path, as SQLite's JSON functions read it
	// column is true where the path is a column that every document has and
	// that holds texts only; then there is one rank.
	column bool
}

func parseOrder(kind store.Kind, sort string) (order, error) {
	sort, path, desc, err := store.ParseSort(kind, sort)
	o := order{kind: kind, sort: sort, desc: desc, path: path}
	if err != nil {
		return o, err
	}
	if o.json, err = jsonPath(path); err != nil {
		return o, fmt.Errorf("sort: %w", err)
	}
	o.column = len(path) == 1 && (path[0] == "id" || path[0] == kind.Scope() || slices.Contains(kind.Times(), path[0]))
	return o, nil
}

// orderArgs are the arguments of an order's SQL, before and after those of the
// filter.
type orderArgs struct{ before, after []any }

// sql gives the query of a page; it selects body, configuration, rank and value. The limit is a
// part of the text, since SQLite plans by it.
func (o order) sql(where string, after *cursor, limit int) (string, orderArgs) {
	direction, beyond := "", ">"
	if o.desc {
		direction, beyond = " DESC", "<"
	}
	keys := o.kind.Keys()
	byKey := strings.Join(keys, direction+", ") + direction
	marks := strings.Repeat(", ?", len(keys))[2:]
	var args orderArgs
	if o.column {
		if after == nil {
			// Holds for every document, and tells SQLite to begin in the index.
			where = fmt.Sprintf("(%s) AND %s >= ''", where, o.path[0])
		} else {
			where = fmt.Sprintf("(%s) AND (%s, %s) %s (?, %s)", where, o.path[0], strings.Join(keys, ", "), beyond, marks)
			args.after = append([]any{after.value}, keyArgs(o.kind, after.id)...)
		}
		return fmt.Sprintf("SELECT body, %s, %d, %s FROM %s WHERE %s ORDER BY %s%s, %s LIMIT %d",
			configOf(o.kind), store.RankText, o.path[0], o.kind, where, o.path[0], direction, byKey, limit), args
	}
	args.before = []any{o.json, o.json, o.json}
	beyondCursor := "1"
	if after != nil {
		beyondCursor = fmt.Sprintf("rank > ? OR (rank = ? AND (value %s ? OR (value IS ? AND (%s) %s (%s))))",
			beyond, strings.Join(keys, ", "), beyond, marks)
		args.after = append([]any{after.rank, after.rank, after.value, after.value}, keyArgs(o.kind, after.id)...)
	}
	return fmt.Sprintf(`SELECT body, config, rank, value FROM (
	SELECT body, %s AS config, %s,
		CASE json_type(body, ?) WHEN 'integer' THEN %d WHEN 'real' THEN %[3]d WHEN 'text' THEN %d ELSE %d END AS rank,
		CASE WHEN json_type(body, ?) IN ('integer', 'real', 'text') THEN json_extract(body, ?) END AS value
	FROM %s WHERE %s) WHERE %s ORDER BY rank, value%s, %s LIMIT %d`,
		configOf(o.kind), strings.Join(keys, ", "), store.RankNumber, store.RankText, store.RankRest, o.kind, where, beyondCursor, direction, byKey, limit), args
}

// A cursor is the place of a document in an order.
type cursor struct {
	rank  int64
	value any // int64, float64, string or nil, as SQLite has it
	id    string
}

// text writes the cursor, with the order it belongs to.
func (c *cursor) text(o order) string {
	value := ""
	switch v := c.value.(type) {
	case int64:
		value = "i" + strconv.FormatInt(v, 10)
	case float64:
		value = "f" + strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		value = "s" + v
	}
	return base64.RawURLEncoding.EncodeToString(sdk.AppendValue(nil, []any{string(o.kind), o.sort, c.rank, value, c.id}))
}

// parseCursor reads a cursor of the same order.
func parseCursor(text string, o order) (*cursor, error) {
	wrong := fmt.Errorf("%w: the cursor is none of this query: use the one of the page before, with the same kind and sort, or none", store.ErrInvalid)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, wrong
	}
	v, err := sdk.ParseValue(raw)
	list, ok := v.([]any)
	if err != nil || !ok || len(list) != 5 || list[0] != string(o.kind) || list[1] != o.sort {
		return nil, wrong
	}
	c := &cursor{}
	rank, isRank := list[2].(int64)
	value, isValue := list[3].(string)
	id, isID := list[4].(string)
	if !isRank || !isValue || !isID {
		return nil, wrong
	}
	c.rank, c.id = rank, id
	if value != "" {
		switch value[0] {
		case 'i':
			c.value, err = strconv.ParseInt(value[1:], 10, 64)
		case 'f':
			c.value, err = strconv.ParseFloat(value[1:], 64)
		case 's':
			c.value = value[1:]
		default:
			return nil, wrong
		}
	}
	if err != nil || c.text(o) != text {
		return nil, wrong
	}
	return c, nil
}
