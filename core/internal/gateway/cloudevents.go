package gateway

import (
	"mime"
	"net/http"
	"strings"
)

// cloudEvents is POST /v1/cloudevents: CloudEvents 1.0 by its HTTP protocol
// binding, in structured, binary and batched content mode. The answer is the
// native one; its status is 400 where no event could be accepted, since senders
// look at nothing else.
type cloudEvents struct{ keyed }

func init() {
	handle(http.MethodPost, "/v1/cloudevents", ingest(cloudEvents{}))
	handle(http.MethodOptions, "/v1/cloudevents", allowWebhooks)
}

// formatPrefix begins the media types of events that are written out whole.
const formatPrefix = "application/cloudevents"

// parse tells the content mode by the media type, as the binding has it. Where
// that says nothing, attributes in the headers make it binary, an array batched.
func (cloudEvents) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	element := func(e *event, text []byte) (int, error) { return b.cloudEvent(e, rules, text) }
	at := spaces(r.body, 0)
	switch {
	case strings.HasPrefix(media, formatPrefix) && !strings.HasSuffix(media, "+json"):
		return refuse(http.StatusUnsupportedMediaType, codeEncoding, "events in the format "+clipped(media)+" are not understood; want "+formatPrefix+"+json")
	case !strings.HasPrefix(media, formatPrefix) && r.Header.Get("Ce-Specversion") != "":
		return b.binaryCloudEvent(r, rules, limits)
	case media == formatPrefix+"-batch+json" || !strings.HasPrefix(media, formatPrefix) && at < len(r.body) && r.body[at] == '[':
		if at == len(r.body) || r.body[at] != '[' {
			return refuse(http.StatusBadRequest, codeMalformed, "want an array of events")
		}
		s := b.stream(r.body, at, limits, element)
		s.array()
		return s.refusal()
	}
	return b.single(r.body, limits, element)
}

func (cloudEvents) until(_ *batch, r *request) (stage, *refusal) { return waitQuery(r.query) }

func (cloudEvents) reply(g *Gateway, w http.ResponseWriter, _ *request, b *batch, form replyForm) {
	g.writeStrictReply(w, b, form)
}

// allowWebhooks answers a sender that asks, by the specification "HTTP 1.1 Web
// Hooks for Event Delivery", whether it may send; the key of each request decides
// that. What else asks for options is answered as everywhere.
func allowWebhooks(_ *Gateway, w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Webhook-Request-Origin"); origin != "" {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.Header().Set("WebHook-Allowed-Rate", "*")
	}
	w.Header().Set("Allow", "OPTIONS, POST")
	preflight(w, r, "OPTIONS, POST")
}
