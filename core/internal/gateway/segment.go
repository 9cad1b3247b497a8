package gateway

import (
	"net/http"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// segmentDialect is the wire format of Segment and its kin. Its clients look at
// the status alone, and some retry whatever is not 2xx, so events that can never
// be accepted are answered like the others; they are counted and logged.
type segmentDialect struct {
	keyed
	unwaited
}

// segmentBatch is a request of many events, each of which names its call.
type segmentBatch struct{ segmentDialect }

// segmentSingle is a request of one event, whose call its path tells.
type segmentSingle struct {
	segmentDialect
	call string
}

// segmentCalls are the calls of the format and the letters that browsers
// shorten their paths to.
var segmentCalls = map[string]string{"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"}

func init() {
	for _, path := range []string{"/v1/batch", "/v1/b", "/v1/import"} {
		handle(http.MethodPost, path, ingest(segmentBatch{}))
	}
	for letter, call := range segmentCalls {
		for _, path := range []string{call, letter} {
			handle(http.MethodPost, "/v1/"+path, ingest(segmentSingle{call: call}))
		}
	}
	handle(http.MethodPost, "/v1/m", takeTelemetry)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		handle(method, "/v1/projects/{key}/settings", serveSettings)
		handle(method, "/cluster-info", serveClusterInfo)
	}
}

func (segmentBatch) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	envelope := newEnvelope(r.body, limits, &b.arena)
	var shared, events []byte
	var sent time.Time
	fault := envelope.open(r.body, func(name []byte) (err error) {
		switch string(name) {
		case `"batch"`:
			events, err = envelope.events("batch")
		case `"writeKey"`:
			if b.key, err = envelope.text("writeKey", maxWriteKey); masked(b.key) {
				b.key = ""
			}
		case `"sentAt"`:
			sent, err = envelope.instant(&envelope.faults, "sentAt")
		case `"context"`:
			shared, err = envelope.shared("context")
		default:
			err = envelope.skip()
		}
		return err
	})
	if fault == nil && events == nil {
		fault = fieldProblem(codeMalformed, "batch", "want an array of events")
	}
	if fault != nil {
		return &refusal{status: http.StatusBadRequest, problem: *fault}
	}
	s := b.stream(events, 0, limits, func(e *event, text []byte) (int, error) {
		n, err := b.segmentEvent(e, rules, text, segmentCall{sent: sent})
		b.share(e, n, shared, limits)
		return n, err
	})
	s.array()
	if s.over {
		return s.refusal()
	}
	return nil
}

func (d segmentSingle) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	return b.parseSegmentSingle(r.body, d.call, rules, limits)
}

// parseSegmentSingle reads the one event of a body. Where the call is empty the
// event names it.
func (b *batch) parseSegmentSingle(body []byte, call string, rules *rules, limits *Limits) *refusal {
	return b.single(body, limits, func(e *event, text []byte) (int, error) {
		return b.segmentEvent(e, rules, text, segmentCall{call: call, fixed: call != ""})
	})
}

var segmentSuccess = []byte(`{"success":true}`)

// reply tells the client to come back where any event was not stored: those
// that were are known by their messageId.
func (segmentDialect) reply(g *Gateway, w http.ResponseWriter, r *request, b *batch, _ replyForm) {
	if count(b.events, retry) > 0 {
		nothingStored.write(w)
		return
	}
	g.reportInvalid(r.Pattern, b)
	writeJSON(w, http.StatusOK, segmentSuccess)
}

// takeTelemetry takes what clients tell of themselves for nothing.
func takeTelemetry(_ *Gateway, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// serveClusterInfo answers RudderStack's clients, who spread users over as many
// nodes as there are: here any address leads to all of them.
func serveClusterInfo(_ *Gateway, w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, []byte(`{"nodeCount":1}`))
}

// serveSettings answers what analytics.js asks before it starts: where events go
// and that every call is wanted. Events go to where the settings came from.
func serveSettings(g *Gateway, w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	source, refused := g.current().sourceOf(key)
	if origin := r.Header.Get("Origin"); refused == nil && origin != "" && !source.Allows(origin) {
		refused = errOrigin
	}
	if refused != nil {
		g.metrics.refused.Inc()
		refused.write(w)
		return
	}
	on := map[string]any{"__default": map[string]any{"enabled": true, "integrations": map[string]any{}}}
	w.Header().Set("Cache-Control", "private, max-age=60")
	w.Header().Add("Vary", "Host, Forwarded, X-Forwarded-Host, X-Forwarded-Proto")
	host, scheme := g.options.Proxies.askedFor(r)
	writeJSON(w, http.StatusOK, sdk.AppendValue(nil, map[string]any{
		"integrations": map[string]any{"Segment.io": map[string]any{
			"apiKey": key, "apiHost": host + "/v1", "protocol": scheme,
			"unbundledIntegrations": []any{}, "addBundledMetadata": true, "maybeBundledConfigIds": map[string]any{},
			"versionSettings": map[string]any{"version": "4.4.7", "componentTypes": []any{"browser"}},
		}},
		"plan":                      map[string]any{"track": on, "identify": on, "group": on},
		"edgeFunction":              map[string]any{},
		"analyticsNextEnabled":      true,
		"middlewareSettings":        map[string]any{},
		"enabledMiddleware":         map[string]any{},
		"metrics":                   map[string]any{"sampleRate": 0.0},
		"legacyVideoPluginsEnabled": false,
		"remotePlugins":             []any{},
	}))
}

// Every one of them is a dialect.
var (
	_ dialect = segmentBatch{}
	_ dialect = segmentSingle{}
)
