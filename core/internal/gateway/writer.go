package gateway

import (
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
		if why := s.why.Load(); why != nil && *why == closeSlow || s.late(time.Now()) {
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
	deadline := time.Now().Add(s.g.pace.write)
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

func (s *socket) writeClose() {
	why := closeGone
	if w := s.why.Load(); w != nil {
		why = *w
	}
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.reason), time.Now().Add(s.g.pace.last))
}

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
