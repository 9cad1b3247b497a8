package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A connection is one that stays: a WebSocket, or server-sent events.
type connection interface {
	end(why closing)
	cut() // without a word
}

// sockets are the connections that are open.
type sockets struct {
	mu       sync.Mutex
	open     map[connection]struct{}
	draining bool
	closed   sync.WaitGroup
	// What idle connections do not need:
	writes   sync.Pool // write buffers
	messages sync.Pool // *[]byte, for frames that are written together
	parsers  sync.Pool // *parser
}

func (s *sockets) init() {
	s.open = map[connection]struct{}{}
	s.messages.New = func() any { return new([]byte) }
	s.parsers.New = func() any { return &parser{} }
}

func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// add is false where there are too many connections, or none is wanted any
// more.
func (s *sockets) add(c connection, most int) (ok bool, why closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return false, closeShutdown
	case len(s.open) >= most:
		return false, closeConnections
	}
	s.open[c] = struct{}{}
	s.closed.Add(1)
	return true, closing{}
}

func (s *sockets) remove(c connection) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.closed.Done()
}

// maxSpread bounds the time over which connections are closed at a drain.
const maxSpread = 5 * time.Second

// drain closes all connections, each at a random moment of the first half of
// the time left, and waits until they are gone.
func (s *sockets) drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	open := make([]connection, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	spread := maxSpread
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, time.Until(deadline)/2)
	}
	for _, c := range open {
		delay := time.Duration(0)
		if spread > 0 && len(open) > 1 {
			delay = rand.N(spread)
		}
		timer := time.AfterFunc(delay, func() { c.end(closeShutdown) })
		defer timer.Stop()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.closed.Wait()
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	left := s.count()
	s.cut()
	select {
	case <-gone:
	case <-time.After(afterCut): // one waits for a bus that does not answer
	}
	return fmt.Errorf("drain the gateway: %d live connections cut: %w", left, ctx.Err())
}

// afterCut is how long a connection that was cut may take to end.
const afterCut = time.Second

// cut closes all connections without a word.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.cut()
	}
}

func init() { handle(http.MethodGet, "/ws", serveSocket) }

// readBuffer holds a usual command; of a larger one the rest is read past it.
const readBuffer = 512

// serveSocket serves GET /ws. Any page may open a connection: it is the key
// that counts, and its source's origins are looked at when it is given.
func serveSocket(g *Gateway, w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: g.pace.connect, ReadBufferSize: readBuffer, WriteBufferSize: 1024, WriteBufferPool: &g.sockets.writes,
		CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			refuse(status, codeMalformed, "no WebSocket handshake: "+reason.Error()).write(w)
		},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	s := newSocket(g, conn, r.Header.Get("Origin"))
	s.sender = g.sender(r)
	if ok, why := g.sockets.add(s, g.limits.Connections); !ok {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), time.Now().Add(g.pace.last))
		_ = conn.Close()
		return
	}
	query := r.URL.Query()
	bearer, key, token := headerKey(r.Header), query.Get("key"), query.Get("token")
	// A goroutine of its own: this one holds on to the buffers of the request,
	// which would be half of what an idle connection costs.
	go func() {
		defer g.sockets.remove(s)
		s.run(bearer, key, token)
	}()
}
