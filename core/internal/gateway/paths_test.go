package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	p := paths{exact: map[string]*route{}, variable: map[string][]*route{}}
	for _, pattern := range []string{"/track", "/hook/{type}/{source}", "/hook/{type}/{source}/{session}", "/api/s/{type}", "/api/s/s2s/{type}", "/v1/projects/{key}/settings"} {
		p.add(pattern)
	}
	for path, want := range map[string]string{
		"/track":                            "/track",
		"/track/":                           "",
		"/hook/a/b":                         "/hook/{type}/{source} a b ",
		"/hook/a/b/c":                       "/hook/{type}/{source}/{session} a b c",
		"/hook/a/b/c/d":                     "",
		"/hook/a":                           "",
		"/hook//b":                          "",
		"/hook/a/":                          "",
		"/hook/a%2Fb/c":                     "/hook/{type}/{source} a/b c ",
		"/hook/%C3%A9t%C3%A9/b":             "/hook/{type}/{source} été b ",
		"/api/s/track":                      "/api/s/{type} track  ",
		"/api/s/s2s/track":                  "/api/s/s2s/{type} track  ",
		"/api/x/track":                      "",
		"/v1/projects/k%3A1/settings":       "/v1/projects/{key}/settings   k:1",
		"/" + strings.Repeat("a/", 100):     "",
		"/hook" + strings.Repeat("/a", 100): "",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		got := ""
		if one := p.find(r); one != nil {
			got = one.pattern
			if one.segments != nil {
				got += " " + r.PathValue("type") + " " + r.PathValue("source") + " " + r.PathValue("session") + r.PathValue("key")
			}
			if r.Pattern != one.pattern {
				t.Errorf("%s has the pattern %q", path, r.Pattern)
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestMethodsOfAPath(t *testing.T) {
	f := newFixture(t, nil)
	a := f.send(t, "PATCH", "/v1/events", "{}", "X-Write-Key", "shop-key")
	if a.status != 405 || a.header.Get("Allow") != "OPTIONS, POST" || a.code() != codeMethod {
		t.Errorf("%d %s %v", a.status, a.text, a.header)
	}
	a = f.send(t, "OPTIONS", "/v1/events", "")
	if a.status != 204 || a.header.Get("Allow") != "OPTIONS, POST" || a.header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// TestAllowNamesMethodsOnce holds that every path names its methods sorted, each
// once, OPTIONS among them.
func TestAllowNamesMethodsOnce(t *testing.T) {
	f := newFixture(t, nil)
	for _, pattern := range routes.all() {
		path := strings.NewReplacer("{", "", "}", "").Replace(pattern)
		a := f.send(t, "PATCH", path, "")
		names := strings.Split(a.header.Get("Allow"), ", ")
		once := slices.Compact(slices.Sorted(slices.Values(names)))
		if a.status != 405 || !slices.Equal(names, once) || !slices.Contains(names, "OPTIONS") || len(names) < 2 {
			t.Errorf("%s: %d, Allow: %s", path, a.status, a.header.Get("Allow"))
		}
	}
}

func TestEveryPathAnswersPreflights(t *testing.T) {
	f := newFixture(t, nil)
	for _, pattern := range routes.all() {
		path := strings.NewReplacer("{", "", "}", "").Replace(pattern)
		a := f.send(t, "OPTIONS", path, "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type,x-retry-count", "Access-Control-Request-Private-Network", "true")
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example" || a.header.Get("Access-Control-Allow-Methods") == "" ||
			a.header.Get("Access-Control-Allow-Private-Network") != "true" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
}
