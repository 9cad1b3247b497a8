package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A parser reads one JSON text member by member and keeps its first error,
// after which nothing more is there to be read.
type parser struct {
	text  []byte
	dec   jsontext.Decoder
	input bytes.Buffer
	err   error
}

// parsers are used again: a decoder costs more than a small message.
var parsers = sync.Pool{New: func() any { return &parser{} }}

func newParser(text []byte, options ...jsontext.Options) *parser {
	p := parsers.Get().(*parser)
	p.text, p.err = text, nil
	p.input = *bytes.NewBuffer(text)
	p.dec.Reset(&p.input, options...)
	return p
}

// free gives the parser back, without what it has read.
func (p *parser) free() {
	p.text, p.input = nil, bytes.Buffer{}
	p.dec.Reset(&p.input)
	parsers.Put(p)
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// enter goes into an object or an array.
func (p *parser) enter(kind jsontext.Kind) {
	if p.err != nil {
		return
	}
	if at := p.dec.PeekKind(); at != kind && at != 0 {
		what := "an object"
		if kind == '[' {
			what = "an array"
		}
		p.fail(fmt.Errorf("want %s%s, got %s", what, p.where(), kindName(at)))
		return
	}
	if _, err := p.dec.ReadToken(); err != nil {
		p.syntax(err)
	}
}

// more tells whether another member or element follows; if not, it has left
// the object or the array.
func (p *parser) more(end jsontext.Kind) bool {
	if p.err != nil {
		return false
	}
	if p.dec.PeekKind() != end {
		return true // or an error, which reading tells
	}
	if _, err := p.dec.ReadToken(); err != nil {
		p.syntax(err)
	}
	return false
}

// name reads the name of a member, in its quotes.
func (p *parser) name() jsontext.Value { return p.value() }

// value reads the next value as it stands.
func (p *parser) value() jsontext.Value {
	if p.err != nil {
		return nil
	}
	v, err := p.dec.ReadValue()
	if err != nil {
		p.syntax(err)
		return nil
	}
	end := p.dec.InputOffset()
	return p.text[end-int64(len(v)) : end : end]
}

// raw reads a value of which null is the empty one.
func (p *parser) raw() jsontext.Value {
	v := p.value()
	if v.Kind() == 'n' {
		return nil
	}
	return v
}

// object reads a value that must be an object or null.
func (p *parser) object(name string) jsontext.Value {
	v := p.raw()
	if p.err == nil && v != nil && v.Kind() != '{' {
		p.fail(fmt.Errorf("%s must be an object, not %s", name, kindName(v.Kind())))
	}
	return v
}

// null reads null, if it is there.
func (p *parser) null() bool {
	if p.err != nil || p.dec.PeekKind() != 'n' {
		return false
	}
	p.skip()
	return true
}

func (p *parser) skip() {
	if p.err == nil {
		if err := p.dec.SkipValue(); err != nil {
			p.syntax(err)
		}
	}
}

// str reads a string; null is the empty one.
func (p *parser) str(name string) string {
	v := p.raw()
	if v == nil {
		return ""
	}
	if v.Kind() != '"' {
		p.fail(fmt.Errorf("%s must be a string, not %s", name, kindName(v.Kind())))
		return ""
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1])
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		p.fail(fmt.Errorf("%s: %w", name, err))
	}
	return string(text)
}

func (p *parser) boolean(name string) bool {
	v := p.raw()
	switch v.Kind() {
	case 't':
		return true
	case 'f', 0:
		return false
	}
	p.fail(fmt.Errorf("%s must be true or false, not %s", name, kindName(v.Kind())))
	return false
}

// integer reads a number from 0 to limit.
func (p *parser) integer(name string, limit int64) int64 {
	v := p.raw()
	if p.err != nil || v == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 || n > limit {
		p.fail(fmt.Errorf("%s must be a whole number from 0 to %d, not %s", name, limit, short(v)))
		return 0
	}
	return n
}

// end makes sure that nothing follows.
func (p *parser) end() {
	if p.err != nil {
		return
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		p.fail(fmt.Errorf("something follows it, at byte %d", p.dec.InputOffset()))
	}
}

func (p *parser) syntax(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	p.fail(err)
}

func (p *parser) where() string {
	if at := p.dec.StackPointer(); at != "" {
		return " at " + string(at)
	}
	return ""
}

func short(v jsontext.Value) string {
	if len(v) > 40 {
		return string(v[:40]) + "…"
	}
	return string(v)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "something else"
}
