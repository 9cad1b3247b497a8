package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/live"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A client is the other end of a WebSocket.
type client struct {
	t    testing.TB
	conn *websocket.Conn
	rest [][]byte // lines of the last message that were not taken yet
}

func (f *fixture) dial(t testing.TB, query string, header ...string) *client {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	// Small buffers, so that a reader who stops is noticed soon.
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
	conn, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(f.server.URL, "http")+"/ws"+query, h)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn}
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(strings.Join(lines, "\n"))); err != nil {
		c.t.Fatal(err)
	}
}

// line returns the next line.
func (c *client) line() string {
	c.t.Helper()
	for len(c.rest) == 0 {
		_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		c.rest = bytes.Split(message, []byte("\n"))
	}
	line := string(c.rest[0])
	c.rest = c.rest[1:]
	return line
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.line(); got != w {
			c.t.Errorf("got  %s\nwant %s", got, w)
		}
	}
}

// closed returns the code that the server ends the connection with.
func (c *client) closed() int {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a slow reader takes its time
		if _, _, err := c.conn.ReadMessage(); err != nil {
			var e *websocket.CloseError
			if !errors.As(err, &e) {
				c.t.Fatal(err)
			}
			return e.Code
		}
	}
}

const connected = `"limits":{"event":32768,"request":512000,"events":1000,"nesting":64},"ping":25}}`

func TestSocketTracks(t *testing.T) {
	f := newFixture(t, nil)
	f.fold(t, applied)
	c := f.dial(t, "")
	c.send(`{"id":1,"connect":{"key":"shop-key","session":"s-9"}}`)
	c.expect(`{"id":1,"connected":{"session":"s-9",` + connected)
	c.send(`{"id":2,"track":{"events":[{"id":"a","type":"x"},{"id":"b"},{"id":"a","type":"x"}]}}`)
	c.expect(`{"id":2,"ack":{"results":[{"id":"a","status":"accepted"},{"id":"b","status":"invalid","error":{"code":"invalid","message":"type: an event needs a type","details":[{"path":"type","message":"an event needs a type"}]}},{"id":"a","status":"duplicate"}]}}`)
	profile := f.bus.DerivedProfile("user", "1", 0)
	c.send(`{"id":3,"track":{"events":[{"id":"c","type":"x","ids":{"user":"1"},"session":"mine"}],"wait":"processed"}}`)
	c.expect(`{"id":3,"ack":{"results":[{"id":"c","status":"accepted"}]}}`,
		`{"id":3,"result":{"accepted":1,"results":[{"id":"c","status":"accepted","profile":"`+profile+`","session":"mine","valid":true,"response":{}}],"response":{}}}`)
	// Several commands in one message, and an answer for each.
	c.send(`{"id":4,"track":{"events":[{"id":"d","type":"x"}]}}`, ``, `{"pong":{}}`, `{"id":5,"track":{"events":[{"id":"e","type":"x"}]}}`)
	c.expect(`{"id":4,"ack":{"results":[{"id":"d","status":"accepted"}]}}`, `{"id":5,"ack":{"results":[{"id":"e","status":"accepted"}]}}`)
	sessions := map[string]string{}
	for _, command := range f.commands(t) {
		sessions[command.Event.ID] = command.Event.Session
	}
	if fmt.Sprint(sessions) != "map[a:s-9 c:mine d:s-9 e:s-9]" {
		t.Errorf("sessions %v", sessions)
	}
}

func TestSocketKeepsOrder(t *testing.T) {
	f := newFixture(t, nil)
	c := f.dial(t, "", "Authorization", "Bearer shop-key")
	const n = 500
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			c.send(fmt.Sprintf(`{"id":%d,"track":{"events":[{"id":"e%d","type":"x","ids":{"user":"1"}}]}}`, i+1, i))
		}
	})
	for i := range n {
		c.expect(fmt.Sprintf(`{"id":%d,"ack":{"results":[{"id":"e%d","status":"accepted"}]}}`, i+1, i))
	}
	wg.Wait()
	commands := f.commands(t)
	if len(commands) != n {
		t.Fatalf("%d commands, want %d", len(commands), n)
	}
	for i, command := range commands {
		if want := fmt.Sprintf("e%d", i); command.Event.ID != want {
			t.Fatalf("command %d is %s, want %s", i, command.Event.ID, want)
		}
	}
}

func TestSocketRefusals(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Readers = readers(t) })
	for name, c := range map[string]struct {
		lines []string
		want  string // part of the last answer
		code  int    // that the connection is closed with, 0: stays open
	}{
		"no JSON":            {[]string{`hello`}, `{"error":{"code":"malformed","message":"not valid JSON at line 1`, 0},
		"no object":          {[]string{`[1]`}, `want a command as an object, got an array`, 0},
		"goes on":            {[]string{`{"id":1,"pong":{}}{}`}, `the line goes on after its object`, 0},
		"no command":         {[]string{`{"id":1}`}, `no command; want connect`, 0},
		"two commands":       {[]string{`{"id":1,"pong":{},"connect":{}}`}, `one command a line, got pong and connect`, 0},
		"unknown command":    {[]string{`{"id":1,"tack":{}}`}, `tack: unknown command; want connect`, 0},
		"no id":              {[]string{`{"connect":{"key":"shop-key"}}`}, `connect needs an id above 0`, 0},
		"id is a text":       {[]string{`{"id":"1","connect":{"key":"shop-key"}}`}, `id: want an integer`, 0},
		"unknown field":      {[]string{`{"id":1,"connect":{"keys":"shop-key"}}`}, `{"id":1,"error":{"code":"unknown_field","message":"connect.keys: unknown field; connect has key token session"`, 0},
		"command is a list":  {[]string{`{"id":1,"connect":[]}`}, `connect: want an object, got an array`, 0},
		"without connect":    {[]string{`{"id":1,"track":{"events":[]}}`}, `{"id":1,"error":{"code":"unauthorized","message":"connect first`, 3501},
		"unknown key":        {[]string{`{"id":1,"connect":{"key":"nobody"}}`}, `{"id":1,"error":{"code":"unauthorized","message":"unknown write key`, 3500},
		"disabled":           {[]string{`{"id":1,"connect":{"key":"old-key"}}`}, `unknown write key`, 3500},
		"unknown token":      {[]string{`{"id":1,"connect":{"token":"u"}}`}, `unknown token`, 3500},
		"neither":            {[]string{`{"id":1,"connect":{}}`}, `connect needs a key`, 3500},
		"unknown refresh":    {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"refresh":{"token":"u"}}`}, `{"id":2,"error":{"code":"unauthorized"`, 0},
		"token cannot send":  {[]string{`{"id":1,"connect":{"token":"t"}}`, `{"id":2,"track":{"events":[]}}`}, `{"id":2,"error":{"code":"unauthorized","message":"connect with a key to send"`, 0},
		"events is missing":  {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{}}`}, `track.events: want an array of events`, 0},
		"events is one":      {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{"events":{"type":"x"}}}`}, `track.events: want an array of events`, 0},
		"numbers":            {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{"events":[1]}}`}, `want an event as an object`, 0},
		"unknown wait":       {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{"events":[{"type":"x"}],"wait":"done"}}`}, `track.wait: done is unknown`, 0},
		"no store":           {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{"events":[{"type":"x"}],"wait":"indexed"}}`}, `wait=indexed needs a query store`, 0},
		"too many events":    {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"track":{"events":[` + strings.Repeat(`{"type":"x"},`, 1000) + `{}]}}`}, `{"id":2,"error":{"code":"too_large"`, 0},
		"over the rate":      {[]string{`{"id":1,"connect":{"key":"slow-key"}}`, `{"id":2,"track":{"events":[` + strings.Repeat(`{"type":"x"},`, 999) + `{}]}}`, `{"id":3,"track":{"events":[{"type":"x"}]}}`}, `"temporary":true,"retry_after":3600}}`, 0},
		"key cannot read":    {[]string{`{"id":1,"connect":{"key":"shop-key"}}`, `{"id":2,"subscribe":{"channel":"events"}}`}, `{"id":2,"error":{"code":"forbidden","message":"reading needs a token"`, 0},
		"unknown channel":    {[]string{`{"id":1,"connect":{"token":"t"}}`, `{"id":2,"subscribe":{"channel":"profiles:1"}}`}, `{"id":2,"error":{"code":"not_found","message":"profiles:1: there is no such channel; want events`, 0},
		"never subscribed":   {[]string{`{"id":1,"connect":{"token":"t"}}`, `{"id":2,"unsubscribe":{"channel":"events"}}`}, `{"id":2,"error":{"code":"not_found","message":"not subscribed`, 0},
		"nothing to read of": {[]string{`{"id":1,"connect":{"token":"t"}}`, `{"id":2,"subscribe":{"channel":"events"}}`}, `{"id":2,"error":{"code":"not_found"`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			conn := f.dial(t, "")
			last := ""
			for _, line := range c.lines {
				conn.send(line)
				last = conn.line()
			}
			if !strings.Contains(last, c.want) {
				t.Errorf("%s\nwant %s", last, c.want)
			}
			if c.code != 0 {
				if code := conn.closed(); code != c.code {
					t.Errorf("closed with %d, want %d", code, c.code)
				}
				return
			}
			conn.send(`{"id":99,"refresh":{"token":"t"}}`)
			if last = conn.line(); !strings.Contains(last, `{"id":99,`) {
				t.Errorf("the connection does not go on: %s", last)
			}
		})
	}
}

// Whoever has given neither key nor token is not told that they are unknown.
func TestSocketOfNobodyIsToldSo(t *testing.T) {
	conn := newFixture(t, nil).dial(t, "")
	conn.send(`{"id":1,"connect":{}}`)
	conn.line()
	if _, _, err := conn.conn.ReadMessage(); !websocket.IsCloseError(err, 3500) || !strings.HasSuffix(err.Error(), "no key or token") {
		t.Errorf("closed with: %v", err)
	}
}

func TestSocketHandshake(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Readers = readers(t) })
	t.Run("key in the query", func(t *testing.T) {
		c := f.dial(t, "?key=shop-key")
		c.send(`{"id":1,"track":{"events":[{"id":"q","type":"x"}]}}`)
		c.expect(`{"id":1,"ack":{"results":[{"id":"q","status":"accepted"}]}}`)
	})
	t.Run("token in the header", func(t *testing.T) {
		c := f.dial(t, "", "Authorization", "Bearer t")
		c.send(`{"id":1,"unsubscribe":{"channel":"events"}}`)
		if line := c.line(); !strings.Contains(line, "not subscribed") {
			t.Error(line)
		}
	})
	t.Run("wrong key in the query", func(t *testing.T) {
		if code := f.dial(t, "?key=nobody").closed(); code != 3500 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("another origin", func(t *testing.T) {
		c := f.dial(t, "", "Origin", "https://evil.example")
		c.send(`{"id":1,"connect":{"key":"web-key"}}`)
		if line := c.line(); !strings.Contains(line, codeForbidden) {
			t.Error(line)
		}
		if code := c.closed(); code != 3503 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("no handshake", func(t *testing.T) {
		if a := f.send(t, "GET", "/ws", ""); a.status != 400 || a.code() != codeMalformed {
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	t.Run("too many", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Limits.Connections = 1 })
		c := f.dial(t, "?key=shop-key")
		c.send(`{"id":1,"track":{"events":[]}}`)
		c.expect(`{"id":1,"ack":{"results":[]}}`)
		if code := f.dial(t, "?key=shop-key").closed(); code != 3013 {
			t.Errorf("closed with %d", code)
		}
	})
}

// publish stores processed events as the processor does.
func (f *fixture) publish(t testing.TB, partition int, c uint64, types ...string) {
	t.Helper()
	var messages []bus.EventMessage
	for n, kind := range types {
		p := record.ProcessedEvent{Event: sdk.Event{ID: fmt.Sprintf("%s-%d-%d", kind, c, n), Type: kind, Source: "shop", Time: testNow, Received: testNow, Valid: true,
			Properties: sdk.RawObject([]byte(fmt.Sprintf(`{"n":%d}`, n)))}}
		messages = append(messages, bus.EventMessage{Partition: partition, C: c, N: n, Type: kind, Data: p.AppendJSON(nil)})
	}
	if err := f.bus.PublishEvents(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// readers knows an admin token and JSON Web Tokens that are signed with testSecret.
func readers(t testing.TB) *access.Readers {
	t.Helper()
	r, err := access.New(access.Options{Admin: func(token string) bool { return token == "t" }, Keys: []string{testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const testSecret = "0123456789abcdef0123456789abcdef"

func newLiveFixture(t testing.TB, change func(o *Options)) *fixture {
	return newFixture(t, func(o *Options) {
		o.Live = live.New(o.Bus.(*bus.Bus), nil)
		o.Readers = readers(t)
		if change != nil {
			change(o)
		}
	})
}

func TestSocketSubscribes(t *testing.T) {
	f := newLiveFixture(t, nil)
	f.publish(t, 0, 1, "before")
	c := f.dial(t, "?token=t")
	c.send(`{"id":1,"subscribe":{"channel":"events","filter":"event.properties.n >"}}`)
	if line := c.line(); !strings.Contains(line, `{"id":1,"error":{"code":"invalid","message":"filter: `) {
		t.Error(line)
	}
	state, err := f.bus.EventsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := `"channel":"events","epoch":"` + state.Epoch + `","offset":`
	c.send(`{"id":2,"subscribe":{"channel":"events","filter":"event.properties.n == 1","recover":{"epoch":"x","offset":7}}}`)
	c.expect(`{"id":2,"subscribed":{` + from + `1,"recovered":false}}`)
	c.send(`{"id":3,"subscribe":{"channel":"events"}}`)
	if line := c.line(); !strings.Contains(line, `{"id":3,"error":{"code":"invalid","message":"already subscribed`) {
		t.Error(line)
	}
	f.publish(t, 0, 2, "zero", "one", "two")
	line := c.line()
	if !strings.Contains(line, `{"push":{"channel":"events","offset":3,"data":{"id":"one-2-1","type":"one"`) {
		t.Errorf("pushed %s", line)
	}
	c.send(`{"id":4,"unsubscribe":{"channel":"events"}}`)
	c.expect(`{"id":4,"unsubscribed":{"channel":"events"}}`)
	if n := f.options.Live.Count(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	c.send(`{"id":5,"subscribe":{"channel":"events"}}`)
	c.expect(`{"id":5,"subscribed":{` + from + `4}}`)
	f.publish(t, 0, 3, "again")
	if line := c.line(); !strings.Contains(line, `"id":"again-3-0"`) {
		t.Errorf("pushed %s", line)
	}
	// Who comes back goes on where it was, or begins with all that is kept.
	for where, want := range map[string][]string{
		`{"epoch":"` + state.Epoch + `","offset":3}`: {"two-2-2", "again-3-0"},
		`{"offset":0}`: {"before-1-0", "zero-2-0", "one-2-1", "two-2-2", "again-3-0"},
	} {
		c := f.dial(t, "?token=t")
		c.send(`{"id":1,"subscribe":{"channel":"events","recover":` + where + `}}`)
		if line := c.line(); !strings.Contains(line, `"recovered":true}}`) {
			t.Errorf("%s: %s", where, line)
		}
		for _, id := range want {
			if line := c.line(); !strings.Contains(line, `"data":{"id":"`+id+`"`) {
				t.Errorf("%s: pushed %s, want %s", where, line, id)
			}
		}
	}
}

func TestSocketSlowReader(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 64 << 10 })
	slow, quick := f.dial(t, "?token=t"), f.dial(t, "?token=t")
	for _, c := range []*client{slow, quick} {
		c.send(`{"id":1,"subscribe":{"channel":"events"}}`)
		if line := c.line(); !strings.Contains(line, `{"id":1,"subscribed":`) {
			t.Fatal(line)
		}
	}
	got := 0
	for c := uint64(1); f.options.Live.Count() == 2; c++ {
		if c > 10_000 {
			t.Fatal("a reader that does not read is never given up")
		}
		types := make([]string, 200)
		for i := range types {
			types[i] = "flood"
		}
		f.publish(t, 0, c, types...)
		for range types {
			if line := quick.line(); !strings.Contains(line, `"data":{"id":"flood-`+fmt.Sprint(c)+"-") {
				t.Fatalf("the other reader got %s", line)
			}
			got++
		}
	}
	if code := slow.closed(); code != 3008 {
		t.Errorf("closed with %d, want 3008", code)
	}
	if got == 0 {
		t.Error("the other reader got nothing")
	}
}

// stuff pushes to a connection whose client does not read until the transport takes
// no more, and returns what it pushes.
func stuff(t *testing.T, one *socket) (frame []byte) {
	t.Helper()
	frame = bytes.Repeat([]byte("x"), 16<<10)
	for n := 0; one.Room(t.Context(), 300*time.Millisecond); n++ {
		if n > 10_000 || !one.Push(frame) {
			t.Fatalf("%d frames were taken", n)
		}
	}
	return frame
}

// A slow reader is told why it is closed as long as it takes anything, also where it
// began late to, and where it sends more than it reads.
func TestSocketSlowReaderIsTold(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 128 << 10 })
	f.pace.write, f.pace.last = 50*time.Millisecond, 50*time.Millisecond
	const late = 300 * time.Millisecond
	overflow := func(one *socket, frame []byte) {
		for one.Push(frame) {
		}
	}
	for name, slow := range map[string]func(c *client, one *socket, frame []byte){
		"stuck for long": func(_ *client, one *socket, frame []byte) {
			time.Sleep(late)
			overflow(one, frame)
		},
		"reads late": func(_ *client, one *socket, frame []byte) {
			overflow(one, frame)
			time.Sleep(late)
		},
		"sends": func(c *client, one *socket, frame []byte) {
			overflow(one, frame)
			time.Sleep(late) // the reader has ended
			for range 100 {
				c.send(`{"pong":{}}`)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := f.dial(t, "?token=t")
			one := f.one(t).(*socket)
			slow(c, one, stuff(t, one))
			if code := c.closed(); code != 3008 {
				t.Errorf("closed with %d, want 3008", code)
			}
			_ = c.conn.Close()
			f.none(t, 10*time.Second)
		})
	}
}

// A shutdown does not wait for slow readers that are being closed.
func TestSocketDrainLeavesSlowReaders(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 128 << 10 })
	f.dial(t, "?token=t")
	one := f.one(t).(*socket)
	for frame := stuff(t, one); one.Push(frame); {
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		t.Error(err)
	}
}

func TestSocketDrain(t *testing.T) {
	f := newLiveFixture(t, nil)
	var clients []*client
	for range 10 {
		c := f.dial(t, "?key=shop-key")
		c.send(`{"id":1,"track":{"events":[{"type":"x","id":"d"}]}}`)
		c.line()
		clients = append(clients, c)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		done <- f.Drain(ctx)
	}()
	for _, c := range clients {
		if code := c.closed(); code != 3001 {
			t.Errorf("closed with %d, want 3001", code)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSocketWaitsAtDrain(t *testing.T) {
	f := newFixture(t, nil)
	c := f.dial(t, "?key=shop-key")
	c.send(`{"id":1,"track":{"events":[{"type":"x","id":"d"}],"wait":"processed"}}`)
	c.expect(`{"id":1,"ack":{"results":[{"id":"d","status":"accepted"}]}}`)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Drain(ctx) }()
	c.expect(`{"id":1,"result":{"accepted":1,"results":[{"id":"d","status":"accepted"}],"response":{},"waited":false}}`)
	if code := c.closed(); code != 3001 {
		t.Errorf("closed with %d, want 3001", code)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSocketUnavailable(t *testing.T) {
	faulty := &faultyBus{accepting: bus.ErrFull}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus = faulty
	})
	c := f.dial(t, "?key=shop-key")
	c.send(`{"id":1,"track":{"events":[{"type":"x"}]}}`)
	c.expect(`{"id":1,"error":{"code":"unavailable","message":"` + bus.ErrFull.Error() + `","temporary":true,"retry_after":1}}`)
}

func TestSocketPace(t *testing.T) {
	f := newFixture(t, nil)
	f.pace = pace{ping: 550 * time.Millisecond, pong: 500 * time.Millisecond, connect: 50 * time.Millisecond, stall: time.Second, write: time.Second, last: time.Second}
	t.Run("no connect", func(t *testing.T) {
		if code := f.dial(t, "").closed(); code != 3501 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("no pong", func(t *testing.T) {
		c := f.dial(t, "?key=shop-key")
		c.expect(`{"ping":{}}`)
		if code := c.closed(); code != 3012 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("pongs", func(t *testing.T) {
		c := f.dial(t, "?key=shop-key")
		for range 3 {
			c.expect(`{"ping":{}}`)
			c.send(`{"pong":{}}`)
		}
		c.send(`{"id":1,"track":{"events":[]}}`)
		if line := c.line(); !strings.Contains(line, `{"id":1,"ack"`) && line != `{"ping":{}}` {
			t.Error(line)
		}
	})
}

// A client that goes away in the middle of its work leaves nothing behind.
func TestSocketGoesAway(t *testing.T) {
	f := newLiveFixture(t, nil)
	c := f.dial(t, "?key=shop-key&token=t")
	c.send(`{"id":1,"subscribe":{"channel":"events"}}`, `{"id":2,"track":{"events":[{"id":"a","type":"x"}],"wait":"processed"}}`)
	c.line()
	if err := c.conn.NetConn().Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for f.sockets.count() > 0 || f.options.Live.Count() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections and %d subscriptions are left", f.sockets.count(), f.options.Live.Count())
		}
		runtime.Gosched()
	}
}

// begin sends the head of a message of size bytes, and the first n of them.
func (c *client) begin(size, n int) {
	c.t.Helper()
	// A final text frame with a 16-bit length, masked by zeros.
	c.raw(append([]byte{0x81, 0xfe, byte(size >> 8), byte(size), 0, 0, 0, 0}, bytes.Repeat([]byte{' '}, n)...))
}

func (c *client) raw(text []byte) {
	c.t.Helper()
	if _, err := c.conn.NetConn().Write(text); err != nil {
		c.t.Fatal(err)
	}
}

// What has come of a message is paid for until it is there.
func TestSocketPaysForPartialMessages(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.InFlight = 16 << 10 })
	wait := func(what string, holds func(used int64) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !holds(f.bodies.used.Load()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bytes are paid for", what, f.bodies.used.Load())
			}
		}
	}
	small := f.dial(t, "?key=shop-key")
	small.begin(4000, readBuffer-1)
	one := f.dial(t, "?key=shop-key")
	one.begin(4000, 3000)
	wait("a part has come", func(used int64) bool { return used >= 3000 && used <= 8000 })
	two := f.dial(t, "?key=shop-key")
	two.begin(30000, 8200) // for the next one its room is to be doubled
	if code := two.closed(); code != 3015 {
		t.Errorf("closed with %d, want 3015", code)
	}
	track := `{"id":1,"track":{"events":[]}}`
	one.raw([]byte(strings.Repeat(" ", 1000-len(track)) + track))
	if line := one.line(); !strings.HasPrefix(line, `{"id":1,"ack"`) {
		t.Error(line)
	}
	wait("it is there", func(used int64) bool { return used == 0 })
	one.begin(4000, 3000)
	wait("a part has come", func(used int64) bool { return used >= 3000 })
	_ = one.conn.Close()
	wait("its client is gone", func(used int64) bool { return used == 0 })
}

// Tracks are paid for as long as they wait, with the message that they came in,
// however small a part of it they are; where that is too much for the gateway, the
// next ones are to be sent again.
func TestSocketPaysForQueuedTracks(t *testing.T) {
	const inFlight, more = 32 << 10, 40
	faulty := &faultyBus{}
	proceed := make(chan struct{})
	faulty.append = func(entries []bus.Entry) error {
		<-proceed
		return faulty.Bus.Append(t.Context(), entries)
	}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus, o.Limits.InFlight = faulty, inFlight
	})
	used := func(what string, want int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); f.bodies.used.Load() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bytes are paid for, want %d", what, f.bodies.used.Load(), want)
			}
		}
	}
	track := func(id int) string {
		return fmt.Sprintf(`{"id":%d,"track":{"events":[{"id":"e%d","type":"x","ids":{"user":"1"}}]}}`, id, id)
	}
	one, two := f.dial(t, "?key=shop-key"), f.dial(t, "?key=shop-key")
	one.send(track(1))
	used("on its way", readBuffer+trackRoom)
	one.send(track(2), `{"pong":{}}`, track(3))
	used("queued", 2*readBuffer+3*trackRoom)
	one.send(track(4), strings.Repeat(" ", 13000))
	for deadline := time.Now().Add(10 * time.Second); f.bodies.used.Load() < 13000; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a large message costs its track nothing: %d bytes are paid for", f.bodies.used.Load())
		}
	}
	paid := f.bodies.used.Load()
	const busy = `"error":{"code":"unavailable","message":"the gateway is busy with other requests","temporary":true,"retry_after":1}}`
	refused := 0
	for id := 1; id <= more; id++ {
		two.send(track(100+id), `{"id":99,"refresh":{"token":"u"}}`)
		line := two.line()
		if line == fmt.Sprintf(`{"id":%d,`, 100+id)+busy {
			refused++
			line = two.line()
		}
		if !strings.HasPrefix(line, `{"id":99,"error"`) { // it goes on
			t.Fatal(line)
		}
	}
	if room := int(inFlight-paid) / (readBuffer + trackRoom); refused != more-room {
		t.Errorf("%d tracks of %d were refused, and there was room for %d", refused, more, room)
	}
	close(proceed)
	for id := 1; id <= 4; id++ {
		one.expect(fmt.Sprintf(`{"id":%d,"ack":{"results":[{"id":"e%d","status":"accepted"}]}}`, id, id))
	}
	used("all are done", 0)
}

// A message that takes long to arrive is a sign of life, but not for ever.
func TestSocketEndlessMessage(t *testing.T) {
	for name, c := range map[string]struct {
		message time.Duration
		closed  bool
	}{"in time": {10 * time.Second, false}, "for too long": {time.Millisecond, true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.pace = pace{ping: 150 * time.Millisecond, pong: 100 * time.Millisecond, message: c.message, connect: time.Second, stall: time.Second, write: time.Second, last: time.Second}
			client := f.dial(t, "?key=shop-key")
			client.begin(60000, 1)
			client.expect(`{"ping":{}}`)
			client.raw([]byte("  "))
			_, next, err := client.conn.ReadMessage()
			if websocket.IsCloseError(err, 3012) != c.closed {
				t.Errorf("got %s, %v", next, err)
			}
		})
	}
}
