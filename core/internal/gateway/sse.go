package gateway

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/live"
)

// ssePrefix is the path below which each channel is a stream of server-sent
// events.
const ssePrefix = "/sse/"

func init() { handle(http.MethodGet, ssePrefix+"{channel}", serveSSE) }

const (
	sseHeartbeat = 15 * time.Second // a comment, so that nobody in between gives up
	// A client comes back after sseRetry and up to as much again.
	sseRetry = time.Second
)

// An eventStream is one listener to server-sent events:
//
//	id: 3k9f-13
//	data: {…what was pushed…}
//
// The id is a position, epoch and offset, with which a client comes back in
// Last-Event-ID.
type eventStream struct {
	g      *Gateway
	queue  *live.Queue
	ready  chan struct{}
	ctx    context.Context // over with the request, or with a reason to end
	cancel context.CancelFunc
	w      http.ResponseWriter
	epoch  string

	mu    sync.Mutex
	out   *http.ResponseController
	why   *closing  // nil: it goes on
	until time.Time // nothing is written behind it; zero: it goes on
	over  bool      // the response is not the stream's any more
}

// serveSSE serves GET /sse/{channel}.
func serveSSE(g *Gateway, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token, refused := readerToken(r.Header, query.Get("token"))
	if refused != nil {
		refused.write(w)
		return
	}
	grant, refused := g.grantOf(r.Context(), token)
	if refused != nil {
		refused.write(w)
		return
	}
	from, refused := lastEventID(r.Header.Get("Last-Event-ID"), query.Get("recover"))
	if refused != nil {
		refused.write(w)
		return
	}
	filter := query.Get("filter")
	if len(filter) > maxFilter {
		refuse(http.StatusBadRequest, codeInvalid, fmt.Sprintf("filter: longer than %d bytes", maxFilter)).write(w)
		return
	}
	channel := strings.TrimPrefix(r.URL.Path, ssePrefix)
	request, refused := g.request(grant, channel, filter, from)
	if refused != nil {
		refused.write(w)
		return
	}
	s := &eventStream{g: g, w: w, out: http.NewResponseController(w), queue: live.NewQueue(g.limits.WriteQueue), ready: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(r.Context())
	defer s.cancel()
	if ok, why := g.sockets.add(s, g.limits.Connections); !ok {
		unavailable(why.reason).write(w)
		return
	}
	defer g.sockets.remove(s)
	defer s.leave()
	if !grant.Expires.IsZero() {
		timer := time.AfterFunc(grant.Expires.Sub(g.now()), func() { s.end(closeExpired) })
		defer timer.Stop()
	}
	//nolint:contextcheck // the stream's context is made of the request's
	subscription, refused := g.listen(s.ctx, request, s, func(start live.Start) {
		s.epoch = start.Epoch
		s.Push(startEvent(channel, start, from != nil))
	})
	if why := s.reason(); refused != nil && why != nil {
		refused = unavailable(why.reason)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	defer subscription.Close()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s.serve()
}

var errNoToken = refuse(http.StatusUnauthorized, codeUnauthorized,
	"no token: send ?token= or Authorization: Bearer …, an admin token or a JWT that names the channel")

// readerToken is the token of a stream's headers or else of its address. A bearer
// token that differs from that one is refused, since neither is more meant than
// the other; other headers, such as what a browser sends to a proxy that asks for
// a password, give way to the address.
func readerToken(h http.Header, query string) (string, *refusal) {
	if query == "" {
		if key := headerKey(h); key != "" {
			return key, nil
		}
		return "", errNoToken
	}
	scheme, bearer, _ := strings.Cut(h.Get("Authorization"), " ")
	if bearer = strings.TrimSpace(bearer); strings.EqualFold(scheme, "bearer") && bearer != "" && bearer != query {
		return "", refuse(http.StatusBadRequest, codeInvalid, "Authorization: Bearer and ?token= name different tokens; send one of them")
	}
	return query, nil
}

// lastEventID reads where a client is to go on: 0 is all that is kept.
func lastEventID(header, query string) (*live.Position, *refusal) {
	name, text := "Last-Event-ID", header
	if text == "" {
		name, text = "recover", query
	}
	if text == "" {
		return nil, nil
	}
	i := strings.LastIndexByte(text, '-')
	offset, err := strconv.ParseUint(text[i+1:], 10, 63)
	from := &live.Position{Epoch: text[:max(i, 0)], Offset: offset}
	if err != nil || len(text) > maxEpoch || offset > 0 && from.Epoch == "" {
		return nil, refuse(http.StatusBadRequest, codeInvalid, name+": want the id of an event of this stream, or 0")
	}
	return from, nil
}

// startEvent says where the stream begins. It has a name, so that a page's
// onmessage does not get it.
func startEvent(channel string, start live.Start, asked bool) []byte {
	dst := []byte("event: subscribed\nid: ")
	dst = append(dst, start.Epoch...)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, start.Offset, 10)
	dst = append(dst, "\ndata: {"...)
	dst = appendStart(dst, channel, start, asked)
	return append(dst, "}\n\n"...)
}

// serve writes until the stream ends. The first write sends the headers.
func (s *eventStream) serve() {
	heartbeat := time.NewTicker(sseHeartbeat)
	defer heartbeat.Stop()
	// The time for a request to arrive is no bound for its answer.
	if s.out.SetReadDeadline(time.Time{}) != nil {
		return
	}
	retry := sseRetry + rand.N(sseRetry)
	if !s.write(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds())) {
		return
	}
	for s.ctx.Err() == nil {
		select {
		case <-s.ready:
			if !s.flush() {
				return
			}
		case <-heartbeat.C:
			if !s.write([]byte(":\n\n")) {
				return
			}
		case <-s.ctx.Done():
		}
	}
	if why := s.reason(); why != nil {
		s.last(*why)
	}
}

// flush writes what is queued, and what is while it does, unless the stream has
// to end: then no more than it has taken.
func (s *eventStream) flush() bool {
	var spare [][]byte
	for {
		frames := s.queue.Take(spare)
		if len(frames) == 0 {
			return true
		}
		var text []byte
		for i, frame := range frames {
			text = s.appendEvent(text, frame)
			if last := i == len(frames)-1; last || len(text) >= frameBytes {
				if why := s.reason(); why != nil && *why == closeSlow {
					return true // there is no more to write than that
				}
				if !s.write(text) {
					return false
				}
				text = text[:0]
			}
		}
		if s.ctx.Err() != nil {
			return true
		}
		spare = frames
	}
}

// appendEvent makes an event of a push; what is none is an event already.
func (s *eventStream) appendEvent(dst, frame []byte) []byte {
	offset, data, ok := live.PushOf(frame)
	if !ok {
		return append(dst, frame...)
	}
	dst = append(dst, "id: "...)
	dst = append(dst, s.epoch...)
	dst = append(dst, '-')
	dst = append(dst, offset...)
	dst = append(dst, "\ndata: "...)
	if bytes.IndexByte(data, '\r') >= 0 { // ends a line, too
		data = bytes.ReplaceAll(data, []byte{'\r'}, []byte{'\n'})
	}
	for i, line := range bytes.Split(data, []byte{'\n'}) { // JSON may have line breaks between its parts
		if i > 0 {
			dst = append(dst, "\ndata: "...)
		}
		dst = append(dst, line...)
	}
	return append(dst, "\n\n"...)
}

func (s *eventStream) write(text []byte) bool {
	s.mu.Lock()
	deadline := time.Now().Add(s.g.pace.stall)
	if !s.until.IsZero() && s.until.Before(deadline) {
		deadline = s.until
	}
	err := s.out.SetWriteDeadline(deadline)
	s.mu.Unlock()
	if err != nil {
		return false
	}
	_, err = s.w.Write(text)
	return err == nil && s.out.Flush() == nil
}

// last writes what was queued before the stream had to end, and tells why it
// does.
func (s *eventStream) last(why closing) {
	if s.flush() {
		s.write(fmt.Appendf(nil, "event: closed\ndata: {\"code\":%d,\"reason\":%q}\n\n", why.code, why.reason))
	}
}

// reason is why the stream ends; nil: it goes on, or is cut.
func (s *eventStream) reason() *closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// end ends the stream for a reason; the first one counts, but a shutdown does not wait
// for who is being closed already. What is queued is still written, for a moment, but
// for a slow reader.
func (s *eventStream) end(why closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.why == nil:
		s.why = &why
		s.stopWriting(time.Now().Add(s.g.pace.last))
	case why == closeShutdown:
		s.stopWriting(time.Now())
	}
}

func (s *eventStream) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopWriting(time.Unix(1, 0))
}

// stopWriting ends the stream. A write that is stuck is given up at a time,
// which may have been set to an earlier one before. It is called with mu held.
func (s *eventStream) stopWriting(until time.Time) {
	if !s.over && (s.until.IsZero() || until.Before(s.until)) {
		s.until = until
		_ = s.out.SetWriteDeadline(until)
	}
	s.cancel()
}

// leave gives the response back: what ends the stream later must not touch it.
func (s *eventStream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// Push, Room and Lost implement [live.Sink]. Nothing is pushed once the stream
// has a reason to end.
func (s *eventStream) Push(frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	first, ok := s.queue.Push(frame)
	if first {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
	if !ok {
		s.why = &closeSlow
		s.stopWriting(time.Now().Add(s.g.pace.stall))
	}
	return ok
}

// Room waits until most of what is queued was written.
func (s *eventStream) Room(ctx context.Context, wait time.Duration) bool {
	return s.queue.Room(ctx, wait)
}

// Lost ends the stream: its client comes back and is told where it stands.
func (s *eventStream) Lost(string) { s.end(closeLost) }
