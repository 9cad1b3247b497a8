package sdk

import (
	"bytes"
	"errors"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A checked decodes a JSON text that is known to be valid: what was looked for
// when the text came in, such as names that come twice, is not looked for again.
// Of one that is not valid something is decoded, or an error comes.
type checked struct {
	text  []byte
	at    int
	names *names
}

var errUnchecked = errors.New("the text is no valid JSON")

// decodeChecked decodes a text that is known to be valid, as [ParseValue] does.
func decodeChecked(text []byte) (any, error) {
	c := checked{text: text, names: namesSeen.Get().(*names)}
	defer namesSeen.Put(c.names)
	c.at = skipSpace(text, 0)
	v, ok := c.value(0)
	if !ok || skipSpace(text, c.at) != len(text) {
		return nil, errUnchecked
	}
	return v, nil
}

// maxNesting is how deep a text is followed, as deep as one is ever accepted.
const maxNesting = 10_000

// value decodes the value that begins where the decoder is.
func (c *checked) value(depth int) (any, bool) {
	if c.at >= len(c.text) || depth > maxNesting {
		return nil, false
	}
	switch first := c.text[c.at]; {
	case first == '"':
		s, ok := c.str()
		return s, ok
	case first == '{':
		return c.object(depth)
	case first == '[':
		return c.array(depth)
	case first == '-' || first >= '0' && first <= '9':
		return c.number()
	case c.literal("true"):
		return true, true
	case c.literal("false"):
		return false, true
	case c.literal("null"):
		return nil, true
	}
	return nil, false
}

func (c *checked) object(depth int) (any, bool) {
	object := map[string]any{}
	for c.next('}') {
		name, ok := c.name()
		if !ok {
			return nil, false
		}
		if c.at = skipSpace(c.text, c.at); c.at >= len(c.text) || c.text[c.at] != ':' {
			return nil, false
		}
		c.at = skipSpace(c.text, c.at+1)
		v, ok := c.value(depth + 1)
		if !ok {
			return nil, false
		}
		object[name] = v
	}
	return object, c.closed('}')
}

func (c *checked) array(depth int) (any, bool) {
	list := []any{}
	for c.next(']') {
		v, ok := c.value(depth + 1)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, c.closed(']')
}

// next steps over what is before the next element, a bracket or a comma; false
// at the end.
func (c *checked) next(end byte) bool {
	c.at = skipSpace(c.text, c.at)
	if c.at >= len(c.text) || c.text[c.at] == end {
		return false
	}
	c.at = skipSpace(c.text, c.at+1)
	return c.at < len(c.text) && c.text[c.at] != end
}

func (c *checked) closed(end byte) bool {
	if c.at >= len(c.text) || c.text[c.at] != end {
		return false
	}
	c.at++
	return true
}

func (c *checked) str() (string, bool) {
	quoted, plain := c.quoted()
	if plain {
		return string(quoted[1 : len(quoted)-1]), true
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return string(text), err == nil
}

// name is str for the name of a member: the same ones come again and again.
func (c *checked) name() (string, bool) {
	start := c.at
	quoted, plain := c.quoted()
	if !plain {
		c.at = start
		return c.str()
	}
	return c.names.of(quoted[1 : len(quoted)-1]), true
}

// quoted steps over a string and returns it in its quotes; plain is true where
// it ends and nothing in it is escaped.
func (c *checked) quoted() (text []byte, plain bool) {
	start := c.at
	if start >= len(c.text) || c.text[start] != '"' {
		return nil, false
	}
	if n := bytes.IndexByte(c.text[start+1:], '"'); n >= 0 {
		if end := start + n + 2; bytes.IndexByte(c.text[start:end], '\\') < 0 {
			c.at = end
			return c.text[start:end], true
		}
	}
	c.at = skipString(c.text, start)
	return c.text[start:c.at], false
}

// names are those that were met last, by their hash: a name that is met again is
// the same string.
type names [256]string

var namesSeen = sync.Pool{New: func() any { return &names{} }}

// longName is from where on a name is not kept.
const longName = 32

func (n *names) of(name []byte) string {
	if len(name) > longName {
		return string(name)
	}
	hash := uint32(2166136261) // FNV-1a
	for _, b := range name {
		hash = (hash ^ uint32(b)) * 16777619
	}
	place := &n[(hash^hash>>16)%uint32(len(n))]
	if *place != string(name) {
		*place = string(name)
	}
	return *place
}

func (c *checked) number() (any, bool) {
	start := c.at
	for c.at < len(c.text) && !delimiter[c.text[c.at]] {
		c.at++
	}
	literal := c.text[start:c.at]
	if n, ok := smallInteger(literal); ok {
		return n, true
	}
	return ParseNumber(string(literal)), true
}

// smallInteger reads a whole number that surely fits 64 bits.
func smallInteger(literal []byte) (n int64, ok bool) {
	digits := literal
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int64(d-'0')
	}
	if len(digits) < len(literal) {
		n = -n
	}
	return n, true
}

func (c *checked) literal(name string) bool {
	if !bytes.HasPrefix(c.text[c.at:], []byte(name)) {
		return false
	}
	c.at += len(name)
	return true
}
