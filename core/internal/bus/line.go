package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"
)

// A line is one connection for messages that are answered: published and
// acknowledged, or asked and replied.
//
// What the server takes of one connection is a prefix of what was sent on it.
// A line keeps that true for its users: it never reconnects beneath them, but
// ends, failing all that waits for an answer, and the next exchange dials anew.
// So a message that was lost is never followed by one that was sent after it on
// the same connection and was stored.
type line struct {
	dial   func(options ...nats.Option) (*nats.Conn, error)
	window *semaphore.Weighted // bytes in flight; nil: its users bound them

	dialling sync.Mutex // held while a connection is made
	mu       sync.Mutex
	conn     *nats.Conn
	inbox    string // what the reply subjects of conn begin with
	closed   bool
	next     uint64
	// free are numbers to use again, those of answered exchanges: the server
	// remembers the route to a reply subject that it has seen lately.
	free    []uint64
	pending map[uint64]pendingExchange
}

// An exchange is one message and what became of it.
type exchange struct {
	subject string
	header  []field
	data    []byte

	reply *nats.Msg
	err   error
}

// A field is one header of a message.
type field struct{ name, value string }

type pendingExchange struct {
	*exchange
	batch *exchangeBatch
	conn  *nats.Conn
}

// An exchangeBatch counts what is open of one call, the call itself included.
type exchangeBatch struct {
	open int // guarded by line.mu
	done chan struct{}
}

const (
	lineWindow = 16 << 20
	// exchangeCost is what a message weighs in the window beside its data.
	exchangeCost = 512
)

var (
	errBroken = fmt.Errorf("%w: the connection was lost", ErrNoAck)
	errClosed = fmt.Errorf("%w: it is closed", ErrUnavailable)
	errNobody = fmt.Errorf("%w: nobody answers on it", ErrUnavailable)
)

func newLine(dial func(...nats.Option) (*nats.Conn, error)) *line {
	return &line{dial: dial, window: semaphore.NewWeighted(lineWindow), pending: map[uint64]pendingExchange{}}
}

// do sends all messages in order and waits for the answers. Each exchange then
// has its reply or its error; an error of the transport wraps ErrNoAck or
// ErrUnavailable, or is the context's. No answer within the timeout ends the
// connection; a context that ends does not. The data is not read any more when
// do returns.
func (l *line) do(ctx context.Context, timeout time.Duration, list []*exchange) {
	if timeout <= 0 {
		fail(list, ErrNoAck)
		return
	}
	conn, inbox, err := l.connection()
	if err != nil {
		fail(list, err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrNoAck)
	defer cancel()
	l.over(ctx, conn, inbox, list)
}

// wait exchanges a message whose answer takes as long as it takes: only the
// context ends the wait for it, and never the connection.
func (l *line) wait(ctx context.Context, x *exchange) {
	conn, inbox, err := l.connection()
	if err != nil {
		x.reply, x.err = nil, err
		return
	}
	l.over(ctx, conn, inbox, []*exchange{x})
}

// over sends messages over a connection and waits for the answers. It ends the
// connection where the context ends because of ErrNoAck.
func (l *line) over(ctx context.Context, conn *nats.Conn, inbox string, list []*exchange) {
	batch := &exchangeBatch{open: 1, done: make(chan struct{})}
	ids := l.send(ctx, conn, inbox, batch, list)
	l.mu.Lock()
	l.release(batch)
	l.mu.Unlock()
	select {
	case <-batch.done:
		return
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrNoAck) {
		l.end(conn, cause)
	}
	for _, id := range ids {
		l.settle(id, batch, nil, cause)
	}
	<-batch.done
}

// one exchanges a single message.
func (l *line) one(ctx context.Context, timeout time.Duration, x *exchange) (*nats.Msg, error) {
	l.do(ctx, timeout, []*exchange{x})
	return x.reply, x.err
}

// close ends the line for good.
func (l *line) close() {
	l.dialling.Lock()
	defer l.dialling.Unlock()
	l.mu.Lock()
	conn := l.conn
	l.closed = true
	l.mu.Unlock()
	if conn != nil {
		l.end(conn, errClosed)
	}
}

// send registers and publishes the messages, and returns the numbers of all that
// were registered.
func (l *line) send(ctx context.Context, conn *nats.Conn, inbox string, batch *exchangeBatch, list []*exchange) []uint64 {
	ids := make([]uint64, 0, len(list))
	var headers headers
	for i, x := range list {
		if l.window != nil {
			if err := l.window.Acquire(ctx, x.cost()); err != nil {
				fail(list[i:], context.Cause(ctx))
				return ids
			}
		}
		l.mu.Lock()
		id := l.number()
		l.pending[id] = pendingExchange{exchange: x, batch: batch, conn: conn}
		batch.open++
		l.mu.Unlock()
		ids = append(ids, id)
		err := conn.PublishMsg(&nats.Msg{
			Subject: x.subject, Reply: inbox + strconv.FormatUint(id, 36), Header: headers.of(x), Data: x.data,
		})
		switch {
		case err == nil:
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
			l.settle(id, batch, nil, err)
		default:
			err = fmt.Errorf("%w: %w", errBroken, err)
			l.settle(id, batch, nil, err)
			fail(list[i+1:], err)
			return ids
		}
	}
	return ids
}

// number is called with mu held.
func (l *line) number() uint64 {
	if n := len(l.free); n > 0 {
		id := l.free[n-1]
		l.free = l.free[:n-1]
		return id
	}
	l.next++
	return l.next
}

// headers is room for the header of one message after another, each of which is
// encoded before the next.
type headers struct {
	header nats.Header
	values []string
}

func (h *headers) of(x *exchange) nats.Header {
	if len(x.header) == 0 {
		return nil
	}
	if len(h.values) < len(x.header) {
		h.header, h.values = make(nats.Header, len(x.header)), make([]string, len(x.header))
	}
	clear(h.header)
	for i, f := range x.header {
		h.values[i] = f.value
		h.header[f.name] = h.values[i : i+1 : i+1]
	}
	return h.header
}

func (x *exchange) cost() int64 { return int64(len(x.data)) + exchangeCost }

func fail(list []*exchange, err error) {
	for _, x := range list {
		x.reply, x.err = nil, err
	}
}

// settle gives an exchange its outcome, unless it has one or, where batch is
// given, belongs to another call.
func (l *line) settle(id uint64, batch *exchangeBatch, reply *nats.Msg, err error) {
	l.mu.Lock()
	p, open := l.pending[id]
	if !open || batch != nil && p.batch != batch {
		l.mu.Unlock()
		return
	}
	delete(l.pending, id)
	if reply != nil { // else its answer may still come
		l.free = append(l.free, id)
	}
	p.reply, p.err = reply, err
	cost := p.cost()
	l.release(p.batch)
	l.mu.Unlock()
	if l.window != nil {
		l.window.Release(cost)
	}
}

// release is called with mu held.
func (l *line) release(batch *exchangeBatch) {
	if batch.open--; batch.open == 0 {
		close(batch.done)
	}
}

// end closes a connection and fails all that waits on it.
func (l *line) end(conn *nats.Conn, err error) {
	l.mu.Lock()
	if l.conn == conn {
		l.conn = nil
	}
	var open []uint64
	for id, p := range l.pending {
		if p.conn == conn {
			open = append(open, id)
		}
	}
	l.mu.Unlock()
	conn.Close()
	for _, id := range open {
		l.settle(id, nil, nil, err)
	}
}

// connection returns the connection, dialling where there is none.
func (l *line) connection() (*nats.Conn, string, error) {
	if conn, inbox, err := l.current(); conn != nil || err != nil {
		return conn, inbox, err
	}
	l.dialling.Lock()
	defer l.dialling.Unlock()
	if conn, inbox, err := l.current(); conn != nil || err != nil {
		return conn, inbox, err
	}
	conn, err := l.dial(nats.NoReconnect(), nats.ClosedHandler(func(conn *nats.Conn) { l.end(conn, errBroken) }))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	inbox := conn.NewInbox() + "."
	if _, err := conn.Subscribe(inbox+"*", l.receive); err != nil {
		conn.Close()
		return nil, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.mu.Lock()
	l.conn, l.inbox = conn, inbox
	l.mu.Unlock()
	if conn.IsClosed() { // before it was known here
		l.end(conn, errBroken)
	}
	return conn, inbox, nil
}

func (l *line) current() (*nats.Conn, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, "", errClosed
	}
	return l.conn, l.inbox, nil
}

func (l *line) receive(m *nats.Msg) {
	id, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil {
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		l.settle(id, nil, nil, errNobody)
		return
	}
	l.settle(id, nil, m, nil)
}
