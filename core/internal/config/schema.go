package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/tributary-bus/tributary/sdk"
)

// A Schema is a JSON Schema that a configuration brings along. It is safe for
// concurrent use.
type Schema struct {
	library *jsonschema.Schema
	check   *check
}

// Validate tells what is wrong with a value of package sdk; nil: nothing. The
// answer is the library's, which is a *jsonschema.ValidationError, but for
// numbers that it had better not see. The library allocates a record of every value that it comes by, for messages
// that a valid one never needs: it is asked only where the check is not sure.
func (s *Schema) Validate(value any) error {
	if s.check.sure(value) {
		return nil
	}
	if path, ok := extreme(value, nil); ok {
		return fmt.Errorf("%s has an exponent beyond ±%d, which a schema cannot judge", path, mostExponent)
	}
	return s.library.Validate(value)
}

// mostExponent bounds the numbers that the library is asked about: it writes
// them out, which takes time and room without end, or panics.
const mostExponent = 1000

// extreme finds a number beyond mostExponent and the path to it.
func extreme(value any, at sdk.Path) (sdk.Path, bool) {
	switch v := value.(type) {
	case json.Number:
		if _, exponent, ok := strings.Cut(strings.ToLower(string(v)), "e"); ok {
			n, err := strconv.Atoi(exponent)
			return at, err != nil || n > mostExponent || n < -mostExponent
		}
	case []any:
		for i, element := range v {
			if path, ok := extreme(element, append(at, strconv.Itoa(i))); ok {
				return path, true
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) { // always the same one
			if path, ok := extreme(v[name], append(at, name)); ok {
				return path, true
			}
		}
	}
	return nil, false
}

// schemaURL is what a schema is known by while it is compiled.
const schemaURL = "urn:properties"

// noLoader refuses everything that is not in the schema itself: a schema never
// makes the process read a file or ask a server.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not loaded; write the definition into the schema, under $defs", url)
}

// NewSchema compiles a JSON Schema in JSON, such as that of an action's config
// in a plugin's manifest; see [Schema].
func NewSchema(text []byte) (*Schema, error) {
	nodes, err := readJSON(text)
	var at *positioned
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("not JSON: %s", at.message)
	case err != nil:
		return nil, err
	case len(nodes) != 1:
		return nil, fmt.Errorf("want one JSON Schema, got %d values", len(nodes))
	}
	return compileSchema(nodes[0])
}

// compileSchema compiles a JSON Schema, by default of draft 2020-12. Patterns
// are RE2: linear in time, without look-around.
func compileSchema(n *node) (*Schema, error) {
	if n.shape != object && n.typeName() != "a boolean" {
		return nil, fmt.Errorf("want a JSON Schema, an object, got %s", n.typeName())
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(canonical(n)))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, document); err != nil {
		return nil, schemaError(err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		return nil, schemaError(err)
	}
	return &Schema{schema, newCheck(schema)}, nil
}

// schemaError names the place within the schema, not our URL for it.
func schemaError(err error) error {
	var outer *jsonschema.SchemaValidationError
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		var parts []string
		for _, e := range fieldErrors(invalid) {
			parts = append(parts, strings.TrimPrefix(e.Path+": ", ": ")+e.Message)
		}
		return fmt.Errorf("not a JSON Schema: %s", strings.Join(parts, "; "))
	}
	var load *jsonschema.LoadURLError
	if errors.As(err, &load) {
		return load.Err
	}
	text := strings.ReplaceAll(err.Error(), schemaURL, "")
	return errors.New(strings.ReplaceAll(text, `"#`, `"`))
}

var english = message.NewPrinter(language.English)

// fieldErrors flattens the library's tree of causes to its leaves, by path.
func fieldErrors(e *jsonschema.ValidationError) []sdk.FieldError {
	var list []sdk.FieldError
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			list = append(list, sdk.FieldError{Path: sdk.Path(e.InstanceLocation).String(), Message: e.ErrorKind.LocalizedString(english)})
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(e)
	return list
}
