package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// A httpLoad is requests that post events over keep-alive connections, as many
// as the server answers, or as many as the rate says.
type httpLoad struct {
	events int     // in a request
	types  int     // that they are of, in turn; 0 is one
	rate   float64 // requests a second of all connections together; 0: no pause after an answer
	// browser has the events sent as a page in a browser does.
	browser bool
	// accepted tells whether an answer says that all events of its request
	// were taken in.
	accepted func(body []byte, events int) bool
	// sent, unless nil, counts the events that were taken in, as it goes.
	sent *atomic.Int64
}

var retryStatus = []byte(`"status":"retry"`)

// allAccepted tells whether the product's answer says so of every event.
func allAccepted(body []byte, events int) bool { return bytes.Count(body, acceptedStatus) == events }

var acceptedStatus = []byte(`"status":"accepted"`)

// on makes the load one on a server.
func (h httpLoad) on(at server, over span) *load {
	return &load{server: at, span: over, connect: func(ctx context.Context, i int, start time.Time) (sender, error) {
		c, err := dialHTTP(ctx, at.address)
		if err != nil {
			return nil, err
		}
		headers, body := "", eventsText(start, h.events, h.types)
		if h.browser {
			headers, body = browserHeaders, browsed(body)
		}
		text := requestText(at.address, "/v1/events", writeKey, headers, body)
		return &httpSender{
			conn: c, load: h, schedule: newSchedule(h.rate, i, over.connections, start),
			request: newPayload(text, blocks.Add(1), users),
		}, nil
	}}
}

type httpSender struct {
	conn     *httpConn
	load     httpLoad
	schedule *schedule
	request  *payload
}

func (s *httpSender) net() net.Conn { return s.conn.conn }

func (s *httpSender) send(w *window, r *loadResult) error {
	for {
		due := s.schedule.next()
		// By the clock: what a server that is too slow for the rate should
		// have got by then is not sent.
		now := s.schedule.now()
		if w.over(now) && r.requests > 0 {
			return nil
		}
		counts := w.counts(now)
		a, err := s.conn.exchange(s.request.next())
		if err != nil {
			return err
		}
		if counts {
			r.requests++
			r.latency.record(time.Since(due))
		}
		events := s.load.events
		if a.status != http.StatusOK || !s.load.accepted(a.body, events) {
			r.fault(a.status == http.StatusServiceUnavailable || bytes.Contains(a.body, retryStatus), a.body)
			continue
		}
		r.all += int64(events)
		if s.load.sent != nil {
			s.load.sent.Add(int64(events))
		}
	}
}

// An httpConn is one keep-alive connection that knows just enough of HTTP/1.1
// to send bytes that were built ahead and to tell where an answer ends. It
// costs a tenth of what net/http's client does, which matters where load and
// server share the processors.
type httpConn struct {
	conn net.Conn
	buf  []byte
	read int // bytes of buf that are filled
	used int // of these, the bytes of the answer returned last
	body []byte
}

// An answer is valid until the next exchange on its connection.
type answer struct {
	status  int
	body    []byte
	chunked bool // the body was sent in chunks
}

const maxAnswer = 4 << 20

// dialHTTP connects to host:port.
func dialHTTP(ctx context.Context, address string) (*httpConn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &httpConn{conn: conn, buf: make([]byte, 16<<10)}, nil
}

// exchange sends a request and reads its answer.
func (c *httpConn) exchange(request []byte) (answer, error) {
	if _, err := c.conn.Write(request); err != nil {
		return answer{}, fmt.Errorf("send a request: %w", err)
	}
	c.read, c.used = copy(c.buf, c.buf[c.used:c.read]), 0
	for {
		a, size, err := parseAnswer(c.buf[:c.read], c.body[:0])
		if err != nil {
			return answer{}, err
		}
		if size > 0 && size <= c.read {
			c.used = size
			if a.chunked {
				c.body = a.body
			}
			return a, nil
		}
		if err := c.fill(size); err != nil {
			return answer{}, err
		}
	}
}

// fill reads more, and makes room for an answer of the size, if that is known.
func (c *httpConn) fill(size int) error {
	if c.read == len(c.buf) || size > len(c.buf) {
		if c.read > maxAnswer {
			return errLargeAnswer
		}
		grown := make([]byte, max(size, 2*len(c.buf)))
		copy(grown, c.buf[:c.read])
		c.buf = grown
	}
	n, err := c.conn.Read(c.buf[c.read:])
	c.read += n
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return nil
}

var (
	newLine       = []byte("\r\n")
	headerEnd     = []byte("\r\n\r\n")
	statusLine    = []byte("HTTP/1.1 ")
	contentLength = []byte("\r\nContent-Length: ")
	inChunks      = []byte("\r\nTransfer-Encoding: chunked\r\n")

	errNoAnswer    = errors.New("the server does not answer in HTTP/1.1")
	errNoLength    = errors.New("the server does not say how long its answer is")
	errLargeAnswer = fmt.Errorf("the server answers with more than %d bytes", maxAnswer)
)

// parseAnswer reads the answer at the front of text. The size is that of the
// whole answer, which may be more than there is yet, or 0 where it cannot be
// told yet. A body in chunks is appended to scratch.
func parseAnswer(text, scratch []byte) (a answer, size int, err error) {
	if n := min(len(text), len(statusLine)); !bytes.Equal(text[:n], statusLine[:n]) {
		return answer{}, 0, errNoAnswer
	}
	end := bytes.Index(text, headerEnd)
	if end < 0 {
		return answer{}, 0, nil
	}
	header := text[:end+len(newLine)]
	if len(header) < len(statusLine)+3 {
		return answer{}, 0, errNoAnswer
	}
	if a.status, err = strconv.Atoi(string(header[len(statusLine) : len(statusLine)+3])); err != nil {
		return answer{}, 0, errNoAnswer
	}
	body := end + len(headerEnd)
	at := bytes.Index(header, contentLength)
	switch {
	case at >= 0:
		digits, _, _ := bytes.Cut(header[at+len(contentLength):], newLine)
		if size, err = parseLength(digits, 10); err == nil {
			if size += body; size <= len(text) {
				a.body = text[body:size]
			}
		}
	case bytes.Contains(header, inChunks):
		a.chunked = true
		if a.body, size, err = parseChunks(text[body:], scratch); size > 0 {
			size += body
		}
	default:
		err = errNoLength
	}
	return a, size, err
}

// parseChunks appends what the chunks at the front of text hold. The size is
// that of all of them, or 0 where the last one has not come yet. Trailers are
// not expected.
func parseChunks(text, to []byte) (body []byte, size int, err error) {
	for at := 0; ; {
		digits, rest, found := bytes.Cut(text[at:], newLine)
		if !found {
			return to, 0, nil
		}
		length, err := parseLength(digits, 16)
		if err != nil {
			return to, 0, err
		}
		if len(rest) < length+len(newLine) {
			return to, 0, nil
		}
		to = append(to, rest[:length]...)
		at += len(digits) + length + 2*len(newLine)
		if length == 0 {
			return to, at, nil
		}
	}
}

func parseLength(digits []byte, base int) (int, error) {
	n, err := strconv.ParseUint(string(digits), base, 63)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > maxAnswer:
		return 0, errLargeAnswer
	case err != nil:
		return 0, errNoLength
	}
	return int(n), nil
}
