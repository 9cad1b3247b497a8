package record

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
)

// Members cuts values out of a JSON object without decoding them, each to where
// its name is wanted: nowhere is nil. Null is left out. The values are parts of the
// object's text, which is one that this package wrote: it is not checked again.
func Members(object []byte, wanted func(name string) *jsontext.Value) error {
	view := sdk.RawView(bytes.TrimSpace(object))
	if text := view.Raw(); !view.IsObject() || text[len(text)-1] != '}' {
		return fmt.Errorf("%w: want an object", ErrMalformed)
	}
	for name, value := range view.Members() {
		if to := wanted(name); to != nil && !value.IsNull() {
			*to = value.Raw()
		}
	}
	return nil
}
