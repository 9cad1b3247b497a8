package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A follower listens to the channel of all events and goes on where it was
// whenever its connection ends.
type follower struct {
	t     *testing.T
	url   func() string
	token string

	epoch  string
	offset uint64
	ids    map[string]bool
	lastOf map[string]float64 // n of the last event, by user
	cuts   int
}

func (p *product) follower(url func() string) *follower {
	p.t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		p.t.Fatal(err)
	}
	return &follower{t: p.t, url: url, token: strings.TrimSpace(string(token)), ids: map[string]bool{}, lastOf: map[string]float64{}}
}

// listen reads up to so many pushes of one connection. It returns where the
// connection ends, or nothing came for a while.
func (f *follower) listen(most int, quiet time.Duration) {
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(f.url(), "http")+"/ws?token="+f.token, nil)
	if err != nil {
		time.Sleep(20 * time.Millisecond) // the server is away
		return
	}
	response.Body.Close()
	defer conn.Close() // in the middle of whatever comes
	from := fmt.Sprintf(`{"epoch":%q,"offset":%d}`, f.epoch, f.offset)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"subscribe":{"channel":"events","filter":"event.type == 'add'","recover":`+from+`}}`)); err != nil {
		return
	}
	for most > 0 {
		_ = conn.SetReadDeadline(time.Now().Add(quiet))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if most > 0 && f.take(line) {
				most--
			}
		}
	}
}

func (f *follower) take(line string) (pushed bool) {
	var frame struct {
		Subscribed *struct {
			Epoch     string
			Recovered bool
		}
		Push *struct {
			Offset uint64
			Data   struct {
				ID         string
				Properties struct {
					N    float64
					User string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(line), &frame); err != nil {
		f.t.Errorf("%s: %v", line, err)
	}
	if s := frame.Subscribed; s != nil {
		if !s.Recovered || f.epoch != "" && s.Epoch != f.epoch {
			f.t.Errorf("after %s %d: %s", f.epoch, f.offset, line)
		}
		f.epoch = s.Epoch
	}
	p := frame.Push
	if p == nil {
		return false
	}
	user, n := p.Data.Properties.User, p.Data.Properties.N
	switch {
	case p.Offset <= f.offset:
		f.t.Errorf("offset %d after %d", p.Offset, f.offset)
	case f.ids[p.Data.ID]:
		f.t.Errorf("event %s came twice", p.Data.ID)
	case n <= f.lastOf[user]:
		f.t.Errorf("event %v of %s after %v", n, user, f.lastOf[user])
	}
	f.offset, f.ids[p.Data.ID], f.lastOf[user] = p.Offset, true, n
	return true
}

// A subscriber whose connection is cut at random a hundred times, and whose
// server is killed a few times, gets every event once and in order.
func TestLiveStreamSurvivesCutsAndKills(t *testing.T) {
	t.Parallel()
	p := launch(t)
	var url atomic.Pointer[string]
	share := func() { u := p.url; url.Store(&u) }
	share()
	f := p.follower(func() string { return *url.Load() })
	const total, each, kills = 10_000, 20, 4
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		for deadline := time.Now().Add(4 * time.Minute); len(f.ids) < total && time.Now().Before(deadline); f.cuts++ {
			f.listen(1+rand.IntN(180), 5*time.Second)
		}
	}()
	for n := 0; n < total; n += each {
		if n > 0 && n%(total/(kills+1)) == 0 {
			p.kill()
			p.start()
			share()
		}
		var body strings.Builder
		for i := n; i < n+each; i++ {
			fmt.Fprintf(&body, `{"id":"e%d","type":"add","ids":{"user":"u%d"},"properties":{"user":"u%[2]d","n":%d}}`+"\n", i, i%7, i+1)
		}
		eventually(t, 30*time.Second, "a batch to be accepted", func() bool {
			a, err := p.post("/v1/events", body.String())
			return err == nil && a.status == 200 && !strings.Contains(string(a.body), `"retry"`)
		})
	}
	<-listened
	if len(f.ids) != total || f.cuts < 100 {
		t.Errorf("got %d of %d events over %d connections, want 100 or more", len(f.ids), total, f.cuts)
	}
	f.listen(1, 500*time.Millisecond) // there is nothing more
	if len(f.ids) != total {
		t.Errorf("%d events, and then more", total)
	}
	// A newcomer gets all that is kept, the same.
	newcomer := p.follower(f.url)
	newcomer.listen(total, 5*time.Second)
	if len(newcomer.ids) != total || newcomer.offset != f.offset {
		t.Errorf("who comes later gets %d of %d events", len(newcomer.ids), total)
	}
}
