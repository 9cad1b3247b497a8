package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A parser reads JSON texts token by token, without a map in between. Objects
// whose content is the sender's own (properties, traits, context) are checked
// and kept as text. It is used again and again; a dialect adds its fields.
type parser struct {
	buf     bytes.Buffer
	dec     jsontext.Decoder
	nesting int
	arena   *[]byte
}

// begin starts on a text, which must stay unchanged as long as the events
// that are read from it.
func (p *parser) begin(text []byte) {
	p.buf = *bytes.NewBuffer(text)
	p.dec.Reset(&p.buf)
}

func (p *parser) forget() {
	p.buf = bytes.Buffer{}
	p.dec.Reset(&p.buf)
	p.arena = nil
}

// offset is how many bytes of the text were read.
func (p *parser) offset() int { return int(p.dec.InputOffset()) }

// object walks the fields of the object that comes next and calls field with
// each name, as quoted in the text; field reads the value. Where something
// else comes next, it is read and its kind returned.
func (p *parser) object(field func(name []byte) error) (jsontext.Kind, error) {
	if k := p.dec.PeekKind(); k != '{' {
		_, err := p.dec.ReadValue()
		return k, err
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return '{', err
	}
	for p.dec.PeekKind() != '}' {
		name, err := p.dec.ReadValue()
		if err != nil {
			return '{', err
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			name = plainName(name)
		}
		if err := field(name); err != nil {
			return '{', err
		}
	}
	_, err := p.dec.ReadToken()
	return '{', err
}

// array walks the elements of the array that comes next, like object.
func (p *parser) array(element func() error) (jsontext.Kind, error) {
	if k := p.dec.PeekKind(); k != '[' {
		_, err := p.dec.ReadValue()
		return k, err
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return '[', err
	}
	for p.dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return '[', err
		}
	}
	_, err := p.dec.ReadToken()
	return '[', err
}

// plainName rewrites a quoted name without the escapes that it does not need.
func plainName(name []byte) []byte {
	return sdk.AppendString(nil, unquote(name))
}

// skip reads the next value and does nothing with it.
func (p *parser) skip() error { return p.dec.SkipValue() }

// text reads a value that is a text of at most limit bytes; a number is taken as
// decimal text, null as empty.
func (p *parser) text(e *event, field string, limit int) (string, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return "", err
	}
	var s string
	switch raw.Kind() {
	case 'n':
	case '"':
		s = unquote(raw)
	case '0':
		s = decimalText(raw)
	default:
		e.fail(fieldProblem(codeMalformed, field, "want a string, got "+kindName(raw.Kind())))
		return "", nil
	}
	if len(s) > limit {
		e.fail(fieldProblem(codeInvalid, field, fmt.Sprintf("%d bytes are more than the %d that are allowed", len(s), limit)))
		return "", nil
	}
	return s, nil
}

// flag reads a boolean; null is false.
func (p *parser) flag(e *event, field string) (bool, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return false, err
	}
	switch raw.Kind() {
	case 't', 'f', 'n':
		return raw.Kind() == 't', nil
	}
	e.fail(fieldProblem(codeMalformed, field, "want true or false, got "+kindName(raw.Kind())))
	return false, nil
}

// instant reads a time; null is the zero time.
func (p *parser) instant(e *event, field string) (time.Time, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return time.Time{}, err
	}
	switch raw.Kind() {
	case 'n':
		return time.Time{}, nil
	case '"':
		t, err := sdk.ParseTime(unquote(raw))
		if err != nil {
			e.fail(fieldProblem(codeInvalid, field, err.Error()))
		}
		return t, nil
	}
	e.fail(fieldProblem(codeMalformed, field, "want a time as a string, got "+kindName(raw.Kind())))
	return time.Time{}, nil
}

// raw reads an object and keeps it as compact text; null is empty.
func (p *parser) raw(e *event, field string) ([]byte, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	switch raw.Kind() {
	case 'n':
		return nil, nil
	case '{':
		return p.keep(e, field, raw), nil
	}
	e.fail(fieldProblem(codeMalformed, field, "want an object, got "+kindName(raw.Kind())))
	return nil, nil
}

// keep returns a value as compact text, where it may be stored. It is known to
// be valid.
func (p *parser) keep(e *event, field string, raw []byte) []byte {
	text, depth := compact(p.arena, raw)
	if depth+1 > p.nesting {
		e.fail(fieldProblem(codeTooDeep, field, fmt.Sprintf("nested deeper than the %d levels that are allowed", p.nesting)))
		return nil
	}
	if name, ok := nameWithNUL(raw); ok {
		e.fail(fieldProblem(codeInvalid, field, "the name "+clipped(strconv.Quote(name))+" holds the character NUL; values may, names may not"))
		return nil
	}
	return text
}

// tags reads a list of texts; null is empty.
func (p *parser) tags(e *event, field string) error {
	kind, err := p.array(func() error {
		s, err := p.text(e, field, maxTag)
		if s != "" {
			e.Tags = append(e.Tags, s)
		}
		return err
	})
	if err == nil && kind != '[' && kind != 'n' {
		e.fail(fieldProblem(codeMalformed, field, "want a list of strings, got "+kindName(kind)))
	}
	if len(e.Tags) > maxTags {
		e.fail(fieldProblem(codeInvalid, field, fmt.Sprintf("%d tags are more than the %d that are allowed", len(e.Tags), maxTags)))
		e.Tags = nil
	}
	return err
}

// identifiers reads a map of identifier kind to value.
func (p *parser) identifiers(e *event, field string, rules *rules) error {
	kind, err := p.object(func(name []byte) error {
		k, known := rules.kinds[string(name[1:len(name)-1])]
		if !known {
			e.fail(fieldProblem(codeUnknownKind, field+"."+clipped(unquote(name)), rules.unknownKind))
			return p.skip()
		}
		value, err := p.text(e, k.path, maxID)
		if err == nil && !e.identify(k, value) {
			e.fail(fieldProblem(codeInvalid, field, fmt.Sprintf("more than the %d identifiers that are allowed", maxIDs)))
		}
		return err
	})
	if err == nil && kind != '{' && kind != 'n' {
		e.fail(fieldProblem(codeMalformed, field, "want an object of identifier kind to value, got "+kindName(kind)))
	}
	return err
}

// identify adds an identifier, normalised, in order of strength. A value that
// is empty names nobody. It is false where there are too many.
func (e *event) identify(k *kind, value string) bool {
	value = k.Value(value)
	if value == "" {
		return true
	}
	id := record.Identifier{Kind: k.Name, Value: value}
	for _, known := range e.IDs {
		if known == id {
			return true
		}
	}
	if len(e.IDs) == maxIDs {
		return false
	}
	e.IDs = append(e.IDs, id)
	return true
}

// setType checks and sets the event's type.
func (e *event) setType(s string) {
	e.Type = s
	if n := utf8.RuneCountInString(s); n > maxType {
		e.fail(fieldProblem(codeInvalid, "type", fmt.Sprintf("%d characters are more than the %d that are allowed", n, maxType)))
		return
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			e.fail(fieldProblem(codeInvalid, "type", "control characters are not allowed"))
			return
		}
	}
}

// unquote decodes a JSON string that is known to be valid.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "" // the decoder has checked it
	}
	return string(text)
}

// decimalText writes a JSON number as a person would write an id: 17850.0 is
// 17850.
func decimalText(literal []byte) string {
	return string(sdk.AppendValue(nil, sdk.ParseNumber(string(literal))))
}

// compact returns the JSON value raw without the spaces between its tokens,
// and how deep it is nested. Where there are none it is raw itself, otherwise
// it stands in the arena. raw is known to be valid.
func compact(arena *[]byte, raw []byte) (text []byte, depth int) {
	level, done, start := 0, 0, len(*arena)
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = stringEnd(raw, i)
		case '{', '[':
			level++
			depth = max(depth, level)
		case '}', ']':
			level--
		case ' ', '\t', '\r', '\n':
			*arena = append(*arena, raw[done:i]...)
			for i+1 < len(raw) && isSpace(raw[i+1]) {
				i++
			}
			done = i + 1
		}
	}
	if done == 0 {
		return raw, depth
	}
	*arena = append(*arena, raw[done:]...)
	return (*arena)[start:len(*arena):len(*arena)], depth
}

// stringEnd returns the index of the quote that ends the string begun at i.
// Names and values are short, so bytes are looked at one by one.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return i
}

// nameWithNUL looks in a JSON value, which is known to be valid, for a name
// that holds NUL: stores end a text there.
func nameWithNUL(raw []byte) (string, bool) {
	if !bytes.Contains(raw, []byte(`\u0000`)) {
		return "", false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '"' {
			continue
		}
		begin := i
		i = stringEnd(raw, i)
		if at := spaces(raw, i+1); at == len(raw) || raw[at] != ':' {
			continue
		}
		if name := unquote(raw[begin : i+1]); strings.ContainsRune(name, 0) {
			return name, true
		}
	}
	return "", false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return "something else"
}

// clipped bounds a client's text that goes into a message.
func clipped(s string) string {
	if len(s) <= maxPathQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxPathQuoted], "") + "…"
}

// syntaxProblem says where a text stopped being JSON. base is where the text
// begins in the body.
func syntaxProblem(err error, body []byte, base int) *problem {
	at, what := base, err.Error()
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		at += int(s.ByteOffset)
		what = s.Err.Error()
		if s.JSONPointer != "" {
			what += " in " + clipped(string(s.JSONPointer))
		}
	}
	at = min(at, len(body))
	line := bytes.Count(body[:at], []byte{'\n'}) + 1
	place := "line " + strconv.Itoa(line) + ", byte " + strconv.Itoa(at)
	return &problem{code: codeMalformed, message: "not valid JSON at " + place + ": " + what}
}
