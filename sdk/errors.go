package sdk

import (
	"context"
	"errors"
)

// Temporary marks an error as one that the same call may not meet a little
// later, such as a service that is away: the engine then tries the node again
// before the run goes on at the port "error". An error that is not marked is for
// good. Temporary of nil is nil.
func Temporary(err error) error {
	if err == nil {
		return nil
	}
	return &temporaryError{err}
}

// IsTemporary tells whether an error, or one that it wraps, was marked by
// [Temporary], or is that of a deadline.
func IsTemporary(err error) bool {
	var marked *temporaryError
	return errors.As(err, &marked) || errors.Is(err, context.DeadlineExceeded)
}

type temporaryError struct{ err error }

func (e *temporaryError) Error() string { return e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }
