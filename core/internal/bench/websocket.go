package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// A socketLoad is track messages of one event each, of a page in a browser, over
// WebSockets. A connection has a number of messages on the way and sends one for each
// acknowledgement.
type socketLoad struct {
	inFlight int
	connect  bool // the server wants to be told the write key
}

func (l socketLoad) on(at server, over span) *load {
	return &load{server: at, span: over, connect: func(ctx context.Context, _ int, start time.Time) (sender, error) {
		s, err := dialSocket(ctx, at.address)
		if err != nil {
			return nil, err
		}
		s.inFlight = l.inFlight
		message := `{"id":` + frameMark + `,"track":{"events":[` + browsed(eventText(start)) + `]}}`
		frame := clientFrame(message)
		s.message = newPayload(frame, blocks.Add(1), users)
		s.number = bytes.Index(s.message.text, []byte(frameMark))
		if !l.connect {
			return s, nil
		}
		if err := s.authenticate(); err != nil {
			s.conn.Close()
			return nil, err
		}
		return s, nil
	}}
}

// frameMark is the first message's number; the others are as long.
const frameMark = "1000000000"

// A socket is one WebSocket that knows just enough of RFC 6455 for text frames
// in one piece.
type socket struct {
	conn     net.Conn
	buf      []byte
	read     int // bytes of buf that are filled
	message  *payload
	number   int // where the message's number begins
	inFlight int
}

func (s *socket) net() net.Conn { return s.conn }

// dialSocket connects to host:port and opens the WebSocket at /ws, as a browser.
func dialSocket(ctx context.Context, address string) (*socket, error) {
	return dialSocketWith(ctx, address, browserHeaders, 64<<10)
}

// dialSocketWith is dialSocket with other headers, each of which ends in a line
// break, and a buffer of so many bytes, which the largest frame has to fit.
func dialSocketWith(ctx context.Context, address, headers string, buffer int) (*socket, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, buf: make([]byte, buffer)}
	if err := s.upgrade(address, headers); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) upgrade(host, headers string) error {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	const request = "GET /ws HTTP/1.1\r\nHost: %s\r\n%sConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := fmt.Fprintf(s.conn, request, host, headers); err != nil {
		return fmt.Errorf("ask for a WebSocket: %w", err)
	}
	for {
		if end := bytes.Index(s.buf[:s.read], headerEnd); end >= 0 {
			if !bytes.HasPrefix(s.buf, []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("ask for a WebSocket: the server answers %.200q", s.buf[:s.read])
			}
			s.drop(end + len(headerEnd))
			return nil
		}
		if err := s.fill(); err != nil {
			return fmt.Errorf("ask for a WebSocket: %w", err)
		}
	}
}

func (s *socket) authenticate() error {
	message := `{"id":1,"connect":{"key":"` + writeKey + `"}}`
	if _, err := s.conn.Write([]byte(clientFrame(message))); err != nil {
		return fmt.Errorf("say connect: %w", err)
	}
	for {
		text, size, err := parseFrame(s.buf[:s.read])
		switch {
		case err != nil:
			return fmt.Errorf("say connect: %w", err)
		case size == 0:
			if err := s.fill(); err != nil {
				return fmt.Errorf("say connect: %w", err)
			}
		case !bytes.Contains(text, []byte(`"connected"`)):
			return fmt.Errorf("say connect: the server answers %.200q", text)
		default:
			s.drop(size)
			return nil
		}
	}
}

var (
	ackText     = []byte(`"ack":`)
	pingText    = []byte(`{"ping":`)
	errorText   = []byte(`"error":`)
	retryText   = []byte(`"temporary":true`)
	pongMessage = clientFrame(`{"pong":{}}`)
)

func (s *socket) send(w *window, r *loadResult) error {
	// Messages are answered in the order in which they were sent.
	times := make([]time.Time, s.inFlight)
	var sent, answered int
	var out []byte
	for {
		now := time.Now()
		over := w.over(now) && r.requests > 0
		for !over && sent-answered < s.inFlight {
			addOne(s.message.text[s.number : s.number+len(frameMark)])
			out = append(out, s.message.next()...)
			times[sent%s.inFlight] = now
			sent++
		}
		if len(out) > 0 {
			if _, err := s.conn.Write(out); err != nil {
				return fmt.Errorf("send a message: %w", err)
			}
			out = out[:0]
		}
		if sent == answered {
			return nil
		}
		if err := s.fill(); err != nil {
			return fmt.Errorf("read an acknowledgement: %w", err)
		}
		used := 0
		for {
			text, size, err := parseFrame(s.buf[used:s.read])
			if err != nil {
				return err
			}
			if size == 0 {
				break
			}
			used += size
			for line := range bytes.Lines(text) {
				switch {
				case bytes.HasPrefix(line, pingText):
					out = append(out, pongMessage...)
				case answered == sent:
					return fmt.Errorf("the server says %.200q unasked", line)
				default:
					s.answer(line, times[answered%s.inFlight], w, r)
					answered++
				}
			}
		}
		s.drop(used)
	}
}

// answer counts what one message was answered.
func (s *socket) answer(line []byte, sent time.Time, w *window, r *loadResult) {
	if w.counts(sent) {
		r.requests++
		r.latency.record(time.Since(sent))
	}
	if !bytes.Contains(line, ackText) || !bytes.Contains(line, acceptedStatus) || bytes.Contains(line, errorText) {
		r.fault(bytes.Contains(line, retryText) || bytes.Contains(line, retryStatus), line)
		return
	}
	r.all++
}

// fill reads more.
func (s *socket) fill() error {
	if s.read == len(s.buf) {
		return fmt.Errorf("a frame is larger than %d bytes", len(s.buf))
	}
	n, err := s.conn.Read(s.buf[s.read:])
	s.read += n
	return err
}

// drop forgets the front of what was read.
func (s *socket) drop(size int) {
	s.read = copy(s.buf, s.buf[size:s.read])
}

// clientFrame is a text frame with a message. Its mask is zero, which leaves
// the message as it is: what a mask protects from does not stand between this
// process and the server.
func clientFrame(message string) string {
	frame := []byte{0x81, 0x80 | 126}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(message)))
	return string(append(frame, 0, 0, 0, 0)) + message
}

var errFrame = errors.New("the server sends a frame that is no text in one piece")

// parseFrame reads the frame at the front of text; its size is 0 where it is
// not complete.
func parseFrame(text []byte) (message []byte, size int, err error) {
	if len(text) < 2 {
		return nil, 0, nil
	}
	if text[0] != 0x81 || text[1]&0x80 != 0 {
		return nil, 0, errFrame
	}
	header, length := 2, uint64(text[1])
	switch length {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	if len(text) < header {
		return nil, 0, nil
	}
	switch header {
	case 4:
		length = uint64(binary.BigEndian.Uint16(text[2:]))
	case 10:
		length = binary.BigEndian.Uint64(text[2:])
	}
	if length > uint64(len(text)-header) {
		return nil, 0, nil
	}
	size = header + int(length)
	return text[header:size], size, nil
}
