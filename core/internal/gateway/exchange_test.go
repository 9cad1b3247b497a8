package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// An exchange is one event, sent and answered over a connection that stays: what a
// server does for it, since this side allocates nothing.
type exchange func(t testing.TB)

// browserEvent is what a page tells of itself: its address with a campaign, and where its
// visitor came from.
const browserEvent = `{"id":"01890a5d-ac96-774b-bcce-000000000001","type":"page-view","time":"2026-03-01T12:00:00.123Z","session":"s-1",` +
	`"ids":{"user":"17850","anonymous":"b7"},"properties":{"title":"Spring sale","category":"mugs"},` +
	`"context":{"page":{"url":"https://shop.example/sale?utm_source=news&utm_medium=mail&utm_campaign=spring","referrer":"https://www.google.com/"}}}`

// browserHeaders are those of a browser behind a proxy on this machine.
const browserHeaders = "Host: events.shop.example\r\nUser-Agent: " + firefox + "\r\nAccept: */*\r\nAccept-Language: de-DE,en;q=0.5\r\n" +
	"Referer: https://shop.example/sale\r\nX-Forwarded-For: 203.0.113.7\r\n"

// listenFor serves a handler as the product does, and connects to it.
func listenFor(t testing.TB, h http.Handler) net.Conn {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	ServerSettings(server.Config)
	server.Start()
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// browsed is a gateway whose source is told all about a browser that sends.
func browsed(t testing.TB) *Gateway {
	t.Helper()
	g, err := New(Options{
		Bus: nullBus{16}, Resources: fixedResources{testSet(t)},
		Proxies: Proxies{Networks: networks(t, "127.0.0.0/8"), Header: "x-forwarded-for"},
	})
	if err != nil {
		t.Fatal(err)
	}
	source, _ := g.current().set.Source("shop")
	if source.Plain || source.IP != config.IPKeep {
		t.Fatalf("%+v", source)
	}
	return g
}

// overHTTP is a request of one event with its write key in the header.
func overHTTP(t testing.TB, h http.Handler, answer string) exchange {
	conn := listenFor(t, h)
	request := fmt.Sprintf("POST /v1/events HTTP/1.1\r\n%sAuthorization: Bearer shop-key\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		browserHeaders, len(browserEvent), browserEvent)
	return repeated(t, conn, []byte(request), answer)
}

// overWebSocket is a track of one event.
func overWebSocket(t testing.TB, h http.Handler) exchange {
	conn := listenFor(t, h)
	handshake := "GET /ws?key=shop-key HTTP/1.1\r\n" + browserHeaders + "Connection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	repeated(t, conn, []byte(handshake), "\r\n\r\n")(t)
	message := `{"id":2,"track":{"events":[` + browserEvent + `]}}`
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(message)))
	frame = append(frame, 0, 0, 0, 0) // a mask that changes nothing
	return repeated(t, conn, append(frame, message...), acceptedOverHTTP+"}")
}

// repeated sends the same over and over; each answer ends as told, and has the
// length of the first one.
func repeated(t testing.TB, conn net.Conn, request []byte, end string) exchange {
	t.Helper()
	room := make([]byte, 4<<10)
	send := func(t testing.TB) {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	size := 0
	return func(t testing.TB) {
		send(t)
		if size == 0 {
			for !bytes.HasSuffix(room[:size], []byte(end)) {
				n, err := conn.Read(room[size:])
				if size += n; err != nil {
					t.Fatalf("%q: %v", room[:size], err)
				}
			}
			return
		}
		if _, err := io.ReadFull(conn, room[:size]); err != nil || !bytes.HasSuffix(room[:size], []byte(end)) {
			t.Fatalf("%q: %v", room[:size], err)
		}
	}
}

// bare discards the body and answers nothing: what is left is net/http's.
var bare = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })

const acceptedOverHTTP = `"status":"accepted"}]}`

// exchanges are those that are measured.
var exchanges = map[string]func(testing.TB) exchange{
	"http":      func(t testing.TB) exchange { return overHTTP(t, browsed(t).Handler(), acceptedOverHTTP) },
	"http/bare": func(t testing.TB) exchange { return overHTTP(t, bare, "\r\n\r\n") },
	"websocket": func(t testing.TB) exchange { return overWebSocket(t, browsed(t).Handler()) },
}

// TestExchangesAreWhole holds that what is measured is stored with all that a
// browser tells of itself.
func TestExchangesAreWhole(t *testing.T) {
	for name, open := range map[string]func(h http.Handler) exchange{
		"http":      func(h http.Handler) exchange { return overHTTP(t, h, acceptedOverHTTP) },
		"websocket": func(h http.Handler) exchange { return overWebSocket(t, h) },
	} {
		f := newScreened(t)
		open(f.Handler())(t)
		context := string(f.command(t).Event.Context)
		if want := `{"ip":"203.0.113.7","userAgent":"` + firefox + `","languages":"de-DE,en;q=0.5","page":{`; !strings.HasPrefix(context, want) {
			t.Errorf("%s: the context is %s", name, context)
		}
	}
}

// BenchmarkExchange is all that a server does for an event of a browser, but for
// the bus; http/bare is net/http's share.
func BenchmarkExchange(b *testing.B) {
	for name, open := range exchanges {
		b.Run(name, func(b *testing.B) {
			one := open(b)
			one(b)
			b.ReportAllocs()
			for b.Loop() {
				one(b)
			}
		})
	}
}
