package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// A problem says why an event or a request is not taken in. Its form on the
// wire is the contract's: {"code":"…","message":"…","details":[{"path":"…","message":"…"}]}.
type problem struct {
	code    string
	message string
	details []sdk.FieldError
}

// The codes of problems. Clients decide by them.
const (
	codeMalformed    = "malformed"     // no JSON, or a field of the wrong type
	codeInvalid      = "invalid"       // a field's value is not allowed
	codeUnknownField = "unknown_field" // a field that events do not have
	codeUnknownKind  = "unknown_kind"  // an identifier of a kind that nobody declared
	codeTooLarge     = "too_large"
	codeTooDeep      = "too_deep"
	codeUnauthorized = "unauthorized"
	codeForbidden    = "forbidden"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeEncoding     = "unsupported_encoding"
	codeBot          = "bot" // a robot sends, and its source takes nothing of robots
	codeTooMany      = "too_many_requests"
	codeFailed       = "failed"      // in a way that nobody has foreseen, as it would again
	codeUnavailable  = "unavailable" // temporary: the same request may succeed later
)

func fieldProblem(code, path, message string) *problem {
	return &problem{code: code, message: path + ": " + message, details: []sdk.FieldError{{Path: path, Message: message}}}
}

func (p *problem) appendJSON(dst []byte) []byte {
	return append(p.appendFields(append(dst, '{')), '}')
}

func (p *problem) appendFields(dst []byte) []byte {
	dst = append(dst, `"code":`...)
	dst = sdk.AppendString(dst, p.code)
	dst = append(dst, `,"message":`...)
	dst = sdk.AppendString(dst, p.message)
	if len(p.details) > 0 {
		dst = append(dst, `,"details":`...)
		dst = appendFieldErrors(dst, p.details)
	}
	return dst
}

func appendFieldErrors(dst []byte, list []sdk.FieldError) []byte {
	dst = append(dst, '[')
	for i, d := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"path":`...)
		dst = sdk.AppendString(dst, d.Path)
		dst = append(dst, `,"message":`...)
		dst = sdk.AppendString(dst, d.Message)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// A refusal is a problem of a whole request, with the HTTP status it has.
type refusal struct {
	status     int
	retryAfter time.Duration // of a temporary one; at least a second
	problem
}

func refuse(status int, code, message string) *refusal {
	return &refusal{status: status, problem: problem{code: code, message: message}}
}

func unavailable(why string) *refusal {
	return refuse(http.StatusServiceUnavailable, codeUnavailable, why)
}

// temporary tells whether the same request may succeed later.
func (r *refusal) temporary() bool {
	return r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests
}

// write answers the request.
func (r *refusal) write(w http.ResponseWriter) {
	body := append([]byte(nil), `{"error":`...)
	body = r.appendJSON(body)
	body = append(body, '}')
	if r.temporary() {
		w.Header().Set("Retry-After", retryIn(r.retryAfter))
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("Www-Authenticate", "Bearer")
	}
	writeJSON(w, r.status, body)
}

// retryIn is what Retry-After says: whole seconds, at least one.
func retryIn(wait time.Duration) string {
	return strconv.FormatInt(max(1, int64((wait+time.Second-1)/time.Second)), 10)
}

var jsonType = []string{"application/json"}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = jsonType
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A client that is gone does not need the answer.
	_, _ = w.Write(body)
}
