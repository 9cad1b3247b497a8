package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/sdk"
)

// A Resource is one document of the configuration as code: `kind`, `id` and
// `spec`. Its fields are read, never changed.
type Resource struct {
	Kind, ID string
	// Spec is canonical JSON: compact, names sorted. Equal specs have equal texts.
	Spec json.RawMessage
	// Revision is that of the set in which the spec last changed; 0 before the
	// resource is part of a set.
	Revision uint64
	Origin   Origin // where it was read from; zero for one of a running set

	// written is the spec with the lines of the text; nil where there was none.
	written *node
	// compiled is what the kind made of Spec; nil until Validate.
	compiled any
}

// New makes a resource of a spec in JSON and validates it.
func New(kind, id string, spec []byte) (Resource, error) {
	return Resource{Kind: kind, ID: id, Spec: spec}.Validate()
}

// Validate checks the resource by itself and compiles it. The result is the
// resource with a canonical spec, and is cheap to make a set of. The error is
// [Problems].
func (r Resource) Validate() (Resource, error) {
	if r.compiled != nil {
		return r, nil
	}
	c := &checker{origin: r.Origin, kind: r.Kind, id: r.ID}
	c.identify(nil, r.Kind, r.ID)
	if len(c.problems) > 0 {
		return Resource{}, c.problems
	}
	nodes, err := readJSON(r.Spec)
	switch {
	case err != nil:
		c.fail(nil, "spec", "%v", err)
	case len(nodes) != 1:
		c.fail(nil, "spec", "want one JSON value, got %d", len(nodes))
	}
	if len(c.problems) > 0 {
		return Resource{}, c.problems
	}
	// Lines within a stored spec mean nothing to anybody.
	forgetLines(nodes[0])
	return c.resource(r, nodes[0])
}

// Where tells where a field was written, by its path as in a [Problem]: its own
// line, or that of the nearest object around it. It is Origin where nothing
// more is known.
func (r Resource) Where(path string) Origin {
	origin := r.Origin
	if r.written == nil {
		return origin
	}
	if n := r.written.nearest("spec", path); n != nil && n.line > 0 {
		origin.Line = n.line
	}
	return origin
}

// MarshalJSON writes the resource as a document, ready to be applied again.
func (r Resource) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// AppendJSON appends the resource as a document: kind, id and spec.
func (r Resource) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":`...)
	dst = sdk.AppendString(dst, r.Kind)
	dst = append(dst, `,"id":`...)
	dst = sdk.AppendString(dst, r.ID)
	dst = append(dst, `,"spec":`...)
	dst = append(dst, r.Spec...)
	return append(dst, '}')
}

// same tells whether two resources say the same.
func (r Resource) same(o Resource) bool {
	return r.Kind == o.Kind && r.ID == o.ID && bytes.Equal(r.Spec, o.Spec)
}

const maxSpec = 512 << 10

// resource reads a spec with the rules of its kind.
func (c *checker) resource(r Resource, spec *node) (Resource, error) {
	r.Spec = canonical(spec)
	if len(r.Spec) > maxSpec {
		c.fail(spec, "spec", "has %d bytes of JSON; at most %d are allowed", len(r.Spec), maxSpec)
		return Resource{}, c.problems
	}
	if f, ok := c.form(spec, "spec"); ok {
		r.compiled = kinds[r.Kind].compile(f, r.ID)
		f.close()
	}
	if len(c.problems) > 0 {
		return Resource{}, c.problems
	}
	return r, nil
}

// identify checks kind and id.
func (c *checker) identify(n *node, kind, id string) {
	k, ok := kinds[kind]
	switch {
	case !ok && contains(laterKinds, kind):
		c.fail(n, "kind", "kind %s is not available in this version; available: %s", kind, strings.Join(Kinds(), ", "))
		return
	case !ok:
		c.fail(n, "kind", "unknown kind %q; %s", kind, Meant(kind, Kinds()))
		return
	}
	if message := k.badID(id); message != "" {
		c.fail(n, "id", "%s", message)
	}
}

// plainID allows ids that need no escaping in a URL.
func plainID(id string) string {
	if id == "" || len(id) > 128 {
		return fmt.Sprintf("has %d characters; want 1 to 128", len(id))
	}
	for i, r := range id {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return fmt.Sprintf("%q may hold letters, digits, and after the first character also . _ -", id)
		}
	}
	return ""
}

// typeID allows whatever may be the type of an event.
func typeID(id string) string {
	if n := utf8.RuneCountInString(id); n == 0 || n > 128 {
		return fmt.Sprintf("has %d characters; want 1 to 128", n)
	}
	if strings.ContainsFunc(id, unicode.IsControl) {
		return fmt.Sprintf("%q must not hold control characters", id)
	}
	return ""
}

// canonical is n as compact JSON with sorted names.
func canonical(n *node) []byte { return sdk.AppendValue(nil, n.plain()) }

func forgetLines(n *node) {
	n.line = 0
	for _, item := range n.items {
		forgetLines(item)
	}
	for i := range n.fields {
		n.fields[i].line = 0
		forgetLines(n.fields[i].value)
	}
}
