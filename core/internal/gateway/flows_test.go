package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// The steps of a flow's runs come over both transports, to tokens that cover the
// flow, and whoever comes back goes on where it was.
func TestFlowChannelOverBothTransports(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	teller, err := f.bus.TellSteps()
	if err != nil {
		t.Fatal(err)
	}
	defer teller.Close()
	c := f.dial(t, "?token="+webToken(t, time.Hour, "flow:greet-*"))
	c.send(`{"id":1,"subscribe":{"channel":"flow:other"}}`)
	if line := c.line(); !strings.Contains(line, `"code":"forbidden","message":"the token does not cover the channel flow:other`) {
		t.Error(line)
	}
	c.send(`{"id":2,"subscribe":{"channel":"flow:greet-all","filter":"true"}}`)
	if line := c.line(); !strings.Contains(line, `the channel flow:greet-all has no filter`) {
		t.Error(line)
	}
	c.send(`{"id":3,"subscribe":{"channel":"flow:greet-all"}}`)
	var epoch string
	line := c.line()
	if n, err := fmt.Sscanf(line, `{"id":3,"subscribed":{"channel":"flow:greet-all","epoch":%q,"offset":0}}`, &epoch); n != 1 {
		t.Fatalf("%s: %v", line, err)
	}
	for n := range 3 {
		teller.Tell("greet-all", fmt.Appendf(nil, `{"n":%d}`, n+1))
		c.expect(fmt.Sprintf(`{"push":{"channel":"flow:greet-all","offset":%d,"data":{"n":%[1]d}}}`, n+1))
	}
	c.send(`{"id":4,"unsubscribe":{"channel":"flow:greet-all"}}`)
	c.expect(`{"id":4,"unsubscribed":{"channel":"flow:greet-all"}}`)
	teller.Tell("greet-all", []byte(`{"n":4}`))

	if s := f.listen(t, "/sse/flow:greet-all?token="+webToken(t, time.Hour, "flow:greet")); s.status != 403 {
		t.Errorf("%d, want 403", s.status)
	}
	s := f.listen(t, "/sse/flow:greet-all?token="+webToken(t, time.Hour, "flow:*"), "Last-Event-ID", epoch+"-2")
	if e := s.event(); e["id"] != epoch+"-2" || !strings.Contains(e["data"], `"recovered":true`) {
		t.Errorf("%v", e)
	}
	for n := 3; n <= 4; n++ {
		if e := s.event(); e["id"] != fmt.Sprintf("%s-%d", epoch, n) || e["data"] != fmt.Sprintf(`{"n":%d}`, n) {
			t.Errorf("%v, want step %d", e, n)
		}
	}
	s = f.listen(t, "/sse/flow:greet-all?token=t", "Last-Event-ID", "another-2")
	if e := s.event(); e["id"] != epoch+"-4" || !strings.Contains(e["data"], `"recovered":false`) {
		t.Errorf("%v", e)
	}
}

// A reader that does not read is given up, and tells nobody to wait.
func TestFlowChannelSlowReader(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Limits.WriteQueue = 64 << 10 })
	teller, err := f.bus.TellSteps()
	if err != nil {
		t.Fatal(err)
	}
	defer teller.Close()
	s := f.listen(t, "/sse/flow:busy?token=t")
	s.event()
	var stream *eventStream
	f.sockets.mu.Lock()
	for c := range f.sockets.open {
		stream = c.(*eventStream)
	}
	f.sockets.mu.Unlock()
	flood(t, teller, stream)
	for {
		if e := s.event(); e["event"] == "closed" {
			if !strings.Contains(e["data"], "3008") {
				t.Errorf("%v", e)
			}
			return
		}
	}
}

// flood tells steps, no more at a time than may wait, until the stream is given up.
func flood(t *testing.T, teller *bus.StepTeller, stream *eventStream) {
	t.Helper()
	step := []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	for late := time.Now().Add(30 * time.Second); stream.reason() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("a reader that does not read is never given up")
		}
		for range 500 {
			teller.Tell("busy", step)
		}
	}
}
