package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// A request is what a dialect sees of what was sent: all of the HTTP request,
// the path's variables included, and beside it what is read from it.
type request struct {
	*http.Request
	query url.Values // nil where there is none
	body  []byte     // inflated
}

// A dialect is a form in which clients send events.
//
// A dialect is a file of its own, which adds its paths in init. It embeds keyed,
// unless it finds its sources in another way.
type dialect interface {
	// parse reads a request into the batch. It sets b.key to a write key that
	// the body names.
	parse(b *batch, r *request, rules *rules, limits *Limits) *refusal
	// announced finds the source that a request names before its body is read.
	// Neither a source nor a refusal means that only the body can tell.
	announced(r *request, rules *rules) (*config.Source, *refusal)
	// named finds the source of a request that announced none, by the key that
	// the body names.
	named(r *request, rules *rules, key string) (*config.Source, *refusal)
	// until is the stage that the caller waits for.
	until(b *batch, r *request) (stage, *refusal)
	// reply answers a batch that was taken in.
	reply(g *Gateway, w http.ResponseWriter, r *request, b *batch, form replyForm)
}

// A forgiving dialect answers in its own way what is not taken in: somebody is
// to see something else than an error.
type forgiving interface {
	refused(g *Gateway, w http.ResponseWriter, r *request, refused *refusal)
}

// keyed finds sources by their write keys: one in the headers, or else one in
// the body.
type keyed struct{}

func (keyed) announced(r *request, rules *rules) (*config.Source, *refusal) {
	if key := headerKey(r.Header); key != "" {
		return rules.sourceOf(key)
	}
	return nil, nil
}

func (keyed) named(_ *request, rules *rules, key string) (*config.Source, *refusal) {
	return rules.sourceOf(key)
}

// unwaited is for dialects whose clients wait for the durable commit alone.
type unwaited struct{}

func (unwaited) until(*batch, *request) (stage, *refusal) { return stored, nil }

// ingest serves a dialect.
func ingest(d dialect) handler {
	answer, forgives := d.(forgiving)
	return func(g *Gateway, w http.ResponseWriter, r *http.Request) {
		began := g.now()
		b := newBatch(began, &g.limits)
		b.sender = g.sender(r)
		defer b.release()
		b.request.Request = r
		refused := g.takeIn(d, w, &b.request, b)
		switch {
		case refused == nil:
		case forgives:
			g.metrics.refused.Inc()
			answer.refused(g, w, &b.request, refused)
		default:
			g.metrics.refused.Inc()
			refused.write(w)
		}
		g.metrics.served(r.Pattern, began)
	}
}

// takeIn serves a request as long as the gateway takes any.
func (g *Gateway) takeIn(d dialect, w http.ResponseWriter, r *request, b *batch) *refusal {
	if !g.gate.enter() {
		w.Header().Set("Connection", "close")
		return unavailable("the gateway is shutting down")
	}
	defer g.gate.leave()
	lease := lease{budget: &g.bodies}
	defer lease.end()
	return g.ingest(d, w, r, b, &lease)
}

func (g *Gateway) ingest(d dialect, w http.ResponseWriter, r *request, b *batch, l *lease) (refused *refusal) {
	form := replyForm{}
	defer func() {
		if !b.known { // its client may send it again
			return
		}
		if reason := recover(); reason != nil {
			g.reportPanic(r.Pattern, reason)
			refused = g.conclude(d, w, r, b, form.waited)
		}
	}()
	if err := g.options.Bus.Accepting(); err != nil {
		return unavailable(err.Error())
	}
	rules := g.current()
	source, refused := d.announced(r, rules) // before a byte of the body is read
	if refused != nil {
		return refused
	}
	if b.body, refused = g.readBody(r.Request, b.body[:0], l); refused != nil {
		return refused
	}
	r.body = b.body
	if r.URL.RawQuery != "" {
		r.query = r.URL.Query()
	}
	if refused = d.parse(b, r, rules, &g.limits); refused != nil {
		return refused
	}
	if source == nil {
		if source, refused = d.named(r, rules, b.key); refused != nil {
			return refused
		}
	}
	if origin := r.Header.Get("Origin"); origin != "" && !source.Allows(origin) {
		return errOrigin
	}
	if wary, ok := d.(wary); ok {
		if refused = wary.allowed(r.Context(), g, b, source); refused != nil {
			return refused
		}
	}
	until, refused := d.until(b, r)
	if refused != nil {
		return refused
	}
	form.waited = until != stored
	full, refused := g.wantsDocuments(r.query, source, until)
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
	if full || b.whole && source.Trusted {
		form.profile = g.documents(r.Context(), b)
	}
	d.reply(g, w, r, b, form)
	return nil
}

// conclude answers a request that has failed, in a way that nobody has foreseen, after
// the bus had answered. Its client is told that answer and no more: what is stored is
// not to be sent again, since events without ids would be stored twice.
func (g *Gateway) conclude(d dialect, w http.ResponseWriter, r *request, b *batch, waited bool) (refused *refusal) {
	b.keep = true
	b.forgetOutcomes()
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		g.reportPanic(r.Pattern, reason)
		if refused = nothingStored; !refusedForNow(b.events) {
			refused = nil
			writeJSON(w, http.StatusOK, fmt.Appendf(nil, `{"accepted":%d}`, count(b.events, accepted)))
		}
	}()
	d.reply(g, w, r, b, replyForm{waited: waited, late: waited})
	return nil
}

func (g *Gateway) reportPanic(path string, reason any) {
	g.log.Error("a request failed after its events were passed on", "path", path, "reason", reason, "stack", string(debug.Stack()))
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
