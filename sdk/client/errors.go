package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/sdk"
)

// An Error is what the server answered instead of doing what it was asked.
type Error struct {
	Status  int // HTTP status
	Code    string
	Message string
	Details []sdk.FieldError
	// RetryAfter is how long the server asks to wait, zero where it does not say.
	RetryAfter time.Duration
}

// Error implements error: the message and, one a line, its details. A detail
// that is the message is not told twice.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, d := range e.Details {
		text := d.Message
		if d.Path != "" {
			text = d.Path + ": " + text
		}
		if text != e.Message {
			b.WriteString("\n  " + text)
		}
	}
	return b.String()
}

// IsTemporary tells whether the same call may succeed a little later: the
// server is restarting, cannot be reached, or asks to come again.
func IsTemporary(err error) bool {
	var answered *Error
	if errors.As(err, &answered) {
		return answered.Status == http.StatusServiceUnavailable || answered.Status == http.StatusTooManyRequests ||
			answered.Status == http.StatusBadGateway || answered.Status == http.StatusGatewayTimeout
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// IsNotFound tells whether the server answered that there is no such thing.
func IsNotFound(err error) bool {
	var answered *Error
	return errors.As(err, &answered) && answered.Status == http.StatusNotFound
}

func parseError(response *http.Response) error {
	e := &Error{Status: response.StatusCode}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var body struct {
		Error struct {
			Code    string           `json:"code"`
			Message string           `json:"message"`
			Details []sdk.FieldError `json:"details"`
		} `json:"error"`
	}
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil || body.Error.Message == "" {
		e.Message = fmt.Sprintf("the server answered %s", response.Status)
		return e
	}
	e.Code, e.Message, e.Details = body.Error.Code, body.Error.Message, body.Error.Details
	return e
}
