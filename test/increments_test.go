package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Resources of the tests that count: an event of type add carries a number and
// the number's place among those that its sender sends.
const counting = `
kind: event-type
id: add
spec:
  schema: {type: object, required: [n], properties: {n: {type: number}}}
  copy:
    - {to: counters.sum, from: event.properties.n, op: increment}
    - {to: counters.events, op: increment}
    - {to: data.seen, from: event.id, op: append}
    - {to: data.order, from: event.properties.place, op: append}
`

// counts200 is how the increments are spread: by 200 senders over 10 profiles.
const (
	senders    = 200
	profiles   = 10
	increments = 30
)

// 200 senders increment counters of the same 10 profiles over HTTP and
// WebSocket, each event sent once or again: no update lost, none applied
// twice, each sender's order kept.
func TestConcurrentIncrements(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			send := p.sendHTTP
			if s%2 == 1 {
				conn := p.dial(t)
				defer conn.Close()
				send = func(body string) error { return sendSocket(conn, body) }
			}
			user := fmt.Sprint("u", s%profiles)
			for i := range increments {
				event := fmt.Sprintf(`{"id":"%d-%d","type":"add","ids":{"user":"%s"},"properties":{"n":0.1,"place":"%d-%03d"}}`, s, i, user, s, i)
				for again := true; again; again = rand.IntN(3) == 0 {
					if err := send(event); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	// Each profile has its 20 senders' 30 increments of 0.1: exactly 60.
	for u := range profiles {
		id := fmt.Sprint("user:u", u)
		const want = senders / profiles * increments
		eventually(t, 30*time.Second, id+" to have all increments", func() bool {
			events, _ := at(p.profile(id), "counters", "events").(float64)
			return events >= want
		})
		a := p.api(http.MethodGet, "/api/v1/profiles/"+id, "")
		if !strings.Contains(string(a.body), `"events":600,"sum":60`) {
			t.Errorf("%s: %s", id, a.body)
		}
		checkOrder(t, id, at(a.value, "data", "order"))
	}
	p.counts("events", `event.type == "add"`, senders*increments)
}

// checkOrder holds each sender's places to be in order.
func checkOrder(t *testing.T, id string, order any) {
	t.Helper()
	last := map[string]string{}
	list, _ := order.([]any)
	for _, v := range list {
		place, _ := v.(string)
		sender, number, _ := strings.Cut(place, "-")
		if number <= last[sender] && last[sender] != "" {
			t.Errorf("%s: sender %s: %s after %s", id, sender, number, last[sender])
		}
		last[sender] = number
	}
}

// apply applies resources in YAML.
func (p *product) apply(yaml string) {
	p.t.Helper()
	file := writeFile(p.t, "resources.yaml", yaml)
	p.run("apply", "-f", file)
}

// sendHTTP sends one event and insists until it is stored.
func (p *product) sendHTTP(event string) error {
	for {
		a, err := p.post("/v1/events", event)
		if err != nil {
			return err
		}
		if a.status == http.StatusServiceUnavailable {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if a.status != http.StatusOK || len(a.results()) != 1 {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		switch status := a.results()[0]["status"]; status {
		case "accepted", "duplicate":
			return nil
		case "retry":
		default:
			return fmt.Errorf("status %v: %s", status, a.body)
		}
	}
}

// dial opens a WebSocket as the source dev.
func (p *product) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"connect":{"key":"dev"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := receive(conn, "connected"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// receive reads frames until one has the field, and answers pings.
func receive(conn *websocket.Conn, field string) (map[string]any, error) {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			var frame map[string]any
			if json.Unmarshal([]byte(line), &frame) != nil {
				continue
			}
			if _, ok := frame["ping"]; ok {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"pong":{}}`)); err != nil {
					return nil, err
				}
			}
			if frame["error"] != nil {
				return nil, fmt.Errorf("refused: %s", line)
			}
			if _, ok := frame[field]; ok {
				return frame, nil
			}
		}
	}
}

func sendSocket(conn *websocket.Conn, event string) error {
	for {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":2,"track":{"events":[`+event+`]}}`)); err != nil {
			return err
		}
		frame, err := receive(conn, "ack")
		if err != nil {
			return err
		}
		results, _ := at(frame, "ack", "results").([]any)
		if len(results) != 1 {
			return fmt.Errorf("ack of one event: %v", frame)
		}
		switch status := at(results[0].(map[string]any), "status"); status {
		case "accepted", "duplicate":
			return nil
		case "retry":
		default:
			return fmt.Errorf("status %v", status)
		}
	}
}
