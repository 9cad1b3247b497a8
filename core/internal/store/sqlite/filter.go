package sqlite

import (
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// where gives the SQL of a filter over the table of a kind.
func (s *Store) where(kind store.Kind, filter store.Filter) (string, []any, error) {
	names := kind.Columns()
	if names == nil {
		return "", nil, unknownKind(kind)
	}
	if filter == nil {
		return "1", nil, nil
	}
	predicate, err := filter.Predicate(s.now())
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
	}
	columns := make(map[string]string, len(names))
	for _, name := range names {
		columns[name] = name
	}
	sql, args, err := where(predicate, columns)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", store.ErrUnsearchable, err)
	}
	return sql, args, nil
}

// jsonPath writes a path as SQLite's JSON functions read it: every name in
// quotes, escaped as in JSON.
func jsonPath(path sdk.Path) (string, error) {
	text := "$"
	for _, name := range path {
		if strings.ContainsRune(name, 0) {
			return "", fmt.Errorf("%w: path %q: SQLite does not read a name with NUL", store.ErrInvalid, path)
		}
		text += "." + string(sdk.AppendString(nil, name))
	}
	return text, nil
}
