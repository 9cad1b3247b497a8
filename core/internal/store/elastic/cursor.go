package elastic

import (
	"encoding/base64"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// cursor writes a place in the order, with the order that it belongs to.
func (o *order) cursor(at seat) string {
	return base64.RawURLEncoding.EncodeToString(sdk.AppendValue(nil, []any{string(o.kind), o.sort, at.rank, at.value, at.id}))
}

// parseCursor reads a cursor of the same order.
func (o *order) parseCursor(text string) (*seat, error) {
	wrong := fmt.Errorf("%w: the cursor is none of this query: use the one of the page before, with the same kind and sort, or none", store.ErrInvalid)
	list, ok := cursorList(text)
	if !ok || len(list) != 5 || list[0] != string(o.kind) || list[1] != o.sort {
		return nil, wrong
	}
	at := &seat{}
	var fits [3]bool
	at.rank, fits[0] = list[2].(int64)
	at.value, fits[1] = list[3].(string)
	at.id, fits[2] = list[4].(string)
	if fits != [3]bool{true, true, true} || at.rank < store.RankNumber || at.rank > store.RankRest || o.cursor(*at) != text {
		return nil, wrong
	}
	return at, nil
}

// cursorList reads the values that a cursor is of.
func cursorList(text string) ([]any, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	v, err := sdk.ParseValue(raw)
	list, ok := v.([]any)
	return list, err == nil && ok
}
