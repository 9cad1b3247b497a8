package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A listener follows all events across power cuts.
type listener struct {
	t      *testing.T
	token  string
	epoch  string
	offset uint64
	times  map[string]int // that an event came, by id
}

// follow listens, from where it was, until the connection ends or nothing comes
// for a while.
func (l *listener) follow(url string, quiet time.Duration) {
	conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/ws?token="+l.token, nil)
	if err != nil {
		return
	}
	response.Body.Close()
	defer conn.Close()
	command := fmt.Sprintf(`{"id":1,"subscribe":{"channel":"events","filter":"event.type == 'add'","recover":{"epoch":%q,"offset":%d}}}`, l.epoch, l.offset)
	if conn.WriteMessage(websocket.TextMessage, []byte(command)) != nil {
		return
	}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(quiet))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			l.take(line)
		}
	}
}

func (l *listener) take(line string) {
	var frame struct {
		Subscribed *struct {
			Epoch     string
			Recovered bool
		}
		Push *struct {
			Offset uint64
			Data   struct{ ID string }
		}
		Error any
	}
	if err := json.Unmarshal([]byte(line), &frame); err != nil || frame.Error != nil {
		l.t.Errorf("%s: %v", line, err)
	}
	if s := frame.Subscribed; s != nil {
		if !s.Recovered || l.epoch != "" && s.Epoch != l.epoch {
			l.t.Errorf("after %s %d: %s", l.epoch, l.offset, line)
		}
		l.epoch = s.Epoch
	}
	if p := frame.Push; p != nil {
		if p.Offset <= l.offset {
			l.t.Errorf("offset %d after %d", p.Offset, l.offset)
		}
		l.offset = p.Offset
		l.times[p.Data.ID]++
	}
}

// The power is cut at random moments while somebody listens. Whoever comes back
// with an offset goes on there, and gets every event once: an offset that was
// pushed means the same event after the cut.
func TestPowerCutsKeepTheLiveStream(t *testing.T) {
	dir := t.TempDir()
	var acked sync.Map
	l := &listener{t: t, times: map[string]int{}}
	for cut := range 10 {
		shadow := t.TempDir()
		t.Setenv(shadowDir, shadow)
		p := run(t, dir, "--set", "durability=fsync")
		token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
		if err != nil {
			t.Fatal(err)
		}
		l.token = strings.TrimSpace(string(token))
		var listening sync.WaitGroup
		listening.Go(func() { l.follow(p.url, 30*time.Second) })
		stop := load(t, p.url, cut, &acked)
		time.Sleep(time.Duration(100+rand.IntN(700)) * time.Millisecond)
		p.kill()
		<-p.done
		stop()
		listening.Wait()
		cutPower(t, filepath.Join(dir, "jetstream"), shadow)
	}
	t.Setenv(shadowDir, "")
	p := run(t, dir, "--set", "durability=fsync")
	l.follow(p.url, 3*time.Second)
	lost, twice := 0, 0
	acked.Range(func(id, _ any) bool {
		if l.times[id.(string)] == 0 {
			lost++
		}
		return true
	})
	for _, n := range l.times {
		if n > 1 {
			twice++
		}
	}
	if lost > 0 || twice > 0 || len(l.times) == 0 {
		t.Errorf("of %d events %d acknowledged ones never came and %d came twice", len(l.times), lost, twice)
	}
}
