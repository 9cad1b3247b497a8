package gateway

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus/bustest"
	"github.com/tributary-bus/tributary/core/internal/live"
)

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
	f := newLiveFixture(t, func(o *Options) { o.Live = live.New(bustest.Lost(t), nil) })
	f.pace.stall = time.Second
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
	f := newLiveFixture(t, func(o *Options) { o.Live = live.New(bustest.Lost(t), nil) })
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
