package gateway

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// headerKey returns the write key that a request's headers name: as Basic
// user, as bearer token or as X-Write-Key. Empty where they name none.
func headerKey(h http.Header) string {
	if key := h.Get("X-Write-Key"); key != "" {
		return key
	}
	scheme, value, _ := strings.Cut(h.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "bearer"):
		return value
	case strings.EqualFold(scheme, "basic"):
		// Some clients leave the padding out.
		plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
		if err != nil {
			return ""
		}
		user, _, _ := strings.Cut(string(plain), ":")
		return user
	}
	return ""
}

// masked tells whether a key in a body hides the key itself: k:***, or *** where
// all of it is secret.
func masked(key string) bool { return key == "***" || strings.HasSuffix(key, ":***") }

var (
	errNoKey = refuse(http.StatusUnauthorized, codeUnauthorized,
		"no write key: send it as Basic user, as Authorization: Bearer, as X-Write-Key or as writeKey in the body")
	errUnknownKey = refuse(http.StatusUnauthorized, codeUnauthorized, "unknown write key, or its source is disabled")
	errOrigin     = refuse(http.StatusForbidden, codeForbidden, "the source does not allow requests from this origin; see its origins")
)

// sourceOf returns the source that a write key belongs to.
func (r *rules) sourceOf(key string) (*config.Source, *refusal) {
	if key == "" {
		return nil, errNoKey
	}
	source, ok := r.set.SourceByKey(key)
	if !ok || source.Disabled {
		return nil, errUnknownKey
	}
	return source, nil
}

// keylessSource returns the source that a key belongs to, or that an id names
// where it is a keyless one.
func (r *rules) keylessSource(keyOrID string) (*config.Source, *refusal) {
	source, refused := r.sourceOf(keyOrID)
	if refused == nil {
		return source, nil
	}
	if s, ok := r.set.Source(keyOrID); ok && s.Keyless && !s.Disabled {
		return s, nil
	}
	return nil, refused
}

// What a page of another origin may send, beside what its preflight asks for:
// keys, encodings, and what the clients of the dialects add.
const (
	allowedHeaders = "authorization, content-type, content-encoding, x-retry-count, x-write-key"
	preflightAge   = "600" // seconds
	// maxAsked is how many bytes of headers a preflight may ask for.
	maxAsked = 1 << 10
)

// cors lets a page of another origin read the answer.
func cors(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "retry-after")
}

// preflight answers the question whether a page may send. Which source it is
// for is not known yet: the request itself is held to the source's origins.
func preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	if r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", allowed(r.Header.Get("Access-Control-Request-Headers")))
		h.Set("Access-Control-Max-Age", preflightAge)
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowed lists the headers that a page may send: any that it asks for, since no
// header but the key has a meaning that a page could misuse.
func allowed(asked string) string {
	list := allowedHeaders
	if len(asked) > maxAsked {
		return list
	}
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && !strings.Contains(list, name) && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" {
			list += ", " + name
		}
	}
	return list
}
