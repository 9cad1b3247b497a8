package elastic

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An order says how a query's answer is sorted: by rank (numbers, texts, the rest), then
// by value, then by the key.
type order struct {
	kind store.Kind
	sort string
	desc bool
	path sdk.Path
	// column is the column that the path is, empty where it is none.
	column string
}

func parseOrder(kind store.Kind, sort string) (order, error) {
	sort, path, desc, err := store.ParseSort(kind, sort)
	o := order{kind: kind, sort: sort, desc: desc, path: path}
	if err != nil {
		return o, err
	}
	if len(path) == 1 && slices.Contains(kind.Columns(), path[0]) {
		o.column = path[0]
	}
	return o, nil
}

// everywhere tells whether every document has a value in the column.
func (o *order) everywhere() bool {
	return o.column == "id" || o.column == o.kind.Scope() || slices.Contains(o.kind.Times(), o.column)
}

func (o *order) direction() string {
	if o.desc {
		return "desc"
	}
	return "asc"
}

// A seat is the place of a document in an order.
type seat struct {
	rank  int64
	value string // of a number, its text as condition.AppendOrdered writes it
	id    string
}

// seatOf gives the place of a document.
func (o *order) seatOf(d *store.Document) (seat, error) {
	at := seat{rank: store.RankRest, id: d.ID}
	if o.column != "" {
		value := d.Column(slices.Index(o.kind.Columns(), o.column))
		if value != "" || o.everywhere() || bearsText(d.Body, o.column) {
			at.rank, at.value = store.RankText, value
		}
		return at, nil
	}
	value, err := valueAt(d, o.path)
	if err != nil {
		return at, err
	}
	switch v := value.(type) {
	case string:
		at.rank, at.value = store.RankText, v
	case int64, float64, json.Number:
		at.rank, at.value = store.RankNumber, ordered(v)
	}
	return at, nil
}

// ordered writes a number such that the order of the texts is that of the numbers. What
// has more digits than the texts are exact for is cut.
func ordered(number any) string {
	if text, ok := condition.AppendOrdered(nil, number); ok {
		return string(text)
	}
	literal := fmt.Sprint(number)
	if f, _, err := big.ParseFloat(literal, 10, 1200, big.ToZero); err == nil && !f.IsInf() {
		if text, ok := condition.AppendOrdered(nil, json.Number(f.Text('e', 350))); ok {
			return string(text)
		}
	}
	// Beyond all others.
	if strings.HasPrefix(literal, "-") {
		return ""
	}
	return "\x7f"
}

// compare tells which of two places comes first.
func (o *order) compare(a, b seat) int {
	if a.rank != b.rank {
		return int(a.rank - b.rank)
	}
	n := strings.Compare(a.value, b.value)
	if n == 0 {
		field, scope := o.kind.Key(a.id)
		otherField, otherScope := o.kind.Key(b.id)
		if n = strings.Compare(field, otherField); n == 0 {
			n = strings.Compare(scope, otherScope)
		}
	}
	if o.desc {
		return -n
	}
	return n
}
