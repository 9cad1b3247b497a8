package supervisor

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
)

// A parsedLine is a line of a plugin's log as it was meant.
type parsedLine struct {
	level   slog.Level
	message string
	attrs   []slog.Attr // texts as they are, everything else as JSON
	values  []jsontext.Value
}

// parseLine reads a line: a JSON object as log/slog and hclog write them, or
// else text, which is taken for information; that of a panic is an error.
func parseLine(text []byte) parsedLine {
	if p, ok := parseJSONLine(text); ok {
		return p
	}
	p := parsedLine{message: strings.ToValidUTF8(string(text), "\uFFFD")}
	if panics(text) {
		p.level = slog.LevelError
	}
	return p
}

// panics tells whether a line says why a Go program has died.
func panics(text []byte) bool {
	return bytes.HasPrefix(text, []byte("panic: ")) || bytes.HasPrefix(text, []byte("fatal error: "))
}

// fields are the attributes as a JSON object; nil: there are none.
func (p *parsedLine) fields() jsontext.Value {
	if len(p.attrs) == 0 {
		return nil
	}
	out := []byte{'{'}
	for i, a := range p.attrs {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(sdk.AppendString(out, a.Key), ':')
		out = append(out, p.values[i]...)
	}
	return append(out, '}')
}

func parseJSONLine(text []byte) (p parsedLine, ok bool) {
	if !bytes.HasPrefix(text, []byte("{")) {
		return p, false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := dec.ReadToken(); err != nil {
		return p, false
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return p, false
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return p, false
		}
		p.take(key, value.Clone(), &ok)
	}
	if _, err := dec.ReadToken(); err != nil {
		return p, false
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return p, false
	}
	return p, ok
}

// take reads one member of a line. A line without a message is not one.
func (p *parsedLine) take(key string, value jsontext.Value, ok *bool) {
	plain := string(value)
	if value.Kind() == '"' {
		if raw, err := jsontext.AppendUnquote(nil, value); err == nil {
			plain = string(raw)
		}
	}
	switch key {
	case "msg", "@message":
		p.message, *ok = plain, true
	case "level", "@level":
		p.level = levelOf(plain)
	case "time", "@timestamp":
		// The line has the time at which it came.
	default:
		p.attrs = append(p.attrs, slog.String(strings.TrimPrefix(key, "@"), plain))
		p.values = append(p.values, value)
	}
}

func levelOf(text string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err == nil {
		return level
	}
	if strings.EqualFold(text, "trace") {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
