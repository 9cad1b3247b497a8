package gateway

import (
	"bytes"
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/live"
)

// A socket is one WebSocket connection. One goroutine reads commands; others
// are there only while there is something to write, or a track to work on. An
// idle connection has neither buffers for writing nor a parser.
type socket struct {
	g      *Gateway
	conn   *websocket.Conn
	origin string
	sender sender
	queue  *live.Queue

	// Of the reader alone.
	connected     bool
	session       string
	grant         *access.Grant // nil: it may not read
	expiry        *time.Timer   // nil: the grant does not end
	subscriptions []subscription

	key     atomic.Pointer[string] // write key; nil: none
	reads   atomic.Uint64          // signs of life
	why     atomic.Pointer[closing]
	until   atomic.Pointer[time.Time] // it is written until then; nil: it goes on
	writing sync.WaitGroup

	beatMu sync.Mutex
	beat   *time.Timer
	pinged bool   // an answer is waited for
	before uint64 // reads, when it was asked for
	ended  bool   // there is no beat any more

	ctx    context.Context // over with the reader, or with a reason to end: what waits gives up
	cancel context.CancelFunc
	tracks tracks
}

func newSocket(g *Gateway, conn *websocket.Conn, origin string) *socket {
	s := &socket{g: g, conn: conn, origin: origin, queue: live.NewQueue(g.limits.WriteQueue)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tracks.init(s)
	return s
}

// run serves the connection until it ends. bearer, key and token come from the
// handshake; where there are any, no connect has to follow.
func (s *socket) run(bearer, key, token string) {
	defer func() {
		if reason := recover(); reason != nil {
			s.g.log.Error("a WebSocket connection failed", "reason", reason, "stack", string(debug.Stack()))
			_ = s.conn.Close()
		}
	}()
	s.beatMu.Lock()
	s.beat = time.AfterFunc(s.g.pace.ping, s.ping)
	s.beatMu.Unlock()
	defer s.finish()
	greeted := false
	aside(func() { greeted = s.greet(bearer, key, token) })
	if greeted {
		s.read()
	}
}

// finish lets go of all that the connection has, and says why it ends.
func (s *socket) finish() {
	for _, one := range s.subscriptions {
		one.Close()
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.cancel()
	s.tracks.finish()
	s.beatMu.Lock()
	s.ended = true
	s.beat.Stop()
	s.beatMu.Unlock()
	s.hurry()        // the writer may have set a time of its own meanwhile
	s.writing.Wait() // nothing is sent any more
	if s.writeClose() && s.reason() == closeSlow {
		s.linger()
	}
	_ = s.conn.Close() // ended either way
}

// greet takes what the handshake has brought. A bearer token may be a key or a
// token.
func (s *socket) greet(bearer, key, token string) bool {
	if bearer != "" {
		key = bearer
		if _, unknown := s.g.current().sourceOf(bearer); unknown != nil {
			if _, refused := s.granted(bearer); refused == nil || refused.temporary() {
				key, token = "", bearer
			}
		}
	}
	return key == "" && token == "" || s.admit(0, key, token)
}

// end closes the connection for a reason; the first one counts, but a shutdown does
// not wait for who is being closed already. What is queued is still written, for a
// while. A slow reader is given no more than the rest of what it is in the middle of,
// without which it cannot be told why, and has longer for that.
func (s *socket) end(why closing) {
	if !s.why.CompareAndSwap(nil, &why) {
		if why == closeShutdown {
			s.stopWriting(0)
		}
		return
	}
	if why == closeSlow {
		s.stopWriting(s.g.pace.stall)
	} else {
		s.stopWriting(s.g.pace.write)
	}
	s.cancel()
	_ = s.conn.NetConn().SetReadDeadline(time.Unix(1, 0)) // wakes the reader
}

// stopWriting ends writing after a time, unless it ends before that anyway.
func (s *socket) stopWriting(after time.Duration) {
	until := time.Now().Add(after)
	for old := s.until.Load(); old == nil || until.Before(*old); old = s.until.Load() {
		if s.until.CompareAndSwap(old, &until) {
			s.hurry()
			return
		}
	}
}

// hurry bounds a write that is stuck by the time at which writing ends.
func (s *socket) hurry() {
	if until := s.until.Load(); until != nil {
		_ = s.conn.NetConn().SetWriteDeadline(*until)
	}
}

// reason is why the connection ends.
func (s *socket) reason() closing {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return closeGone
}

func (s *socket) cut() {
	s.cancel()
	_ = s.conn.NetConn().Close() // it is gone either way
}

// send queues an answer or a push. It is false for a reader that is too slow.
func (s *socket) send(frame []byte) bool {
	first, ok := s.queue.Push(frame)
	if first {
		s.writing.Go(s.write)
	}
	if !ok {
		s.end(closeSlow)
	}
	return ok
}

// Push, Room and Lost implement [live.Sink]. Nothing is pushed once the
// connection has a reason to end.
func (s *socket) Push(frame []byte) bool { return s.why.Load() == nil && s.send(frame) }

// Room waits until most of what is queued was written.
func (s *socket) Room(ctx context.Context, wait time.Duration) bool { return s.queue.Room(ctx, wait) }

// Lost ends the connection: its client comes back and is told where it stands.
func (s *socket) Lost(string) { s.end(closeLost) }

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

// serveLine serves a command, and anything but a track aside: what a connection
// says that then only listens would leave it with a deep stack.
func (s *socket) serveLine(m *message, line []byte) (served bool) {
	if bytes.Contains(line[:min(len(line), 64)], []byte(`"track"`)) {
		return s.serve(m, line)
	}
	aside(func() { served = s.serve(m, line) })
	return served
}

// serve is false where the connection has to end.
func (s *socket) serve(m *message, line []byte) bool {
	p := s.g.sockets.parsers.Get().(*parser)
	p.nesting = s.g.limits.Nesting
	c, refused := p.parseCommand(line)
	p.forget()
	s.g.sockets.parsers.Put(p)
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
		if s.key.Load() == nil {
			s.refuse(c.id, refuse(http.StatusUnauthorized, codeUnauthorized, "connect with a key to send"))
			break
		}
		if !m.hold() {
			s.refuse(c.id, errBusy)
			break
		}
		s.tracks.add(track{id: c.id, events: c.events, wait: c.wait, session: s.session, size: len(line) + trackRoom, message: m})
	case "subscribe":
		s.subscribe(c)
	case "unsubscribe":
		s.unsubscribe(c)
	case "refresh":
		s.refresh(c)
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
		if refused := s.take(token); refused != nil {
			s.refuse(id, refused)
			s.end(closingOf(refused))
			return false
		}
	}
	if key == "" && token == "" && !s.connected {
		s.refuse(id, refuse(http.StatusUnauthorized, codeUnauthorized, "connect needs a key, which may send, or a token, which may read"))
		s.end(closeNobody)
		return false
	}
	s.connected = true
	if id > 0 {
		s.send(connectedFrame(id, s.session, &s.g.limits, s.g.pace.ping))
	}
	return true
}
