package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/live"
)

// occupy lets a server have a stream already. One that deletes its last stream
// removes their directory a moment later, while others may be made there.
func occupy(t *testing.T, url string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHERS", Subjects: []string{"others"}}); err != nil {
		t.Fatal(err)
	}
}

// lostBus is a bus whose external server is gone.
func lostBus(t *testing.T) *bus.Bus {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 8 << 20, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	occupy(t, s.ClientURL())
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), Partitions: 4, URLs: []string{s.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = b.Close(ctx) // there is nobody to take leave of
	})
	return b
}

// one returns the only connection, when it is there.
func (f *fixture) one(t testing.TB) (c connection) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.sockets.mu.Lock()
		n := len(f.sockets.open)
		for c = range f.sockets.open {
		}
		f.sockets.mu.Unlock()
		if n == 1 {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, want 1", n)
		}
	}
}

// none waits until no connection is left.
func (f *fixture) none(t testing.TB, most time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(most); f.sockets.count() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a connection is left after %s", most)
		}
	}
}

// asleep is long enough for a connection that was just made to wait for the bus.
const asleep = 100 * time.Millisecond

// A WebSocket that waits for a bus that does not answer ends when it has to.
func TestSocketEndsDuringAnOutage(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Live = live.New(lostBus(t), nil) })
	for name, c := range map[string]struct {
		end  func(connection)
		code int // 0: it ends without a word
	}{
		"cut":     {connection.cut, 0},
		"drained": {func(c connection) { c.end(closeShutdown) }, 3001},
		"expired": {func(c connection) { c.end(closeExpired) }, 3005},
		"slow":    {func(c connection) { c.end(closeSlow) }, 3008},
	} {
		for _, channel := range []string{"events", "profile:x"} {
			t.Run(name+" "+channel, func(t *testing.T) {
				client := f.dial(t, "?token=t")
				client.send(`{"id":1,"subscribe":{"channel":"` + channel + `"}}`)
				one := f.one(t)
				time.Sleep(asleep)
				c.end(one)
				f.none(t, 5*time.Second)
				if c.code == 0 {
					return
				}
				if code := client.closed(); code != c.code {
					t.Errorf("closed with %d, want %d", code, c.code)
				}
			})
		}
	}
	t.Run("no pong", func(t *testing.T) {
		usual := f.pace
		defer func() { f.pace = usual }()
		f.pace.ping, f.pace.pong = 300*time.Millisecond, 200*time.Millisecond
		client := f.dial(t, "?token=t")
		client.send(`{"id":1,"subscribe":{"channel":"events"}}`)
		if code := client.closed(); code != 3012 {
			t.Errorf("closed with %d, want 3012", code)
		}
		f.none(t, 5*time.Second)
	})
}

// So does a stream of server-sent events, which has not begun then.
func TestServerSentEventsEndDuringAnOutage(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Live = live.New(lostBus(t), nil) })
	for name, c := range map[string]struct {
		end    func(connection)
		reason string // empty: it ends without a word
	}{
		"cut":     {connection.cut, ""},
		"drained": {func(c connection) { c.end(closeShutdown) }, "shutting down"},
		"expired": {func(c connection) { c.end(closeExpired) }, "token expired"},
	} {
		t.Run(name, func(t *testing.T) {
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				// It would try again over a connection that it had before.
				client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
				response, err := client.Get(f.server.URL + "/sse/events?token=t")
				if c.reason == "" {
					if err == nil {
						response.Body.Close()
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				var body struct {
					Error struct{ Code, Message string }
				}
				if err := json.NewDecoder(response.Body).Decode(&body); err != nil || response.StatusCode != http.StatusServiceUnavailable || body.Error.Message != c.reason {
					t.Errorf("%d %+v %v", response.StatusCode, body, err)
				}
			}()
			one := f.one(t)
			time.Sleep(asleep)
			c.end(one)
			f.none(t, 5*time.Second)
			<-answered
		})
	}
}
