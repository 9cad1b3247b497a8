package config

import (
	"errors"
	"fmt"
)

// ParseSchema compiles a JSON Schema that did not come with a resource, such as
// the one that a plugin brings for its action. Draft 2020-12 unless it says
// otherwise; it can refer to nothing but itself.
func ParseSchema(text []byte) (*Schema, error) {
	nodes, err := readJSON(text)
	if err != nil {
		var at *positioned
		if errors.As(err, &at) {
			return nil, fmt.Errorf("not JSON: %s", at.message)
		}
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, fmt.Errorf("want one JSON Schema, got %d values", len(nodes))
	}
	return compileSchema(nodes[0])
}
