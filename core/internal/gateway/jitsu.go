package gateway

import "net/http"

// jitsuDialect is Jitsu's form of the format: one event a request, the call in
// the path. Where the path's last segment is none of the calls, such as event,
// the event names its own. A server that sends for many people has one anonymous
// id for all of them; the user of each event decides whose it is.
type jitsuDialect struct{ segmentDialect }

func init() {
	handle(http.MethodPost, "/api/s/{type}", ingest(jitsuDialect{}))
	handle(http.MethodPost, "/api/s/s2s/{type}", ingest(jitsuDialect{}))
}

func (jitsuDialect) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	call := r.PathValue("type")
	for _, known := range segmentCalls {
		if call == known {
			return b.parseSegmentSingle(r.body, call, rules, limits)
		}
	}
	return b.parseSegmentSingle(r.body, "", rules, limits)
}
