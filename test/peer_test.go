package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// What no healthy server does at will, a peer does to the page: it falls
// silent, closes with a code, puts the page off.

// A visit is one connection of a page to the peer, after its connect.
type visit struct {
	t    *testing.T
	conn *websocket.Conn
	at   time.Time
}

// newPeer takes connections, each until the next has come.
func newPeer(t *testing.T) (url string, visits chan *visit) {
	t.Helper()
	visits = make(chan *visit, 8)
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		visits <- &visit{t, conn, time.Now()}
	}))
	t.Cleanup(server.Close)
	return server.URL, visits
}

// next waits for the page's next connection, and reads its connect.
func next(t *testing.T, visits chan *visit) *visit {
	t.Helper()
	v := comes(t, visits)
	v.hears(`{"id":`, `"connect":{"key":"dev","token":"t"}}`)
	return v
}

// comes waits for the page's next connection.
func comes(t *testing.T, visits chan *visit) *visit {
	t.Helper()
	select {
	case v := <-visits:
		t.Cleanup(func() { _ = v.conn.Close() })
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("the page does not connect")
		return nil
	}
}

func (v *visit) says(lines ...string) {
	v.t.Helper()
	if err := v.conn.WriteMessage(websocket.TextMessage, []byte(strings.Join(lines, "\n"))); err != nil {
		v.t.Fatal(err)
	}
}

// hears reads the next message, which begins and ends like this.
func (v *visit) hears(begin, end string) string {
	v.t.Helper()
	_ = v.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, message, err := v.conn.ReadMessage()
	if text := string(message); err != nil || !strings.HasPrefix(text, begin) || !strings.HasSuffix(text, end) {
		v.t.Fatalf("got %q %v, want %s…%s", text, err, begin, end)
	}
	return string(message)
}

// welcomes answers the connect, with pings every second, and the subscription.
func (v *visit) welcomes(id int, from string) {
	v.t.Helper()
	v.says(fmt.Sprintf(`{"id":%d,"connected":{"session":null,"limits":{},"ping":1}}`, id))
	v.hears(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"events"`, id+1), from+"}}")
}

func (v *visit) closes(code int) {
	_ = v.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "why"), time.Now().Add(time.Second))
}

func TestPageKeepsTheRulesOfTheSocket(t *testing.T) {
	needsClients(t)
	t.Parallel()
	url, visits := newPeer(t)
	page := browse(t).open(newSite(t, url, "token: 't', delay: 1e9").url)
	page.do(`t.subscribe('events', undefined, (data, push) => got.push(push.offset))`)

	// A place to go on from is known with the answer, or the push in the same frame.
	v := next(t, visits)
	v.welcomes(1, `"events"`)
	v.says(`{"id":2,"subscribed":{"channel":"events","epoch":"e","offset":7}}`, `{"push":{"channel":"events","offset":9,"data":{}}}`)
	v.says(`{"ping":{}}`)
	v.hears(`{"pong":{}}`, "")
	v.closes(3001)

	// Answered with what came between: nothing is missing, whatever the place is called.
	v = next(t, visits)
	v.welcomes(3, `"recover":{"offset":9,"epoch":"e"}`)
	v.says(`{"id":4,"subscribed":{"channel":"events","epoch":"e","offset":12,"recovered":true}}`)
	v.says(`{"push":{"channel":"events","offset":11,"data":{}}}`)
	page.becomes(5*time.Second, "got + ''", "9,11")
	_ = v.conn.NetConn().Close() // without a word

	v = next(t, visits)
	v.welcomes(5, `"recover":{"offset":11,"epoch":"e"}`)
	page.becomes(time.Second, "errors.length", 0)
	v.says(`{"id":6,"subscribed":{"channel":"events","epoch":"f","offset":2,"recovered":false}}`)
	page.becomes(5*time.Second, "errors.map(e => e.code + e.message) + ''", "gapevents")
	silent := time.Now() // from here on

	v = next(t, visits)
	if waited := v.at.Sub(silent); waited < 10*time.Second || waited > 18*time.Second {
		t.Errorf("the page gave a silent server %s, want the ping's second, ten more, and up to two before it comes back", waited)
	}
	v.says(`{"id":7,"error":{"code":"unavailable","message":"busy","temporary":true,"retry_after":2}}`)
	refused := time.Now()
	_, _, _ = v.conn.ReadMessage() // answers the page's close
	v = next(t, visits)
	if waited := v.at.Sub(refused); waited < 1900*time.Millisecond {
		t.Errorf("the page came back after %s, want 2 s at least", waited)
	}
	v.welcomes(8, `"recover":{"offset":2,"epoch":"f"}`)
	v.closes(3503)
	page.becomes(5*time.Second, "errors.at(-1).code", 3503)
	select {
	case <-visits:
		t.Error("the page came back after 3503")
	case <-time.After(3 * time.Second):
	}
}

// What a page does to its subscriptions while the socket is busy with them: the
// old one's events are not the new one's, and who ended one hears no more of it.
func TestPageChangesItsSubscription(t *testing.T) {
	needsClients(t)
	t.Parallel()
	url, visits := newPeer(t)
	page := browse(t).open(newSite(t, url, "token: 't', delay: 1e9").url)
	page.do(`t.subscribe('system', undefined, () => {}); end = t.subscribe('events', 'old', (data, push) => got.push('old' + push.offset))`)
	v := next(t, visits)
	v.says(`{"id":1,"connected":{"session":null,"limits":{},"ping":25}}`)
	v.hears(`{"id":2,"subscribe":{"channel":"system"`, "}}")
	v.hears(`{"id":3,"subscribe":{"channel":"events"`, "}}")
	page.do(`end(); end = t.subscribe('events', 'new', (data, push) => { got.push('new' + push.offset); if (push.offset == 9) end() })`)
	v.hears(`{"id":4,"unsubscribe"`, "}}")
	v.hears(`{"id":5,"subscribe":{"channel":"events","filter":"new"`, "}}")
	push := func(offset int) string {
		return fmt.Sprintf(`{"push":{"channel":"events","offset":%d,"data":{}}}`, offset)
	}
	v.says(`{"id":2,"subscribed":{"channel":"system","epoch":"e","offset":1}}`,
		`{"id":3,"subscribed":{"channel":"events","epoch":"e","offset":7}}`, push(8), `{"id":4,"unsubscribed":{"channel":"events"}}`,
		`{"id":5,"subscribed":{"channel":"events","epoch":"e","offset":8}}`, push(9), push(10))
	v.hears(`{"id":6,"unsubscribe"`, "}}")
	page.becomes(time.Second, "got + ''", "new9")
	page.becomes(time.Second, "errors.length", 0)

	// One that is refused late takes no other with it.
	page.do(`t.subscribe('events', 'odd', () => {})(); t.subscribe('events', 'good', (data, push) => got.push(push.offset))`)
	v.hears(`{"id":7,"subscribe"`, "}}")
	v.hears(`{"id":8,"unsubscribe"`, "}}")
	v.hears(`{"id":9,"subscribe"`, "}}")
	v.says(`{"id":7,"error":{"code":"invalid","message":"no condition"}}`, `{"id":9,"subscribed":{"channel":"events","epoch":"e","offset":10}}`, push(11))
	page.becomes(5*time.Second, "got + ''", "new9,11")
}

// A token that takes longer than the server waits is asked for again, and one
// that comes late is not given to the wrong connection.
func TestPageWaitsForASlowToken(t *testing.T) {
	needsClients(t)
	t.Parallel()
	url, visits := newPeer(t)
	page := browse(t).open(newSite(t, url, "token: () => new Promise(give => (window.give ??= []).push(give)), delay: 1e9").url)
	page.do(`t.subscribe('events', undefined, (data, push) => got.push(push.offset))`)
	first := comes(t, visits)
	page.becomes(10*time.Second, "window.give?.length", 1)
	first.closes(3501)
	page.becomes(10*time.Second, "errors[0]?.code", 3501)
	second := comes(t, visits)
	page.becomes(10*time.Second, "give.length", 2)
	page.do("give[0]('stale'); give[1]('t')")
	second.hears(`{"id":1,"connect"`, `"token":"t"}}`)
	second.welcomes(1, `"events"`)
	page.becomes(time.Second, "errors.length", 1)

	// Refused, a page stays away until it asks for something again.
	second.closes(3500)
	page.becomes(10*time.Second, "errors[1]?.code", 3500)
	page.do("dispatchEvent(new Event('online'))")
	select {
	case <-visits:
		t.Error("the page came back after 3500")
	case <-time.After(2 * time.Second):
	}
	page.do("t.subscribe('events', undefined, () => {})")
	comes(t, visits)
}

// Events that the socket does not take, because they are too much for one
// message or are never answered, go over HTTP.
func TestPageWhoseSocketTakesNoEvents(t *testing.T) {
	needsClients(t)
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	through := http.NewServeMux()
	through.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			var c struct {
				ID                        int
				Connect, Subscribe, Track any
			}
			if conn.ReadJSON(&c) != nil {
				return
			}
			answer := fmt.Sprintf(`{"id":%d,"connected":{"ping":25}}`, c.ID)
			switch {
			case c.Track != nil:
				_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1009, ""), time.Now().Add(time.Second))
				return
			case c.Subscribe != nil:
				answer = fmt.Sprintf(`{"id":%d,"subscribed":{"channel":"events","epoch":"e","offset":0,"recovered":true}}`, c.ID)
			}
			_ = conn.WriteMessage(websocket.TextMessage, []byte(answer))
		}
	})
	through.Handle("/", httputil.NewSingleHostReverseProxy(target))
	server := httptest.NewServer(through)
	t.Cleanup(server.Close)
	page := browse(t).open(newSite(t, server.URL, "").url)
	page.do(`t.subscribe('events', undefined, () => {})`)
	time.Sleep(500 * time.Millisecond) // it has subscribed
	ids := page.adds("ann", 60)
	page.becomes(20*time.Second, queued, 0)
	p.tookEffect("ann", ids)
}
