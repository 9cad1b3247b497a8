package gateway

import (
	"net/http"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// nativeFields lists the fields of an event for the one who got one wrong.
const nativeFields = "an event has id, type, time, session, profile, profile_less, ids, properties, traits, context, tags"

// native reads one event in the product's own form from the front of text and
// returns how many bytes it took. An error means that text is not JSON there.
func (b *batch) native(e *event, rules *rules, text []byte) (int, error) {
	p := &b.parser
	p.begin(text)
	kind, err := p.object(func(name []byte) (err error) {
		switch string(name) {
		case `"id"`:
			e.ID, err = p.text(e, "id", maxID)
		case `"type"`:
			var s string
			if s, err = p.text(e, "type", maxType*4); s != "" {
				e.setType(s)
			}
		case `"time"`:
			e.Time, err = p.instant(e, "time")
		case `"session"`:
			e.Session, err = p.text(e, "session", maxID)
		case `"profile"`:
			e.Profile, err = p.text(e, "profile", maxID)
		case `"profile_less"`:
			e.ProfileLess, err = p.flag(e, "profile_less")
		case `"ids"`:
			err = p.identifiers(e, "ids", rules)
		case `"properties"`:
			e.Properties, err = p.raw(e, "properties")
		case `"traits"`:
			e.Traits, err = p.raw(e, "traits")
		case `"context"`:
			e.Context, err = p.raw(e, "context")
		case `"tags"`:
			err = p.tags(e, "tags")
		case `"writeKey"`:
			err = b.writeKey(e)
		default:
			e.fail(fieldProblem(codeUnknownField, clipped(unquote(name)), "unknown field; "+nativeFields))
			err = p.skip()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	switch {
	case kind != '{':
		e.fail(&problem{code: codeMalformed, message: "want an event as an object, got " + kindName(kind)})
	case e.Type == "":
		e.fail(fieldProblem(codeInvalid, "type", "an event needs a type"))
	}
	return p.offset(), nil
}

// writeKey reads a key named in the body. All events of a request belong to
// one source, so they cannot name different keys.
func (b *batch) writeKey(e *event) error {
	key, err := b.parser.text(e, "writeKey", maxWriteKey)
	switch {
	case err != nil || key == "" || masked(key):
	case b.key == "":
		b.key = key
	case b.key != key:
		e.fail(fieldProblem(codeInvalid, "writeKey", "the events of one request have one write key"))
	}
	return err
}

// parseNative reads the body of POST /v1/events: one event, an array of them,
// or one after another, such as NDJSON. It refuses the request only where no
// event could be read.
func (b *batch) parseNative(body []byte, rules *rules, limits *Limits) *refusal {
	at := spaces(body, 0)
	if at == len(body) {
		return refuse(http.StatusBadRequest, codeMalformed, "the body is empty: want an event, an array of events, or an event a line")
	}
	s := b.stream(body, at, limits, func(e *event, text []byte) (int, error) { return b.native(e, rules, text) })
	if body[at] == '[' {
		s.array()
	} else {
		s.lines()
	}
	return s.refusal()
}

// nativeDialect is POST /v1/events.
type nativeDialect struct{ keyed }

func init() { handle(http.MethodPost, "/v1/events", ingest(nativeDialect{})) }

func (nativeDialect) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	return b.parseNative(r.body, rules, limits)
}

// nativeParameters are those of the path. It has no foreign clients, who add
// others: one that is not among them is a mistake.
var nativeParameters = []string{"wait", "profile"}

func (nativeDialect) until(_ *batch, r *request) (stage, *refusal) {
	for name := range r.query {
		if !slices.Contains(nativeParameters, name) {
			return stored, refuse(http.StatusBadRequest, codeInvalid, "unknown query parameter "+clipped(name)+"; "+config.Meant(clipped(name), nativeParameters))
		}
	}
	return waitQuery(r.query)
}

func (nativeDialect) reply(g *Gateway, w http.ResponseWriter, _ *request, b *batch, form replyForm) {
	g.writeReply(w, b, form)
}
