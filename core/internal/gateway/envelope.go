package gateway

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// An envelope is a body that holds events beside what they have in common. It
// is read without looking at names that stand twice and at text that is not
// UTF-8, so that one such event does not cost the others; what is kept of the
// envelope itself is checked.
type envelope struct {
	parser
	faults event
}

func newEnvelope(body []byte, limits *Limits, arena *[]byte) *envelope {
	e := &envelope{}
	e.nesting, e.arena = limits.Nesting, arena
	e.buf = *bytes.NewBuffer(body)
	e.dec.Reset(&e.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return e
}

// shared reads an object that all events share.
func (e *envelope) shared(field string) ([]byte, error) {
	raw, err := e.raw(&e.faults, field)
	if len(raw) > 0 && !jsontext.Value(raw).IsValid() {
		e.faults.fail(fieldProblem(codeMalformed, field, "a name stands twice, or text is not UTF-8"))
		return nil, err
	}
	return raw, err
}

// text reads a text that all events share.
func (e *envelope) text(field string, limit int) (string, error) {
	s, err := e.parser.text(&e.faults, field, limit)
	if !utf8.ValidString(s) {
		e.faults.fail(fieldProblem(codeMalformed, field, "not UTF-8"))
	}
	return s, err
}

// events reads the array of events as it is; nil where it is null.
func (e *envelope) events(field string) (jsontext.Value, error) {
	raw, err := e.dec.ReadValue()
	if err == nil && raw.Kind() != '[' && raw.Kind() != 'n' {
		e.faults.fail(fieldProblem(codeMalformed, field, "want an array of events, got "+kindName(raw.Kind())))
	}
	if raw.Kind() != '[' {
		return nil, err
	}
	return raw, err
}

// open reads the envelope's fields, and returns why the body cannot be taken
// in, if it cannot.
func (e *envelope) open(body []byte, field func(name []byte) error) *problem {
	kind, err := e.object(field)
	switch {
	case err != nil:
		return syntaxProblem(err, body, 0)
	case kind != '{':
		return &problem{code: codeMalformed, message: "want an object, got " + kindName(kind)}
	}
	if at := spaces(body, e.offset()); at < len(body) {
		return syntaxProblem(textError("the body goes on after its object"), body, at)
	}
	return e.faults.problem
}

// id reads the id of an object such as {"id":"…"}, without spaces around it;
// null has none.
func (e *envelope) id(field string) (id string, err error) {
	kind, err := e.object(func(name []byte) (err error) {
		if string(name) != `"id"` {
			return e.skip()
		}
		id, err = e.text(field+".id", maxID)
		return err
	})
	id = strings.TrimSpace(id)
	if err == nil && kind != '{' && kind != 'n' {
		e.faults.fail(fieldProblem(codeMalformed, field, "want an object with an id, got "+kindName(kind)))
	}
	return id, err
}

// share gives an event what it has in common with the others of its envelope,
// as far as that does not make it, or all of them together, too large.
func (b *batch) share(e *event, size int, context []byte, limits *Limits) {
	if len(context) == 0 {
		return
	}
	if size += len(context); size > limits.Event {
		e.fail(tooLarge(size, limits.Event))
		return
	}
	if b.shared += len(context); b.shared > limits.Inflated {
		e.fail(&problem{code: codeTooLarge, message: "the context that the events share makes them too large together"})
		return
	}
	e.Context = merged(context, e.Context)
}
