package store

import "errors"

// The errors by which callers decide. They come wrapped, with what was being
// done and the reason.
var (
	// ErrNotFound says that there is no such document.
	ErrNotFound = errors.New("not found")
	// ErrUnsearchable says that a condition is right but cannot be searched
	// by; the text around it gives the reason.
	ErrUnsearchable = errors.New("this condition cannot be searched by")
	// ErrInvalid says that a query is wrong in itself: its sort, limit, cursor,
	// field or interval.
	ErrInvalid = errors.New("invalid query")
	// ErrUnavailable says that the store does not answer now. Trying again
	// later is right: it recovers by itself.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrBroken says that what lies at the store's place is not a store of
	// ours, or is damaged; `tributary store rebuild` makes a new one.
	ErrBroken = errors.New("the store is broken")
)
