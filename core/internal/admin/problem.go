package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A problem is an answer that is not what was asked for. Its form on the wire
// is the contract's, the same as that of the gateway.
type problem struct {
	status  int
	code    string
	message string
	details []sdk.FieldError
}

// The codes of problems. Clients decide by them.
const (
	codeUnauthorized = "unauthorized"
	codeMalformed    = "malformed" // no JSON, or a field of the wrong type
	codeInvalid      = "invalid"   // a value that is not allowed
	codeUnsearchable = "unsearchable"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeTooLarge     = "too_large"
	codeConflict     = "conflict"
	codeUnavailable  = "unavailable" // temporary: the same request may succeed later
	codeInternal     = "internal"
)

// retryAfter is how many seconds a caller is asked to wait.
const retryAfter = "1"

func (p *problem) Error() string { return p.message }

func refuse(status int, code, format string, args ...any) *problem {
	return &problem{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func invalid(path, format string, args ...any) *problem {
	p := refuse(http.StatusBadRequest, codeInvalid, "%s: "+format, append([]any{path}, args...)...)
	p.details = []sdk.FieldError{{Path: path, Message: fmt.Sprintf(format, args...)}}
	return p
}

func notFound(format string, args ...any) *problem {
	return refuse(http.StatusNotFound, codeNotFound, format, args...)
}

func unavailable(why string) *problem {
	return refuse(http.StatusServiceUnavailable, codeUnavailable, "%s", why)
}

// problemOf finds the answer to an error of any part of the product.
func problemOf(err error) *problem {
	var p *problem
	var faults config.Problems
	var gone *erasedError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &gone):
		return gone.problem()
	case errors.As(err, &faults):
		return problemOfResources(faults)
	case errors.Is(err, store.ErrUnsearchable):
		return refuse(http.StatusUnprocessableEntity, codeUnsearchable, "%v", err)
	case errors.Is(err, store.ErrInvalid):
		return refuse(http.StatusBadRequest, codeInvalid, "%v", err)
	case errors.Is(err, store.ErrNotFound):
		return notFound("%v", err)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrBroken):
		return unavailable(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("the answer took longer than " + answerWithin.String())
	}
	return refuse(http.StatusInternalServerError, codeInternal, "%v", err)
}

func problemOfResources(faults config.Problems) *problem {
	p := &problem{status: http.StatusBadRequest, code: codeInvalid, message: "the resources are not right; nothing was changed"}
	for _, f := range faults {
		path := f.Kind
		if f.ID != "" {
			path += "/" + f.ID
		}
		if f.Path != "" {
			path = strings.TrimPrefix(path+": "+f.Path, ": ")
		}
		p.details = append(p.details, sdk.FieldError{Path: path, Message: f.Message})
	}
	return p
}

// problemOfBody explains why a body could not be decoded.
func problemOfBody(err error) *problem {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return refuse(http.StatusBadRequest, codeMalformed, "the body is not the JSON that is wanted: %s",
			strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	path := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return invalid(path, "no such field")
	case path == "":
		return refuse(http.StatusBadRequest, codeMalformed, "the body must be a JSON object")
	case semantic.Err != nil:
		return invalid(path, "%v", semantic.Err)
	}
	return invalid(path, "a JSON %s is not allowed here", semantic.JSONKind)
}

// problemOfFilter explains why a condition does not compile.
func problemOfFilter(path string, err error) *problem {
	var wrong *condition.Error
	if errors.As(err, &wrong) {
		return invalid(path, "%v", wrong)
	}
	return invalid(path, "%v", err)
}

func (p *problem) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = sdk.AppendString(dst, p.code)
	dst = append(dst, `,"message":`...)
	dst = sdk.AppendString(dst, p.message)
	if len(p.details) > 0 {
		dst = append(dst, `,"details":[`...)
		for i, d := range p.details {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"path":`...)
			dst = sdk.AppendString(dst, d.Path)
			dst = append(dst, `,"message":`...)
			dst = sdk.AppendString(dst, d.Message)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

func (p *problem) write(w http.ResponseWriter) {
	switch p.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusUnauthorized:
		w.Header().Set("Www-Authenticate", "Bearer")
	}
	writeJSON(w, p.status, p.appendJSON(nil))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	body = append(body, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A caller that is gone does not need the answer.
	_, _ = w.Write(body)
}
