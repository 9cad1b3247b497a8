package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// A stream walks the events of a body. What is broken costs the event that it
// stands in, and no other one where the next one can be found.
type stream struct {
	b      *batch
	body   []byte
	limits *Limits
	// element reads one event from the front of a text and returns its length.
	// An error means that the text is not JSON there.
	element func(e *event, text []byte) (int, error)
	at      int
	most    int      // events of the batch, with these
	read    int      // events that were JSON
	broken  *problem // the first place that was not
	over    bool     // more events than a request may hold
	wasted  int      // bytes that were read and made no event
}

// maxWaste bounds, in lengths of the body, how much is read to find the next
// event after a broken one.
const maxWaste = 4

func (b *batch) stream(body []byte, at int, limits *Limits, element func(*event, []byte) (int, error)) *stream {
	return &stream{b: b, body: body, at: at, limits: limits, element: element, most: len(b.events) + limits.Events}
}

// single reads the one event of a body.
func (b *batch) single(body []byte, limits *Limits, element func(*event, []byte) (int, error)) *refusal {
	at := spaces(body, 0)
	if at == len(body) {
		return refuse(http.StatusBadRequest, codeMalformed, "the body is empty: want an event")
	}
	s := b.stream(body, at, limits, element)
	n, ok := s.event()
	if end := spaces(body, at+n); ok && end < len(body) {
		s.at = end
		s.fail("the body goes on after its event")
		return &refusal{status: http.StatusBadRequest, problem: *b.events[len(b.events)-1].problem}
	}
	return s.refusal()
}

// refusal says why the body as a whole is not taken in; nil where it is.
func (s *stream) refusal() *refusal {
	switch {
	case s.over:
		return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("more than the %d events that a request may hold", s.limits.Events))
	case s.read == 0 && s.broken != nil:
		return &refusal{status: http.StatusBadRequest, problem: *s.broken}
	}
	return nil
}

// lines reads events one after another, such as NDJSON.
func (s *stream) lines() {
	for s.at = spaces(s.body, s.at); s.at < len(s.body) && !s.over; s.at = spaces(s.body, s.at) {
		if n, ok := s.event(); ok {
			s.at += n
			continue
		}
		if s.at = nextLine(s.body, s.at); s.wasted > maxWaste*len(s.body) {
			s.fail("too much of the body is broken; what follows was not read")
			return
		}
	}
}

// array reads the events of the array that begins at s.at.
func (s *stream) array() {
	s.at++
	for first := true; !s.over; first = false {
		s.at = spaces(s.body, s.at)
		if s.at < len(s.body) && s.body[s.at] == ']' && first {
			break
		}
		n, ok := s.event()
		if !ok {
			return
		}
		s.at = spaces(s.body, s.at+n)
		if s.at < len(s.body) && s.body[s.at] == ',' {
			s.at++
			continue
		}
		if s.at == len(s.body) || s.body[s.at] != ']' {
			s.fail("want , or ] after an event of the array; what follows was not read")
			return
		}
		break
	}
	if s.at = spaces(s.body, s.at+1); s.at < len(s.body) && !s.over {
		s.fail("the body goes on after the array; what follows was not read")
	}
}

// event reads the event at s.at and returns its length. It is false where it
// could not tell where the event ends.
func (s *stream) event() (int, bool) {
	if len(s.b.events) == s.most {
		s.over = true
		return 0, false
	}
	e, text := s.b.add(), s.body[s.at:]
	n, err := s.element(e, text)
	if err != nil {
		e.problem = nil // what the parser says of the place it stopped at counts
		e.fail(syntaxProblem(err, s.body, s.at))
		if s.broken == nil {
			s.broken = e.problem
		}
		// A repeated name or text that is not UTF-8 breaks one event only.
		var read int
		n, read = lenientLength(text)
		s.wasted += errorOffset(err) + read
		if n == 0 {
			return 0, false
		}
	}
	if text[0] == '{' {
		s.read++
	} else if s.broken == nil {
		s.broken = e.problem
	}
	if n > s.limits.Event {
		e.problem = nil
		e.fail(tooLarge(n, s.limits.Event))
	}
	return n, true
}

// fail adds a result for what could not be read at s.at.
func (s *stream) fail(what string) {
	e := s.b.add()
	e.fail(syntaxProblem(textError(what), s.body, s.at))
	if s.broken == nil {
		s.broken = e.problem
	}
}

type textError string

func (e textError) Error() string { return string(e) }

func tooLarge(n, limit int) *problem {
	return &problem{code: codeTooLarge, message: fmt.Sprintf("an event of %d bytes is larger than the %d that are allowed", n, limit)}
}

// lenientLength returns the length of the JSON value at the front of text, by
// its braces and quotes alone; 0 where it has no end. Beside it, how much of
// the text was read to find out.
func lenientLength(text []byte) (length, read int) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err := dec.SkipValue(); err != nil {
		return 0, errorOffset(err)
	}
	n := int(dec.InputOffset())
	return n, n
}

// errorOffset is how much of a text was read before it turned out to be no
// JSON.
func errorOffset(err error) int {
	if s := (*jsontext.SyntacticError)(nil); errors.As(err, &s) {
		return int(s.ByteOffset)
	}
	return 0
}

func spaces(text []byte, at int) int {
	for at < len(text) && isSpace(text[at]) {
		at++
	}
	return at
}

// nextLine returns where the next line begins that can begin an event.
func nextLine(text []byte, at int) int {
	for ; at < len(text); at++ {
		if text[at] == '\n' && at+1 < len(text) && text[at+1] == '{' {
			return at + 1
		}
	}
	return len(text)
}
