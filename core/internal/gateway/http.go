package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// A route serves one path.
type route struct {
	method string
	serve  func(g *Gateway, w http.ResponseWriter, r *http.Request)
}

// routes are the gateway's paths. What a body is follows from the path alone,
// never from its content type: browsers send JSON as text/plain.
var routes = map[string]route{}

func init() {
	routes["/v1/events"] = route{"POST", ingest(nativeDialect{})}
	routes["/v1/batch"] = route{"POST", ingest(segmentDialect{})}
	routes["/track"] = route{"POST", ingest(tracardiDialect{})}
	routes["/ws"] = route{"GET", serveSocket}
}

// A dialect is a form in which clients send events.
type dialect interface {
	// parse reads a body into the batch. It sets b.key to a write key that
	// the body names.
	parse(b *batch, body []byte, rules *rules, limits *Limits, query url.Values) *refusal
	// source finds the source that a key belongs to: the one in the header,
	// before the body is read, and without one there that in the body. Neither
	// a source nor a refusal means that the header says nothing.
	source(rules *rules, header, body string) (*config.Source, *refusal)
	// until is the stage that the caller waits for.
	until(b *batch, query url.Values) (stage, *refusal)
	// reply answers a batch that was taken in.
	reply(g *Gateway, w http.ResponseWriter, r *http.Request, b *batch, form replyForm)
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	route, ok := routes[r.URL.Path]
	if !ok && strings.HasPrefix(r.URL.Path, ssePrefix) {
		route, ok = sseRoute, true
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		cors(w.Header(), origin)
	}
	switch {
	case !ok:
		refuse(http.StatusNotFound, codeNotFound, "there is nothing at "+clipped(r.URL.Path)).write(w)
	case r.Method == http.MethodOptions:
		preflight(w, route.method)
	case r.Method != route.method:
		w.Header().Set("Allow", route.method)
		refuse(http.StatusMethodNotAllowed, codeMethod, "want "+route.method+", got "+clipped(r.Method)).write(w)
	default:
		route.serve(g, w, r)
	}
}

// ingest serves a dialect.
func ingest(d dialect) func(g *Gateway, w http.ResponseWriter, r *http.Request) {
	return func(g *Gateway, w http.ResponseWriter, r *http.Request) {
		if !g.gate.enter() {
			w.Header().Set("Connection", "close")
			unavailable("the gateway is shutting down").write(w)
			return
		}
		defer g.gate.leave()
		began := g.now()
		b := newBatch(began, &g.limits)
		defer b.release()
		lease := lease{budget: &g.bodies}
		defer lease.end()
		if refused := g.ingest(d, w, r, b, &lease); refused != nil {
			g.metrics.refused.Inc()
			refused.write(w)
		}
		g.metrics.served(r.URL.Path, began)
	}
}

func (g *Gateway) ingest(d dialect, w http.ResponseWriter, r *http.Request, b *batch, l *lease) (refused *refusal) {
	if err := g.options.Bus.Accepting(); err != nil {
		return unavailable(err.Error())
	}
	rules := g.current()
	header := headerKey(r.Header)
	var source *config.Source
	if header != "" { // before a byte of the body is read
		if source, refused = d.source(rules, header, ""); refused != nil {
			return refused
		}
	}
	if b.body, refused = g.readBody(r, b.body[:0], l); refused != nil {
		return refused
	}
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	if refused = d.parse(b, b.body, rules, &g.limits, query); refused != nil {
		return refused
	}
	if source == nil {
		if source, refused = d.source(rules, "", b.key); refused != nil {
			return refused
		}
	}
	if origin := r.Header.Get("Origin"); origin != "" && !source.Allows(origin) {
		return errOrigin
	}
	until, refused := d.until(b, query)
	if refused != nil {
		return refused
	}
	form := replyForm{waited: until != stored}
	full, refused := g.wantsDocuments(query, source, until)
	if refused != nil {
		return refused
	}
	if until == stored {
		if refused = g.intake(r.Context(), source, rules, b, nil); refused == nil {
			d.reply(g, w, r, b, form)
		}
		return refused
	}
	if until == indexed && g.options.Indexed == nil {
		return errNoStore
	}
	waiter := g.waiters.register(len(b.events), until)
	defer g.waiters.forget(waiter)
	if refused = g.intake(r.Context(), source, rules, b, waiter); refused != nil {
		return refused
	}
	form.late = !g.await(r.Context(), b, waiter, until)
	if full {
		form.profile = g.documents(r.Context(), b)
	}
	d.reply(g, w, r, b, form)
	return nil
}

var errNoStore = refuse(http.StatusBadRequest, codeInvalid, "wait=indexed needs a query store, and this process has none")

// wantsDocuments tells whether the caller wants profiles in place of their
// ids, and may have them.
func (g *Gateway) wantsDocuments(query url.Values, source *config.Source, until stage) (bool, *refusal) {
	switch profile := query.Get("profile"); {
	case profile == "" || profile == "id":
		return false, nil
	case profile != "full":
		return false, refuse(http.StatusBadRequest, codeInvalid, "profile="+clipped(profile)+" is unknown; want full")
	case !source.Trusted:
		return false, refuse(http.StatusForbidden, codeForbidden, "profile=full is for sources with trusted: true; a write key may be public")
	case until == stored:
		return false, refuse(http.StatusBadRequest, codeInvalid, "profile=full needs wait="+stageNames)
	}
	return true, nil
}

// waitQuery reads ?wait.
func waitQuery(query url.Values) (stage, *refusal) {
	until, ok := stages[query.Get("wait")]
	if !ok {
		return stored, refuse(http.StatusBadRequest, codeInvalid, "wait="+clipped(query.Get("wait"))+" is unknown; want "+stageNames)
	}
	return until, nil
}
