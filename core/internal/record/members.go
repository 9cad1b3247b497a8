package record

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Members cuts values out of a JSON object without decoding them, each to where
// its name is wanted: nowhere is nil. Null is left out. The values are parts of the
// object's text.
func Members(object []byte, wanted func(name string) *jsontext.Value) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if kind, _ := dec.StackIndex(dec.StackDepth()); kind != '{' {
		return fmt.Errorf("%w: want an object", ErrMalformed)
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		to := wanted(name.String())
		if to == nil {
			err = dec.SkipValue()
		} else if *to, err = dec.ReadValue(); err == nil && to.Kind() == 'n' {
			*to = nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
