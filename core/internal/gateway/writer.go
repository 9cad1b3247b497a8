package gateway

import (
	"errors"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// frameBytes is how much of what waits goes into one message.
const frameBytes = 64 << 10

// write writes what is queued, several frames a message, until there is
// nothing more. At most one runs at a time.
func (s *socket) write() {
	var spare [][]byte
	for broken := false; ; {
		frames := s.queue.Take(spare)
		if len(frames) == 0 {
			return
		}
		if !broken && !s.writeFrames(frames) {
			broken = true // what follows goes nowhere
			s.end(closeGone)
		}
		spare = frames
	}
}

func (s *socket) writeFrames(frames [][]byte) bool {
	for len(frames) > 0 {
		n, size := 1, len(frames[0])
		for n < len(frames) && size+1+len(frames[n]) <= frameBytes {
			size += 1 + len(frames[n])
			n++
		}
		if s.reason() == closeSlow || s.late(time.Now()) {
			return true // there is no more to write than why
		}
		if !s.writeMessage(frames[:n]) {
			return false
		}
		frames = frames[n:]
	}
	return true
}

// late is true behind the time in which a connection that ends may write.
func (s *socket) late(at time.Time) bool {
	until := s.until.Load()
	return until != nil && at.After(*until)
}

// writeMessage writes frames as one message, a line each.
func (s *socket) writeMessage(frames [][]byte) bool {
	deadline := time.Now().Add(s.g.pace.stall)
	if s.late(deadline) {
		deadline = *s.until.Load()
	}
	_ = s.conn.SetWriteDeadline(deadline) // never fails
	if len(frames) == 1 {
		return s.conn.WriteMessage(websocket.TextMessage, frames[0]) == nil
	}
	message := s.g.sockets.messages.Get().(*[]byte)
	text := (*message)[:0]
	for i, frame := range frames {
		if i > 0 {
			text = append(text, '\n')
		}
		text = append(text, frame...)
	}
	err := s.conn.WriteMessage(websocket.TextMessage, text)
	*message = text
	s.g.sockets.messages.Put(message)
	return err == nil
}

// writeClose tells why the connection ends. It is false where that cannot be told.
func (s *socket) writeClose() bool {
	why, deadline := s.reason(), time.Now().Add(s.g.pace.last)
	if until := s.until.Load(); why == closeSlow && until != nil {
		deadline = *until
	}
	return s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), deadline) == nil
}

// linger waits until the client closes, too: it has a lot to read before it comes to
// why it is closed. What it sends meanwhile is read for nothing, since a connection
// that is closed with something unread is reset, and what was on its way is lost.
func (s *socket) linger() {
	conn := s.conn.NetConn()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	some := make([]byte, readBuffer)
	for !s.late(time.Now()) {
		_ = conn.SetReadDeadline(time.Now().Add(lingerLook))
		if _, err := conn.Read(some); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// lingerLook is how often a connection that lingers is looked at: it may have to hurry.
const lingerLook = 100 * time.Millisecond

// ping asks for a sign of life, and ends a connection that gave none after it
// was asked.
func (s *socket) ping() {
	s.beatMu.Lock()
	defer s.beatMu.Unlock()
	if s.ended {
		return
	}
	switch reads := s.reads.Load(); {
	case !s.pinged:
		s.pinged, s.before = true, reads
		s.send(pingFrame)
		s.beat.Reset(s.g.pace.pong)
	case reads == s.before:
		s.end(closeNoPong)
	default:
		s.pinged = false
		s.beat.Reset(s.g.pace.ping - s.g.pace.pong)
	}
}
