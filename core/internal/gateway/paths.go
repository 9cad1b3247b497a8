package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A handler serves one method of a path. The path's variables are the
// request's path values; the request's Pattern is the path as registered.
type handler func(g *Gateway, w http.ResponseWriter, r *http.Request)

// A route serves the paths of one pattern. What a body is follows from the
// path alone, never from its content type: browsers send JSON as text/plain.
type route struct {
	pattern  string   // such as /redirect/{id}
	segments []string // of the pattern; nil where it has no variables
	methods  []method
	allow    string // the names of the methods, as Allow wants them
}

type method struct {
	name  string
	serve handler
}

// routes are the gateway's paths, which each dialect's file adds its own to.
var routes = paths{exact: map[string]*route{}, variable: map[string][]*route{}}

// paths finds the route of a path: those without variables at once, others by
// their first segment. Segments match as they are written, so that an encoded
// slash belongs to its variable; a variable is never empty.
type paths struct {
	exact    map[string]*route
	variable map[string][]*route
}

// handle adds a method to a path. It panics where the path has it already.
func handle(name, pattern string, serve handler) {
	one := routes.add(pattern)
	if one.method(name) != nil {
		panic("two handlers for " + name + " " + pattern)
	}
	one.methods = append(one.methods, method{name, serve})
	names := []string{http.MethodOptions}
	for _, m := range one.methods {
		names = append(names, m.name)
	}
	slices.Sort(names)
	one.allow = strings.Join(slices.Compact(names), ", ") // a path may answer OPTIONS itself
}

func (p *paths) add(pattern string) *route {
	if !strings.Contains(pattern, "{") {
		if p.exact[pattern] == nil {
			p.exact[pattern] = &route{pattern: pattern}
		}
		return p.exact[pattern]
	}
	segments := strings.Split(pattern[1:], "/")
	for _, one := range p.variable[segments[0]] {
		if one.pattern == pattern {
			return one
		}
	}
	one := &route{pattern: pattern, segments: segments}
	p.variable[segments[0]] = append(p.variable[segments[0]], one)
	return one
}

// all are the patterns of all routes.
func (p *paths) all() (list []string) {
	for pattern := range p.exact {
		list = append(list, pattern)
	}
	for _, routes := range p.variable {
		for _, one := range routes {
			list = append(list, one.pattern)
		}
	}
	return list
}

// find returns the route of the request's path, and enters the pattern and the
// values of its variables in the request. Nil where there is none.
func (p *paths) find(r *http.Request) *route {
	if one := p.exact[r.URL.Path]; one != nil {
		r.Pattern = one.pattern
		return one
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	first, _, _ := strings.Cut(path, "/")
	candidates := p.variable[first]
	if candidates == nil {
		return nil
	}
	segments := strings.SplitN(path, "/", maxSegments+1)
	for _, one := range candidates {
		if one.match(r, segments) {
			r.Pattern = one.pattern
			return one
		}
	}
	return nil
}

// maxSegments is how many segments a path has at most.
const maxSegments = 8

func (one *route) match(r *http.Request, segments []string) bool {
	if len(segments) != len(one.segments) {
		return false
	}
	for i, want := range one.segments {
		if want[0] != '{' && want != segments[i] || segments[i] == "" {
			return false
		}
	}
	for i, want := range one.segments {
		if want[0] != '{' {
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil {
			return false
		}
		r.SetPathValue(want[1:len(want)-1], value)
	}
	return true
}

func (one *route) method(name string) handler {
	for i := range one.methods {
		if one.methods[i].name == name {
			return one.methods[i].serve
		}
	}
	return nil
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	one := routes.find(r)
	if origin := r.Header.Get("Origin"); origin != "" {
		cors(w.Header(), origin)
	}
	if one == nil {
		refuse(http.StatusNotFound, codeNotFound, "there is nothing at "+clipped(r.URL.Path)).write(w)
		return
	}
	if serve := one.method(r.Method); serve != nil {
		serve(g, w, r)
		return
	}
	w.Header().Set("Allow", one.allow)
	if r.Method == http.MethodOptions {
		preflight(w, r, one.allow)
		return
	}
	refuse(http.StatusMethodNotAllowed, codeMethod, fmt.Sprintf("want %s, got %s", one.allow, clipped(r.Method))).write(w)
}
