package sdk

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// encodeValue writes what an action hands over as JSON: the types of the
// package's documentation as [AppendValue] does, others as [json.Marshal] does.
func encodeValue(v any) (jsontext.Value, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case View:
		return v.raw, nil
	}
	if plain(v) {
		return AppendValue(nil, v), nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%T cannot be written as JSON: %w", v, err)
	}
	return text, nil
}

// plain tells whether AppendValue writes v, and all that is in it, exactly.
func plain(v any) bool {
	switch v := v.(type) {
	case nil, bool, string, int, int64, uint64, time.Time, []string:
		return true
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	case []any:
		for _, e := range v {
			if !plain(e) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, e := range v {
			if !plain(e) {
				return false
			}
		}
		return true
	}
	return false
}
