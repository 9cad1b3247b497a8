package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/gorilla/websocket"
)

// socketServer speaks the product's protocol: it answers a track with answer,
// several messages a frame where they come together, and pings now and then.
func socketServer(t *testing.T, answer string) (at server, ids *atomic.Int64, pongs *atomic.Int64) {
	ids, pongs = &atomic.Int64{}, &atomic.Int64{}
	at = serving(t, func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		messages := make(chan []byte, 100)
		go func() {
			defer close(messages)
			for {
				_, text, err := conn.ReadMessage()
				if err != nil {
					return
				}
				messages <- text
			}
		}()
		var held [][]byte
		n := 0
		for text := range messages {
			n++
			var m struct {
				ID      int64 `json:"id"`
				Connect *struct {
					Key string `json:"key"`
				} `json:"connect"`
				Track *struct {
					Events []sentEvent `json:"events"`
				} `json:"track"`
				Pong *struct{} `json:"pong"`
			}
			if err := json.Unmarshal(text, &m); err != nil {
				t.Errorf("%q: %v", text, err)
				return
			}
			switch {
			case m.Pong != nil:
				pongs.Add(1)
				continue
			case m.Connect != nil && m.Connect.Key == "dev":
				held = append(held, []byte(`{"id":1,"connected":{"ping":25}}`))
			case m.Track != nil && len(m.Track.Events) == 1 && m.Track.Events[0].ID != "":
				ids.Add(1)
				held = append(held, fmt.Appendf(nil, `{"id":%d,%s}`, m.ID, answer))
			default:
				t.Errorf("the generator says %q", text)
			}
			if n%7 == 0 {
				held = append(held, []byte(`{"ping":{}}`))
			}
			if len(messages) == 0 { // answers that come together share a frame
				if err := conn.WriteMessage(websocket.TextMessage, bytes.Join(held, []byte("\n"))); err != nil {
					return
				}
				held = held[:0]
			}
		}
	})
	return at, ids, pongs
}

func TestSocketLoadCountsAcknowledgements(t *testing.T) {
	for name, test := range map[string]struct {
		answer                   string
		accepted, refused, wrong bool
	}{
		"accepted":  {`"ack":{"results":[{"id":"1","status":"accepted"}]}`, true, false, false},
		"retry":     {`"ack":{"results":[{"id":"1","status":"retry","error":{"code":"unavailable"}}]}`, false, true, false},
		"busy":      {`"error":{"code":"unavailable","message":"full","temporary":true,"retry_after":1}`, false, true, false},
		"duplicate": {`"ack":{"results":[{"id":"1","status":"duplicate"}]}`, false, false, true},
		"refused":   {`"error":{"code":"unauthorised","message":"no","temporary":false}`, false, false, true},
	} {
		at, ids, pongs := socketServer(t, test.answer)
		r, err := socketLoad{inFlight: 5, connect: true}.on(at, short(3)).run(t.Context())
		if err != nil {
			t.Fatal(name, err)
		}
		if answered := r.all + r.refused + r.failed; answered != ids.Load() {
			t.Errorf("%s: %d answers for %d messages", name, answered, ids.Load())
		}
		if r.all > 0 != test.accepted || r.refused > 0 != test.refused || r.failed > 0 != test.wrong {
			t.Errorf("%s: %d taken in, %d refused, %d failed: %s", name, r.all, r.refused, r.failed, r.failure)
		}
		if pongs.Load() == 0 {
			t.Errorf("%s: pings were not answered", name)
		}
	}
}

func TestSocketLoadOnTheCeiling(t *testing.T) {
	at := serving(t, ceiling().ServeHTTP)
	r, err := socketLoad{inFlight: 8}.on(at, short(4)).run(t.Context())
	if err != nil || r.all == 0 || r.refused+r.failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSocketThatIsNone(t *testing.T) {
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nothing here", http.StatusNotFound) })
	if _, err := (socketLoad{inFlight: 1}).on(at, short(1)).run(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v, want one that tells the answer", err)
	}
}

func TestParseFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		text := []byte(strings.Repeat("x", n))
		var whole bytes.Buffer
		switch {
		case n < 126:
			whole.Write([]byte{0x81, byte(n)})
		case n < 65536:
			whole.Write([]byte{0x81, 126, byte(n >> 8), byte(n)})
		default:
			whole.Write([]byte{0x81, 127, 0, 0, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)})
		}
		whole.Write(text)
		got, size, err := parseFrame(append(whole.Bytes(), "more"...))
		if err != nil || size != whole.Len() || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: %d bytes of text, size %d, %v", n, len(got), size, err)
		}
		for _, cut := range []int{0, 1, whole.Len() - 1} {
			if _, size, err := parseFrame(whole.Bytes()[:cut]); cut < whole.Len() && (size != 0 || err != nil) {
				t.Errorf("%d of %d bytes: size %d, %v", cut, whole.Len(), size, err)
			}
		}
	}
	for name, frame := range map[string][]byte{"close": {0x88, 0}, "fragment": {0x01, 1, 'x'}, "masked": {0x81, 0x80, 0, 0, 0, 0}} {
		if _, _, err := parseFrame(frame); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte("\x81\x05hello"))
	f.Add([]byte("\x81\x7e\x00\x05hello"))
	f.Add([]byte("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		message, size, err := parseFrame(text)
		if size < 0 || size > len(text) || len(message) > size || err != nil && size != 0 {
			t.Errorf("%q: %d bytes of message, size %d, %v", text, len(message), size, err)
		}
	})
}
