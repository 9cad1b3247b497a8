package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A socket is one WebSocket connection. One goroutine reads commands, one
// writes what waits in the queue, and one works on tracks while there are any.
type socket struct {
	g      *Gateway
	conn   *websocket.Conn
	origin string
	sender sender
	queue  *live.Queue
	parser parser

	// Of the reader alone.
	connected    bool
	session      string
	mayRead      bool
	subscription *live.Subscription

	key      atomic.Pointer[string] // write key; nil: none
	lastRead atomic.Int64           // Unix nanoseconds
	why      atomic.Pointer[closing]
	flush    chan struct{} // closed when nothing is queued any more
	written  chan struct{} // closed when the writer has ended

	ctx    context.Context // ends with the reader: what waits gives up
	cancel context.CancelFunc
	tracks tracks
}

func newSocket(g *Gateway, conn *websocket.Conn, origin string) *socket {
	s := &socket{
		g: g, conn: conn, origin: origin, queue: live.NewQueue(g.limits.WriteQueue),
		flush: make(chan struct{}), written: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tracks.init(s)
	return s
}

// run serves the connection until it ends. Key and token come from the
// handshake; where there are any, no connect has to follow.
func (s *socket) run(key, token string) {
	s.lastRead.Store(time.Now().UnixNano())
	go s.write()
	if key == "" && token == "" || s.admit(0, key, token) {
		s.read()
	}
	if s.subscription != nil {
		s.subscription.Close()
	}
	s.cancel()
	s.tracks.finish()
	close(s.flush)
	<-s.written
	_ = s.conn.Close() // ended either way
}

// end closes the connection for a reason; the first one counts. What is
// queued is still written, but for a slow reader.
func (s *socket) end(why closing) {
	if !s.why.CompareAndSwap(nil, &why) {
		return
	}
	past := time.Unix(1, 0)
	if why == closeSlow {
		// The writer may be stuck in a write.
		_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(s.g.pace.last))
	}
	_ = s.conn.NetConn().SetReadDeadline(past) // wakes the reader
}

// send queues an answer or a push. It is false for a reader that is too slow.
func (s *socket) send(frame []byte) bool {
	if s.queue.Push(frame) {
		return true
	}
	s.end(closeSlow)
	return false
}

func (s *socket) refuse(id int64, r *refusal) { s.send(errorFrame(id, r)) }

// read takes commands in until the connection ends.
func (s *socket) read() {
	timer := time.AfterFunc(s.g.pace.connect, func() { s.end(closeNotConnected) })
	defer timer.Stop()
	for !s.connected {
		if !s.readMessage() {
			return
		}
	}
	timer.Stop()
	for s.readMessage() {
	}
}

// readMessage reads one message and serves the commands in it, a line each.
func (s *socket) readMessage() bool {
	limit := int64(s.g.limits.Request + frameOverhead)
	s.conn.SetReadLimit(limit)
	_, r, err := s.conn.NextReader()
	if err != nil {
		return false
	}
	// Tracks point into the message, so it is not used again.
	message, err := io.ReadAll(r)
	if err != nil {
		return false
	}
	s.lastRead.Store(time.Now().UnixNano())
	for line := range bytes.SplitSeq(message, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !s.serve(line) {
			return false
		}
	}
	return s.why.Load() == nil
}

// serve is false where the connection has to end.
func (s *socket) serve(line []byte) bool {
	s.parser.nesting = s.g.limits.Nesting
	c, refused := s.parser.parseCommand(line)
	s.parser.forget()
	if refused != nil {
		s.refuse(c.id, refused)
		return true
	}
	if !s.connected && c.name != "connect" && c.name != "pong" {
		s.refuse(c.id, refuse(http.StatusUnauthorized, codeUnauthorized, "connect first, with a key or a token"))
		s.end(closeNotConnected)
		return false
	}
	switch c.name {
	case "connect":
		s.session = c.session
		return s.admit(c.id, c.key, c.token)
	case "track":
		s.tracks.add(track{id: c.id, events: c.events, wait: c.wait, session: s.session, size: len(line)})
	case "subscribe":
		s.subscribe(c)
	case "unsubscribe":
		s.unsubscribe(c)
	case "refresh":
		s.mayRead = s.readsWith(c.token)
		if !s.mayRead {
			s.refuse(c.id, refuse(http.StatusUnauthorized, codeUnauthorized, "unknown token"))
			break
		}
		s.send(append(frame(c.id, "refreshed", 0), "}}"...))
	}
	return true
}

// admit checks key and token. Whoever gives one that is not known is not
// connected, whatever the other one is.
func (s *socket) admit(id int64, key, token string) bool {
	if key != "" {
		source, refused := s.g.current().sourceOf(key)
		switch {
		case refused != nil:
			s.refuse(id, refused)
			s.end(closeUnauthorized)
			return false
		case s.origin != "" && !source.Allows(s.origin):
			s.refuse(id, errOrigin)
			s.end(closeForbidden)
			return false
		}
		s.key.Store(&key)
	}
	if token != "" {
		if s.mayRead = s.readsWith(token); !s.mayRead {
			s.refuse(id, refuse(http.StatusUnauthorized, codeUnauthorized, "unknown token"))
			s.end(closeUnauthorized)
			return false
		}
	}
	if key == "" && token == "" && !s.connected {
		s.refuse(id, refuse(http.StatusUnauthorized, codeUnauthorized, "connect needs a key, which may send, or a token, which may read"))
		s.end(closeUnauthorized)
		return false
	}
	s.connected = true
	if id > 0 {
		s.send(connectedFrame(id, s.session, &s.g.limits, s.g.pace.ping))
	}
	return true
}

func (s *socket) readsWith(token string) bool {
	return token != "" && s.g.options.Authorise != nil && s.g.options.Authorise(token)
}

func (s *socket) subscribe(c command) {
	switch {
	case !s.mayRead:
		s.refuse(c.id, refuse(http.StatusForbidden, codeForbidden, "reading needs a token"))
	case c.channel != live.ChannelEvents || s.g.options.Live == nil:
		s.refuse(c.id, refuse(http.StatusNotFound, codeNotFound, "there is no channel "+clipped(c.channel)+"; want "+live.ChannelEvents))
	case s.subscription != nil:
		s.refuse(c.id, refuse(http.StatusConflict, codeInvalid, "already subscribed to "+c.channel))
	default:
		s.listen(c)
	}
}

func (s *socket) listen(c command) {
	var filter *condition.Program
	if c.filter != "" {
		var err error
		if filter, err = condition.Compile(c.filter, live.FilterScope); err != nil {
			s.refuse(c.id, &refusal{problem: *fieldProblem(codeInvalid, "subscribe.filter", err.Error())})
			return
		}
	}
	subscription, err := s.g.options.Live.Subscribe(s.ctx, filter, s.send)
	if err != nil {
		s.refuse(c.id, unavailable(err.Error()))
		return
	}
	s.subscription = subscription
	more := ""
	if c.recover {
		more = `,"recovered":false`
	}
	s.send(channelFrame(c.id, "subscribed", c.channel, more))
}

func (s *socket) unsubscribe(c command) {
	if s.subscription == nil || c.channel != live.ChannelEvents {
		s.refuse(c.id, refuse(http.StatusNotFound, codeNotFound, "not subscribed to "+clipped(c.channel)))
		return
	}
	s.subscription.Close()
	s.subscription = nil
	s.send(channelFrame(c.id, "unsubscribed", c.channel, ""))
}

// frameBytes is how much of what waits goes into one message.
const frameBytes = 64 << 10

// write writes what is queued, several frames a message, and pings, until
// there is nothing more to come. Its last word is why the connection ends.
func (s *socket) write() {
	defer close(s.written)
	pinged := time.Time{}
	timer := time.NewTimer(s.g.pace.ping)
	defer timer.Stop()
	var spare [][]byte
	for {
		select {
		case <-s.queue.Ready():
			frames := s.queue.Take(spare)
			if !s.writeFrames(frames) {
				s.end(closeGone)
				return
			}
			spare = frames
		case <-timer.C:
			switch read := time.Unix(0, s.lastRead.Load()); {
			case pinged.IsZero():
				pinged = time.Now()
				s.send(pingFrame)
				timer.Reset(s.g.pace.pong)
			case read.Before(pinged):
				s.end(closeNoPong)
				timer.Reset(s.g.pace.ping)
			default:
				pinged = time.Time{}
				timer.Reset(s.g.pace.ping - s.g.pace.pong)
			}
		case <-s.flush:
			if s.writeFrames(s.queue.Take(spare)) {
				s.writeClose()
			}
			return
		}
	}
}

func (s *socket) writeFrames(frames [][]byte) bool {
	var message []byte
	for i := 0; i < len(frames); {
		if message = frames[i]; i+1 < len(frames) && len(message)+len(frames[i+1]) < frameBytes {
			message = append(make([]byte, 0, 2*(len(message)+len(frames[i+1]))), message...)
			for i+1 < len(frames) && len(message)+len(frames[i+1]) < frameBytes {
				i++
				message = append(append(message, '\n'), frames[i]...)
			}
		}
		i++
		if why := s.why.Load(); why != nil && *why == closeSlow {
			return true // there is no more to write than that
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.g.pace.write)) // never fails
		if s.conn.WriteMessage(websocket.TextMessage, message) != nil {
			return false
		}
	}
	return true
}

func (s *socket) writeClose() {
	why := closeGone
	if w := s.why.Load(); w != nil {
		why = *w
	}
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), time.Now().Add(s.g.pace.last))
}
