package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/tributary-bus/tributary/sdk/js"
)

func init() { handle(http.MethodGet, "/tributary.js", serveScript) }

var scriptTag = func() string {
	sum := sha256.Sum256(js.Source)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

// serveScript serves the client for browsers: a page that has a write key has
// the script that fits the server. It is taken from the browser's cache for an
// hour, and after that asked for again only if it has changed.
func serveScript(_ *Gateway, w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", scriptTag)
	// Pages of every origin may load it, also by import and with integrity.
	// The answer is the same for all of them, so that caches may share it.
	h.Del("Vary")
	h.Set("Access-Control-Allow-Origin", "*")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(js.Source))
}
