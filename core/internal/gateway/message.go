package gateway

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// A message is what one or several commands of a WebSocket came in. Tracks point
// into it, so it is paid for, out of the budget of bodies that are being worked on,
// until the last one of them is done: what waits is bounded for all connections
// together, not only for each.
type message struct {
	text  []byte
	lease lease
	users atomic.Int32 // its reader, until all commands are served, and its tracks
}

// trackRoom is what a track takes beside its line.
const trackRoom = 128

// hold makes one more track of the message pay for it. It is false where the
// budget does not allow that. Only the reader calls it.
func (m *message) hold() bool {
	room := trackRoom
	if m.lease.n == 0 { // a small one, which is free as long as nothing is kept of it
		room += cap(m.text)
	}
	if !m.lease.grow(room) {
		return false
	}
	m.keep()
	return true
}

// keep makes one more user, for who uses it already.
func (m *message) keep() { m.users.Add(1) }

// leave ends one use.
func (m *message) leave() {
	if m.users.Add(-1) == 0 {
		m.lease.end()
	}
}

// readMessage reads one message and serves the commands in it, a line each.
func (s *socket) readMessage() bool {
	limit := s.g.limits.Request + frameOverhead
	s.conn.SetReadLimit(int64(limit))
	_, r, err := s.conn.NextReader()
	if err != nil {
		return false
	}
	m := &message{lease: lease{budget: &s.g.bodies}}
	m.keep()
	defer m.leave()
	if err := m.receive(&arriving{r, &s.reads, time.Now().Add(s.g.pace.message)}, limit); err != nil {
		if errors.Is(err, errNoRoom) {
			s.end(closeBusy)
		}
		return false
	}
	s.reads.Add(1)
	for line := range bytes.SplitSeq(m.text, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !s.serveLine(m, line) {
			return false
		}
	}
	return s.why.Load() == nil
}

// receive reads a message of at most limit bytes. What has come of one that is larger
// than the connection's own buffer is paid for.
func (m *message) receive(r io.Reader, limit int) error {
	first := make([]byte, readBuffer)
	n, err := io.ReadFull(r, first)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		m.text = first[:n]
		return nil
	case err != nil:
		return err
	}
	m.text, err = readAll(io.MultiReader(bytes.NewReader(first), r), nil, 2*readBuffer, limit, &m.lease)
	return err
}

// arriving counts what it reads: a message that takes long to arrive is a sign
// of life, too, but not for ever.
type arriving struct {
	io.Reader
	reads *atomic.Uint64
	until time.Time
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 && time.Now().Before(a.until) {
		a.reads.Add(1)
	}
	return n, err
}
