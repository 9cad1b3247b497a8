package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
)

// The bounds of one text. They are far above what people write and keep a
// text of aliases of aliases from filling the memory.
const (
	maxText  = 4 << 20
	maxNodes = 200_000
	maxDepth = 64
)

// A node is a value of a text together with the line that it was written on,
// so that an error about it can name the line.
type node struct {
	line   int // 0: unknown
	shape  shape
	scalar any // nil, bool, string, int64, float64 or json.Number
	items  []*node
	fields []field
}

type field struct {
	name  string
	line  int
	value *node
}

type shape byte

const (
	scalar shape = iota
	array
	object
)

// plain turns the node into a value of package sdk.
func (n *node) plain() any {
	switch n.shape {
	case array:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	case object:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.name] = f.value.plain()
		}
		return m
	}
	return n.scalar
}

// nearest finds the node at a path, or the last one on the way to it; nil where
// the path does not begin here. A field that is an object stands where its name
// does.
func (n *node) nearest(here, path string) *node {
	rest, ok := strings.CutPrefix(path, here)
	if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
		return nil
	}
	for i, item := range n.items {
		if found := item.nearest(fmt.Sprintf("%s[%d]", here, i), path); found != nil {
			return found
		}
	}
	for _, f := range n.fields {
		switch found := f.value.nearest(below(here, f.name), path); {
		case found == f.value:
			return &node{line: f.line}
		case found != nil:
			return found
		}
	}
	return n
}

// child is a field's value and the line of its name; nil where there is none.
func (n *node) child(name string) (value *node, line int) {
	for _, f := range n.fields {
		if f.name == name {
			return f.value, f.line
		}
	}
	return nil, 0
}

// typeName names the node's type for a message.
func (n *node) typeName() string {
	switch n.shape {
	case array:
		return "an array"
	case object:
		return "an object"
	}
	return sdk.TypeName(n.scalar)
}

// null tells whether nothing was written.
func (n *node) null() bool { return n.shape == scalar && n.scalar == nil }

// add appends a field and refuses a name that is already there.
func (n *node) add(seen map[string]int, name string, line int, value *node) error {
	if first, ok := seen[name]; ok {
		return &positioned{line, fmt.Sprintf("field %q is written twice, first on line %d; remove one of them", name, first)}
	}
	seen[name] = line
	n.fields = append(n.fields, field{name, line, value})
	return nil
}

// positioned is an error of a text, on a line of it.
type positioned struct {
	line    int
	message string
}

func (p *positioned) Error() string { return fmt.Sprintf("line %d: %s", p.line, p.message) }

// budget bounds how much a text may unfold to.
type budget struct{ nodes int }

func (b *budget) take(line, depth int) error {
	if b.nodes++; b.nodes > maxNodes {
		return &positioned{line, fmt.Sprintf("the text unfolds to more than %d values; split it", maxNodes)}
	}
	if depth > maxDepth {
		return &positioned{line, fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	return nil
}

// readJSON reads one or several JSON values.
func readJSON(text []byte) ([]*node, error) {
	r := &jsonReader{
		text: text,
		dec:  jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true)),
	}
	var nodes []*node
	for {
		n, err := r.read(0)
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			var p *positioned
			if !errors.As(err, &p) {
				p = r.syntax(err)
			}
			return nil, p
		}
		nodes = append(nodes, n)
	}
}

type jsonReader struct {
	text   []byte
	dec    *jsontext.Decoder
	line   int // newlines before offset at
	at     int
	budget budget
}

// here is the line of the token that was read last.
func (r *jsonReader) here() int {
	end := int(r.dec.InputOffset())
	r.line += bytes.Count(r.text[r.at:end], []byte{'\n'})
	r.at = end
	return r.line + 1
}

func (r *jsonReader) syntax(err error) *positioned {
	line := r.here()
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		line = 1 + bytes.Count(r.text[:min(int(s.ByteOffset), len(r.text))], []byte{'\n'})
		if s.Err != nil {
			err = s.Err
		}
	}
	return &positioned{line, "not JSON: " + err.Error()}
}

func (r *jsonReader) read(depth int) (*node, error) {
	tok, err := r.dec.ReadToken()
	if err != nil {
		if depth > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n := &node{line: r.here()}
	if err := r.budget.take(n.line, depth); err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case 't', 'f':
		n.scalar = tok.Bool()
	case '"':
		n.scalar = tok.String()
	case '0':
		n.scalar = sdk.ParseNumber(tok.String())
	case '[':
		n.shape = array
		for r.dec.PeekKind() != ']' {
			item, err := r.read(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		_, err = r.dec.ReadToken()
	case '{':
		n.shape = object
		seen := map[string]int{}
		for r.dec.PeekKind() != '}' {
			name, err := r.dec.ReadToken()
			if err != nil {
				return nil, err
			}
			key, line := name.String(), r.here()
			value, err := r.read(depth + 1)
			if err != nil {
				return nil, err
			}
			if err := n.add(seen, key, line, value); err != nil {
				return nil, err
			}
		}
		_, err = r.dec.ReadToken()
	}
	return n, err
}
