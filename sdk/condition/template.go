package condition

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/sdk"
)

// A Template is a text with expressions in {{ }}. It is safe for concurrent
// use, as a [Program] is.
type Template struct {
	source string
	parts  []part
}

// A part is a literal text or an expression.
type part struct {
	text    string
	program *Program
}

// CompileTemplate reads a template. Errors are an [*Error] that names the place
// in the whole text.
func CompileTemplate(src string, scope Scope) (*Template, error) {
	if !utf8.ValidString(src) {
		return nil, errorAt(src, 0, "save the text as UTF-8", "the text is not UTF-8")
	}
	t := &Template{source: src}
	for at := 0; at < len(src); {
		open := strings.Index(src[at:], "{{")
		if open < 0 {
			t.parts = append(t.parts, part{text: src[at:]})
			break
		}
		if open > 0 {
			t.parts = append(t.parts, part{text: src[at : at+open]})
		}
		begin := at + open + 2
		length := expressionLength(src[begin:])
		if length < 0 {
			return nil, errorAt(src, utf8.RuneCountInString(src[:at+open]), `end it with }}, or write {{ "{{" }} for the braces themselves`,
				"{{ has no end")
		}
		program, err := Compile(src[begin:begin+length], scope)
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				return nil, e.within(src, begin)
			}
			return nil, err
		}
		t.parts = append(t.parts, part{program: program})
		at = begin + length + 2
	}
	return t, nil
}

// Source is the text that was compiled.
func (t *Template) Source() string { return t.source }

// Literal tells whether the template holds no expression, so that its value is
// its text.
func (t *Template) Literal() bool {
	for _, p := range t.parts {
		if p.program != nil {
			return false
		}
	}
	return true
}

// Aggregates is what count, sum, first and last the template reads.
func (t *Template) Aggregates() []Aggregate {
	var all []Aggregate
	for _, p := range t.parts {
		if p.program == nil {
			continue
		}
		for _, a := range p.program.aggregates {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// Prefix is the literal text before the first expression.
func (t *Template) Prefix() string {
	if len(t.parts) == 0 || t.parts[0].program != nil {
		return ""
	}
	return t.parts[0].text
}

// Text renders the template as a text, as [Template.Value] does, with the text of
// each expression's value as escape returns it. before is what was rendered before
// the value.
func (t *Template) Text(v *Vars, escape func(before, value string) string) (string, error) {
	var text []byte
	for _, p := range t.parts {
		if p.program == nil {
			text = append(text, p.text...)
			continue
		}
		value, err := p.program.Value(v)
		if err != nil {
			return "", err
		}
		text = append(text, escape(string(text), string(appendText(nil, value)))...)
	}
	return string(text), nil
}

// Value renders the template. A template that is exactly one expression gives
// its value, with its type (see [Program.Value]); any other a text, in which
// null is empty, a time RFC 3339 with milliseconds, and a list or map JSON.
func (t *Template) Value(v *Vars) (any, error) {
	if len(t.parts) == 1 && t.parts[0].program != nil {
		return t.parts[0].program.Value(v)
	}
	var text []byte
	for _, p := range t.parts {
		if p.program == nil {
			text = append(text, p.text...)
			continue
		}
		value, err := p.program.Value(v)
		if err != nil {
			return nil, err
		}
		text = appendText(text, value)
	}
	return string(text), nil
}

// appendText appends a value as text: null is empty, a time RFC 3339, a list or
// map JSON.
func appendText(dst []byte, value any) []byte {
	switch x := value.(type) {
	case nil:
		return dst
	case string:
		return append(dst, x...)
	case time.Time:
		return append(dst, sdk.FormatTime(x)...)
	}
	return sdk.AppendValue(dst, value)
}

// expressionLength finds the }} that ends an expression: not one inside a text
// or a map of the expression. It is negative where there is none.
func expressionLength(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\'':
			raw := i > 0 && (s[i-1] == 'r' || s[i-1] == 'R') && !(i > 1 && identifierByte(s[i-2]))
			n := quotedLength(s[i:], raw)
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{':
			depth++
		case '}':
			if depth == 0 {
				if strings.HasPrefix(s[i:], "}}") {
					return i
				}
				return -1
			}
			depth--
		}
	}
	return -1
}

func identifierByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// quotedLength is the length of the CEL string at the start of s, in one of
// its four kinds of quotes, or negative where it has no end.
func quotedLength(s string, raw bool) int {
	quote := s[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s, triple) {
		quote = triple
	}
	for i := len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		}
	}
	return -1
}
