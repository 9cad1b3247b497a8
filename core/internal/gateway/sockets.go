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

// sockets are the WebSocket connections that are open.
type sockets struct {
	mu       sync.Mutex
	open     map[*socket]struct{}
	draining bool
	closed   sync.WaitGroup
	writes   sync.Pool // write buffers, which idle connections do not need
}

func (s *sockets) init() { s.open = map[*socket]struct{}{} }

func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// add is false where there are too many connections, or none is wanted any
// more.
func (s *sockets) add(socket *socket, most int) (ok bool, why closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return false, closeShutdown
	case len(s.open) >= most:
		return false, closeConnections
	}
	s.open[socket] = struct{}{}
	s.closed.Add(1)
	return true, closing{}
}

func (s *sockets) remove(socket *socket) {
	s.mu.Lock()
	delete(s.open, socket)
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
	open := make([]*socket, 0, len(s.open))
	for socket := range s.open {
		open = append(open, socket)
	}
	s.mu.Unlock()
	spread := maxSpread
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, time.Until(deadline)/2)
	}
	for _, socket := range open {
		delay := time.Duration(0)
		if spread > 0 && len(open) > 1 {
			delay = rand.N(spread)
		}
		timer := time.AfterFunc(delay, func() { socket.end(closeShutdown) })
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
	<-gone
	return fmt.Errorf("drain the gateway: %d WebSocket connections cut: %w", left, ctx.Err())
}

// cut closes all connections without a word.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.open {
		_ = socket.conn.NetConn().Close() // it is gone either way
	}
}

func init() { handle(http.MethodGet, "/ws", serveSocket) }

// serveSocket serves GET /ws. Any page may open a connection: it is the key
// that counts, and its source's origins are looked at when it is given.
func serveSocket(g *Gateway, w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: g.pace.connect, ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &g.sockets.writes,
		CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			refuse(status, codeMalformed, "no WebSocket handshake: "+reason.Error()).write(w)
		},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	query := r.URL.Query()
	s := newSocket(g, conn, r.Header.Get("Origin"))
	s.sender = g.sender(r)
	if ok, why := g.sockets.add(s, g.limits.Connections); !ok {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), time.Now().Add(g.pace.last))
		_ = conn.Close()
		return
	}
	defer g.sockets.remove(s)
	key, token := headerKey(r.Header), query.Get("token")
	if _, unknown := g.current().sourceOf(key); unknown != nil && s.readsWith(key) {
		key, token = "", key // a bearer token may be either
	}
	if key == "" {
		key = query.Get("key")
	}
	s.run(key, token)
}
