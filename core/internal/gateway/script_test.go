package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tributary-bus/tributary/sdk/js"
)

func TestScriptIsServedAndCached(t *testing.T) {
	get := func(header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/tributary.js", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		new(Gateway).serve(w, r)
		return w
	}
	first := get("Origin", "https://shop.example")
	tag := first.Header().Get("ETag")
	if first.Code != http.StatusOK || first.Body.String() != string(js.Source) || tag == "" {
		t.Errorf("%d, tag %q, %d bytes, want the script's %d", first.Code, tag, first.Body.Len(), len(js.Source))
	}
	for name, want := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=3600",
		"Access-Control-Allow-Origin": "*", "Vary": "",
	} {
		if got := first.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if again := get("If-None-Match", tag); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("asked again: %d with %d bytes, want 304 without any", again.Code, again.Body.Len())
	}
	if changed := get("If-None-Match", `"other"`); changed.Code != http.StatusOK {
		t.Errorf("after a change: %d, want 200", changed.Code)
	}
}
