package store

import (
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
)

// The ranks by which a [Query] is sorted first, in both directions.
const (
	RankNumber = 1
	RankText   = 2
	RankRest   = 3
)

// ParseSort reads the Sort of a [Query] of a kind; full is what an empty one stands for. The
// error is [ErrInvalid].
func ParseSort(kind Kind, sort string) (full string, path sdk.Path, desc bool, err error) {
	if sort == "" {
		times := kind.Times()
		sort = "-" + times[len(times)-1]
	}
	rest, desc := strings.CutPrefix(sort, "-")
	path, err = sdk.ParsePath(rest)
	if err != nil {
		return sort, nil, desc, fmt.Errorf("%w: sort: %w", ErrInvalid, err)
	}
	return sort, path, desc, nil
}

// Keys are the columns that a document of the kind is known by, in the order by which
// equal ones are sorted.
func (k Kind) Keys() []string {
	if scope := k.Scope(); scope != "" {
		return []string{"id", scope}
	}
	return []string{"id"}
}
