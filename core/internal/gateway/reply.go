package gateway

import (
	"context"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// What a reply says beside the results.
type replyForm struct {
	waited  bool                      // outcomes were waited for
	late    bool                      // and did not all come in time
	profile map[string]jsontext.Value // the documents of the profiles, where asked for
}

// appendReply appends the native reply:
//
//	{"accepted":1,"results":[{"id":"…","status":"accepted"}]}
//
// A caller who waited also gets, in each result, profile, session, valid,
// errors and response (what the event's flows answered, by flow), and response
// for all of them; "waited":false says that not all of it came in time.
func appendReply(dst []byte, events []event, form replyForm) []byte {
	dst = append(dst, `{"accepted":`...)
	dst = strconv.AppendInt(dst, int64(count(events, accepted)), 10)
	dst = append(dst, `,"results":`...)
	dst = appendResults(dst, events, form)
	if form.waited {
		dst = append(dst, `,"response":`...)
		dst = allResponses(events).appendJSON(dst)
	}
	if form.late {
		dst = append(dst, `,"waited":false`...)
	}
	return append(dst, '}')
}

func appendResults(dst []byte, events []event, form replyForm) []byte {
	dst = append(dst, '[')
	for i := range events {
		e := &events[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"id":`...)
		if e.ID == "" {
			dst = append(dst, "null"...)
		} else {
			dst = sdk.AppendString(dst, e.ID)
		}
		dst = append(dst, `,"status":"`...)
		dst = append(dst, e.status.String()...)
		dst = append(dst, '"')
		if e.problem != nil {
			dst = append(dst, `,"error":`...)
			dst = e.problem.appendJSON(dst)
		}
		if form.waited && (e.outcome != nil || e.status == duplicate) {
			dst = e.appendOutcome(dst, form)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendOutcome appends what a caller who waited learns of an event. Of a
// duplicate that this node knows by itself, all that it can tell is whom
// such an event is about now.
func (e *event) appendOutcome(dst []byte, form replyForm) []byte {
	profile, session := e.profile, e.Session
	if e.outcome != nil {
		profile, session = e.outcome.Profile, e.outcome.Session
	}
	dst = append(dst, `,"profile":`...)
	if document, ok := form.profile[profile]; ok {
		dst = append(dst, document...)
	} else {
		dst = appendTextOrNull(dst, profile)
	}
	dst = append(dst, `,"session":`...)
	dst = appendTextOrNull(dst, session)
	if e.outcome != nil {
		dst = append(dst, `,"valid":`...)
		dst = sdk.AppendValue(dst, e.outcome.Valid)
		if len(e.outcome.Errors) > 0 {
			dst = append(dst, `,"errors":`...)
			dst = appendFieldErrors(dst, e.outcome.Errors)
		}
	}
	dst = append(dst, `,"response":`...)
	return e.response.appendJSON(dst)
}

func appendTextOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return sdk.AppendString(dst, s)
}

// documents reads the profiles that the batch's events were applied to.
func (g *Gateway) documents(ctx context.Context, b *batch) map[string]jsontext.Value {
	found := map[string]jsontext.Value{}
	for i := range b.events {
		e := &b.events[i]
		if e.outcome == nil || e.outcome.Profile == "" {
			continue
		}
		id := e.outcome.Profile
		if _, ok := found[id]; ok {
			continue
		}
		// What cannot be read is answered by its id.
		if text, _, err := g.options.Bus.GetDocument(ctx, id); err == nil {
			if profile := documentProfile(text); profile != nil {
				found[id] = profile
			}
		}
	}
	return found
}

// documentProfile finds the profile in a document of the profiles bucket.
func documentProfile(document []byte) (profile jsontext.Value) {
	err := record.Members(document, func(name string) *jsontext.Value {
		if name == "profile" {
			return &profile
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return profile
}

// refusedForNow tells that nothing was accepted, for a reason that will pass.
func refusedForNow(events []event) bool {
	return count(events, retry) > 0 && count(events, accepted) == 0
}

var nothingStored = unavailable("no event was stored; send them again")

// writeReply answers with the native reply. Where nothing was accepted for a
// reason that will pass, the answer is 503, so that clients who look at the
// status alone come back.
func (g *Gateway) writeReply(w http.ResponseWriter, b *batch, form replyForm) {
	if !refusedForNow(b.events) {
		b.out = appendReply(b.out[:0], b.events, form)
		writeJSON(w, http.StatusOK, b.out)
		return
	}
	b.out = append(b.out[:0], `{"error":`...)
	b.out = nothingStored.appendJSON(b.out)
	b.out = append(b.out, `,"accepted":0,"results":`...)
	b.out = appendResults(b.out, b.events, form)
	b.out = append(b.out, '}')
	w.Header().Set("Retry-After", retryIn(0))
	writeJSON(w, http.StatusServiceUnavailable, b.out)
}

// writeStrictReply is writeReply for senders that look at the status alone: it is
// 400 where no event of the request can ever be accepted.
func (g *Gateway) writeStrictReply(w http.ResponseWriter, b *batch, form replyForm) {
	if n := count(b.events, invalid); n == 0 || n < len(b.events) {
		g.writeReply(w, b, form)
		return
	}
	b.out = append(b.out[:0], `{"error":`...)
	b.out = b.events[0].problem.appendJSON(b.out)
	b.out = append(b.out, `,"accepted":0,"results":`...)
	b.out = appendResults(b.out, b.events, form)
	writeJSON(w, http.StatusBadRequest, append(b.out, '}'))
}
