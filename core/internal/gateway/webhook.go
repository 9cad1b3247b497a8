package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
)

// webhook is /collect/{type}/{source}[/{session}]: whatever a service sends
// becomes the properties of one event, of which the path tells the rest. The
// answer is the native one; its status is 400 where the event could not be
// accepted, since senders look at nothing else.
type webhook struct{ unwaited }

func init() {
	for _, path := range []string{"/collect/{type}/{source}", "/collect/{type}/{source}/{session}"} {
		handle(http.MethodPost, path, ingest(webhook{}))
		handle(http.MethodGet, path, ingest(webhook{}))
		handle(http.MethodHead, path, exists)
	}
}

// exists answers HEAD, which has no effect.
func exists(_ *Gateway, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// announced finds the source that the path names: headers are the service's own.
func (webhook) announced(r *request, rules *rules) (*config.Source, *refusal) {
	return rules.keylessSource(r.PathValue("source"))
}

func (webhook) named(_ *request, _ *rules, _ string) (*config.Source, *refusal) { return nil, errNoKey }

func (webhook) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	e := b.add()
	e.orNobody = true
	if kind := r.PathValue("type"); utf8.ValidString(kind) {
		e.setType(kind)
	} else {
		e.fail(fieldProblem(codeInvalid, "type", "want UTF-8"))
	}
	e.Session = e.given("session", r.PathValue("session"))
	e.ID = e.given("id", deliveryID(r.Header))
	n := max(len(r.body), len(r.URL.RawQuery))
	if n > limits.Event {
		e.fail(tooLarge(n, limits.Event))
		return nil
	}
	e.Properties = b.payload(e, r, limits)
	if e.Type == "identify" {
		e.Traits = e.Properties
	}
	return nil
}

// deliveryID is what the sender knows its delivery by, so that one that it
// repeats counts once: the id of Standard Webhooks, or an idempotency key.
func deliveryID(h http.Header) string {
	if id := h.Get("Webhook-Id"); id != "" {
		return id
	}
	return h.Get("Idempotency-Key")
}

// given checks an id that did not come in JSON.
func (e *event) given(field, id string) string {
	if len(id) > maxID || !utf8.ValidString(id) {
		e.fail(fieldProblem(codeInvalid, field, fmt.Sprintf("want UTF-8 of at most %d bytes", maxID)))
		return ""
	}
	return id
}

// payload makes properties of a body, or without one of the query: an object as
// it is, a form's pairs nested, any other JSON as the property data, and so what
// is none of these, as text or else as data_base64. What a body is shows in its
// content type only for forms, and for those only where it is not JSON.
func (b *batch) payload(e *event, r *request, limits *Limits) []byte {
	if len(bytes.TrimSpace(r.body)) == 0 {
		return b.pairs(e, r.query, limits)
	}
	p := &b.parser
	p.begin(r.body)
	if value, err := p.dec.ReadValue(); err == nil && spaces(r.body, p.offset()) == len(r.body) {
		text := p.keep(e, "properties", value)
		if value.Kind() == '{' || text == nil {
			return text
		}
		return withField(nil, "data", text)
	}
	media, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-www-form-urlencoded":
		if pairs, err := url.ParseQuery(string(r.body)); err == nil {
			return b.pairs(e, pairs, limits)
		}
	case "multipart/form-data":
		if pairs, err := readMultipart(r.body, parameters["boundary"]); err == nil {
			return b.pairs(e, pairs, limits)
		}
	}
	return textOrBase64(r.body)
}

func (b *batch) pairs(e *event, pairs url.Values, limits *Limits) []byte {
	if len(pairs) == 0 {
		return nil
	}
	return b.parser.keep(e, "properties", sdk.AppendValue(nil, nested(pairs, limits.Nesting-1)))
}

// readMultipart reads the fields of a form; of files it takes the names alone.
func readMultipart(body []byte, boundary string) (url.Values, error) {
	pairs := url.Values{}
	for form := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return pairs, nil
		}
		if err != nil {
			return nil, err
		}
		if file := part.FileName(); file != "" {
			pairs.Add(part.FormName(), file)
			continue
		}
		text, err := io.ReadAll(part) // no longer than the body
		if err != nil {
			return nil, err
		}
		pairs.Add(part.FormName(), string(text))
	}
}

func (webhook) reply(g *Gateway, w http.ResponseWriter, _ *request, b *batch, form replyForm) {
	g.writeStrictReply(w, b, form)
}
