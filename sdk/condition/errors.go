package condition

import (
	"fmt"
	"strings"
)

// An Error says why a text does not compile, where, and what would.
type Error struct {
	Source  string // the text that was compiled
	Line    int    // from 1
	Column  int    // from 1, in characters
	Message string // what is wrong
	WayOut  string // what would be right
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	if e.WayOut != "" {
		s += "; " + e.WayOut
	}
	return s
}

// errorAt makes an error at an offset in characters.
func errorAt(source string, offset int, wayOut, format string, args ...any) *Error {
	e := &Error{Source: source, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...), WayOut: wayOut}
	for _, r := range source {
		if offset <= 0 {
			break
		}
		offset--
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	return e
}

// within moves an error about a part of a text, which begins at a byte offset,
// to its place in the whole.
func (e *Error) within(whole string, at int) *Error {
	before := whole[:at]
	if e.Line == 1 {
		e.Column += len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	}
	e.Line += strings.Count(before, "\n")
	e.Source = whole
	return e
}

// A fault is a run-time error on its way through an evaluation.
type fault struct{ message string }

func faultf(format string, args ...any) *fault {
	return &fault{message: fmt.Sprintf(format, args...)}
}
