package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A stream that is pushed to all the time ends when its token does: what was
// pushed before arrives, and nothing is pushed after.
func TestServerSentEventsExpireUnderConstantPushes(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	expires := time.Now().Add(2 * time.Second)
	s := f.listen(t, "/sse/events?token="+webToken(t, -3*time.Second, "events")) // within the leeway of 5 s
	stream := f.one(t).(*eventStream)
	pushed := make(chan int, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		n, pad := 0, strings.Repeat("x", 1000)
		for ctx.Err() == nil && stream.Push(fmt.Appendf(nil, `{"push":{"channel":"events","offset":%d,"data":{"n":%d,"pad":%q}}}`, n, n, pad)) {
			n++
			stream.Room(ctx, time.Minute)
		}
		pushed <- n
	}()
	got := 0
	for {
		e := s.event()
		if e["event"] == "closed" {
			if e["data"] != `{"code":3005,"reason":"token expired"}` {
				t.Errorf("%v", e)
			}
			break
		}
		if e["event"] == "subscribed" {
			continue
		}
		if want := fmt.Sprintf(`{"n":%d,`, got); !strings.HasPrefix(e["data"], want) {
			t.Fatalf("got %.40s, want %s", e["data"], want)
		}
		got++
		if time.Since(expires) > 10*time.Second {
			t.Fatal("the stream outlives its token")
		}
	}
	if n := <-pushed; n != got {
		t.Errorf("%d events were pushed, and %d arrived", n, got)
	}
	if stream.Push([]byte("x")) {
		t.Error("it takes what is pushed after its end")
	}
	f.none(t, 5*time.Second)
}

// Nothing is written to a stream that was cut.
func TestServerSentEventsCut(t *testing.T) {
	wrote := make(chan bool, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &eventStream{g: &Gateway{pace: usualPace}, w: w, out: http.NewResponseController(w), queue: live.NewQueue(100)}
		s.ctx, s.cancel = context.WithCancel(r.Context())
		defer s.cancel()
		s.cut()
		wrote <- s.write([]byte("x"))
		s.end(closeSlow)
		wrote <- s.write([]byte("x"))
	}))
	t.Cleanup(server.Close)
	if response, err := http.Get(server.URL); err == nil {
		response.Body.Close()
	}
	for range 2 {
		if <-wrote {
			t.Error("it was written to after it was cut")
		}
	}
}

// A reader that takes what is left for it bit by bit does not hold an end up.
func TestEndsAreInTime(t *testing.T) {
	const frames, size = 600, 16 << 10
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 2 * frames * size })
	f.pace.write, f.pace.last = time.Second, time.Second
	frame := bytes.Repeat([]byte("x"), size)
	dial := func(t *testing.T, request string) {
		conn, err := net.Dial("tcp", f.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for some := make([]byte, 16<<10); ; time.Sleep(10 * time.Millisecond) { // 6 s for all
				if _, err := conn.Read(some); err != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { conn.Close(); <-done })
	}
	for name, c := range map[string]struct {
		request string
		send    func(connection) bool
	}{
		"WebSocket": {"GET /ws?token=t HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
			func(c connection) bool { return c.(*socket).Push(frame) }},
		"SSE": {"GET /sse/events?token=t HTTP/1.1\r\nHost: x\r\n\r\n",
			func(c connection) bool { return c.(*eventStream).Push(frame) }},
	} {
		t.Run(name, func(t *testing.T) {
			dial(t, c.request)
			one := f.one(t)
			for range frames {
				if !c.send(one) {
					t.Fatal("it is full")
				}
			}
			one.end(closeExpired)
			if c.send(one) {
				t.Error("it takes what is pushed after its end")
			}
			f.none(t, 3*time.Second)
		})
	}
}

// Whoever is in the middle of a long message is alive.
func TestSocketSlowMessage(t *testing.T) {
	f := newFixture(t, nil)
	f.pace.ping, f.pace.pong = 550*time.Millisecond, 500*time.Millisecond
	c := f.dial(t, "?key=shop-key")
	w, err := c.conn.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{`{"id":1,"track":{"events":[{"id":"a","type":"x","properties":{"pad":"`}
	for range 6 {
		parts = append(parts, strings.Repeat("x", 4200)) // more than what the client keeps back
	}
	for _, part := range append(parts, `"}}]}}`) {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	line := c.line()
	for line == `{"ping":{}}` {
		line = c.line()
	}
	if line != `{"id":1,"ack":{"results":[{"id":"a","status":"accepted"}]}}` {
		t.Error(line)
	}
}

// What a connection listens to goes with it, also where a command fails in a
// way that nobody has foreseen.
func TestSocketPanics(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) {
		var err error
		o.Readers, err = access.New(access.Options{Admin: func(token string) bool {
			if token == "unforeseen" {
				panic(token)
			}
			return true
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
	c := f.dial(t, "?token=t")
	c.send(`{"id":1,"subscribe":{"channel":"events"}}`)
	c.line()
	c.send(`{"id":2,"refresh":{"token":"unforeseen"}}`)
	if code := c.closed(); code != 3000 {
		t.Errorf("closed with %d, want 3000", code)
	}
	f.none(t, 5*time.Second)
	if n := f.options.Live.Count(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// Tracks that fail so are answered for good, by themselves; others, the connection
// and the process go on, and nobody is left to wait.
func TestSocketTrackPanics(t *testing.T) {
	faulty := &faultyBus{}
	faulty.append = func(entries []bus.Entry) error {
		for _, e := range entries {
			if bytes.Contains(e.Commands, []byte("unforeseen")) {
				panic("unforeseen")
			}
		}
		return faulty.Bus.Append(t.Context(), entries)
	}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus = faulty
		o.Indexed = func(context.Context, record.Outcome) error { panic("unforeseen") }
	})
	f.fold(t, applied)
	c := f.dial(t, "?key=shop-key")
	const failed = `"error":{"code":"failed","message":"the gateway failed on these events; see its log"}}`
	// The first one is on its way by itself or not; the others go together.
	c.send(`{"id":1,"track":{"events":[{"id":"a","type":"x"}]}}`, `{"id":2,"track":{"events":[{"id":"b","type":"unforeseen"}]}}`,
		`{"id":3,"track":{"events":[{"id":"c","type":"x"}]}}`)
	c.expect(`{"id":1,"ack":{"results":[{"id":"a","status":"accepted"}]}}`, `{"id":2,`+failed, `{"id":3,"ack":{"results":[{"id":"c","status":"accepted"}]}}`)
	c.send(`{"id":4,"track":{"events":[{"type":"unforeseen"}],"wait":"processed"}}`)
	c.expect(`{"id":4,` + failed)
	c.send(`{"id":5,"track":{"events":[{"id":"e","type":"x"}],"wait":"indexed"}}`)
	c.expect(`{"id":5,"ack":{"results":[{"id":"e","status":"accepted"}]}}`,
		`{"id":5,"result":{"accepted":1,"results":[{"id":"e","status":"accepted"}],"response":{},"waited":false}}`)
	c.send(`{"id":6,"track":{"events":[{"id":"f","type":"x"}]}}`)
	c.expect(`{"id":6,"ack":{"results":[{"id":"f","status":"accepted"}]}}`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.waiters.mu.Lock()
		open := len(f.waiters.open)
		f.waiters.mu.Unlock()
		if open == 0 && f.bodies.used.Load() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d waiters and %d bytes are left", open, f.bodies.used.Load())
		}
	}
}

// JSON may have any kind of line break between its parts; in a stream of
// server-sent events each of them ends a line.
func TestServerSentEventsLineBreaks(t *testing.T) {
	s := &eventStream{epoch: "e"}
	for i, space := range []string{"\n", "\r", "\r\n", " "} {
		data := `{"a":` + space + `1}`
		got := string(s.appendEvent(nil, []byte(`{"push":{"channel":"events","offset":`+strconv.Itoa(i)+`,"data":`+data+`}}`)))
		body, ok := strings.CutPrefix(got, "id: e-"+strconv.Itoa(i)+"\n")
		body, ends := strings.CutSuffix(body, "\n\n")
		for _, line := range strings.FieldsFunc(body, func(r rune) bool { return r == '\n' || r == '\r' }) {
			ok = ok && strings.HasPrefix(line, "data: ")
		}
		if !ok || !ends {
			t.Errorf("%q: %q", data, got)
		}
	}
}
