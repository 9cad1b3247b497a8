package admin

import (
	"net/http"
	"net/http/pprof"
	rpprof "runtime/pprof"
)

// profile serves what the runtime measures of itself, in the form that `go
// tool pprof` reads: a CPU profile of ?seconds=, a trace of ?seconds=, or a
// profile by its name, such as heap or goroutine.
func (a *API) profile(w http.ResponseWriter, r *http.Request) error {
	switch name := r.PathValue("name"); {
	case name == "profile":
		pprof.Profile(w, r)
	case name == "trace":
		pprof.Trace(w, r)
	case rpprof.Lookup(name) != nil:
		pprof.Handler(name).ServeHTTP(w, r)
	default:
		return notFound("no profile %q; there are profile, trace, heap, allocs, goroutine, block and mutex", name)
	}
	return nil
}
