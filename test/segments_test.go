package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A watcher listens to the channel of a segment and goes on where it was whenever
// its connection ends. What it was told is by profile, in order.
type watcher struct {
	t      *testing.T
	epoch  string
	offset uint64
	told   map[string]string
	pushes int
}

// watch listens on one connection until it ends, or nothing came for a while.
func (w *watcher) watch(url, token string, quiet time.Duration) {
	conn, response, err := (&websocket.Dialer{HandshakeTimeout: 5 * time.Second}).Dial("ws"+strings.TrimPrefix(url, "http")+"/ws?token="+token, nil)
	if err != nil {
		time.Sleep(20 * time.Millisecond) // the server is away
		return
	}
	response.Body.Close()
	defer conn.Close()
	from := fmt.Sprintf(`{"epoch":%q,"offset":%d}`, w.epoch, w.offset)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"subscribe":{"channel":"segment:loyal","recover":`+from+`}}`)); err != nil {
		return
	}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(quiet))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			w.take(line)
		}
	}
}

func (w *watcher) take(line string) {
	var frame struct {
		Subscribed *struct {
			Epoch     string
			Recovered bool
		}
		Push *struct {
			Offset uint64
			Data   struct{ Segment, Change, Profile string }
		}
	}
	if err := json.Unmarshal([]byte(line), &frame); err != nil {
		w.t.Errorf("%s: %v", line, err)
	}
	if s := frame.Subscribed; s != nil {
		if !s.Recovered {
			w.t.Errorf("after %s %d: %s", w.epoch, w.offset, line)
		}
		w.epoch = s.Epoch
	}
	if p := frame.Push; p != nil {
		if p.Offset <= w.offset || p.Data.Segment != "loyal" || p.Data.Profile == "" {
			w.t.Errorf("after %d: %s", w.offset, line)
		}
		w.offset = p.Offset
		w.pushes++
		w.told[p.Data.Profile] += p.Data.Change + " "
	}
}

// moving is one flow, so that what it does for a person is in the order of the events.
const moving = `
kind: flow
id: move
spec:
  trigger: {event: move}
  nodes:
    which: {action: core/if, config: {condition: event.properties.enter}}
    in: {action: segment/add, config: {segment: loyal}}
    out: {action: segment/remove, config: {segment: loyal}}
  edges: [start -> which, 'which:true -> in', 'which:false -> out']
`

// People enter a segment and leave it by a flow, twice each, while the core is killed:
// who listens hears of each once, and of nothing that somebody else made up.
func TestSegmentsAreToldOnceAcrossKills(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(moving)
	text, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	var url atomic.Pointer[string]
	share := func() { u := p.url; url.Store(&u) }
	share()
	const people, kills = 150, 3
	w := &watcher{t: t, told: map[string]string{}}
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		for deadline := time.Now().Add(3 * time.Minute); w.pushes < 2*people && time.Now().Before(deadline); {
			w.watch(*url.Load(), token, 5*time.Second)
		}
	}()
	for round, kind := range []string{"move", "move", "segment-entered", "move", "move", "segment-left"} {
		var body strings.Builder
		for i := range people {
			fmt.Fprintf(&body, `{"id":"%d-%d","type":%q,"ids":{"user":"u%[2]d"},"properties":{"segment":"loyal","enter":%[4]t}}`+"\n", round, i, kind, round < 3)
		}
		eventually(t, 30*time.Second, "a batch to be accepted", func() bool {
			a, err := p.post("/v1/events", body.String())
			return err == nil && a.status == http.StatusOK && !strings.Contains(string(a.body), `"retry"`)
		})
		if round%2 == 0 && round/2 < kills {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			p.kill()
			p.start()
			share()
		}
	}
	<-listened
	w.watch(p.url, token, time.Second) // there is nothing more
	newcomer := &watcher{t: t, told: map[string]string{}}
	newcomer.watch(p.url, token, time.Second)
	for name, one := range map[string]*watcher{"who was there": w, "who comes later": newcomer} {
		if len(one.told) != people || one.pushes != 2*people {
			t.Errorf("%s was told %d times about %d people", name, one.pushes, len(one.told))
		}
		for profile, changes := range one.told {
			if changes != "entered left " {
				t.Errorf("%s heard of %s: %s", name, profile, changes)
			}
		}
	}
	for _, kind := range []string{"segment-entered", "segment-left"} {
		p.counts("events", fmt.Sprintf("event.type == %q && event.source == 'system' && event.properties.segment == 'loyal'", kind), people)
		p.counts("events", fmt.Sprintf("event.type == %q", kind), 2*people)
	}
	p.stop()
}

// greeting counts who entered the segment and who left it, and passes a third trigger
// by, whose segment nobody enters.
const greeting = `
kind: flow
id: entered
spec:
  trigger: {segment-entered: loyal, condition: 'event.properties.segment == "loyal"'}
  nodes: {tell: {action: event/emit, config: {type: greeted}}}
  edges: [start -> tell]
---
kind: flow
id: left
spec:
  trigger: {segment-left: loyal}
  nodes: {tell: {action: event/emit, config: {type: missed}}}
  edges: [start -> tell]
---
kind: flow
id: other
spec:
  trigger: {segment-entered: other}
  nodes: {tell: {action: event/emit, config: {type: mistaken}}}
  edges: [start -> tell]
`

// A flow that a segment sets off runs once for each who enters or leaves it, and not
// for what a client sends under that name.
func TestSegmentsSetFlowsOff(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(moving + "---" + greeting)
	const people = 20
	for round, kind := range []string{"segment-entered", "segment-left", "move", "move", "move"} {
		var body strings.Builder
		for i := range people {
			fmt.Fprintf(&body, `{"id":"%d-%d","type":%q,"ids":{"user":"u%[2]d"},"properties":{"segment":"loyal","enter":%[4]t}}`+"\n", round, i, kind, round < 4)
		}
		if a, err := p.post("/v1/events?wait=flows", body.String()); err != nil || a.status != http.StatusOK {
			t.Fatalf("%v %+v", err, a)
		}
	}
	p.counts("events", "event.source == 'system'", 3*people)
	p.counts("events", "event.type != 'x'", (5+3+2)*people) // sent, of the product, of the flows
	for kind, want := range map[string]int{"greeted": people, "missed": people, "mistaken": 0} {
		p.counts("events", fmt.Sprintf("event.type == %q", kind), want)
	}
	p.stop()
}
