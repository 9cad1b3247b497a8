package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// failAfterAppend makes the next batch fail after the bus has it: a metric is there
// already, which nobody has foreseen.
func (f *fixture) failAfterAppend() {
	f.metrics.source("shop")
	f.metrics.mu.Lock()
	defer f.metrics.mu.Unlock()
	delete(f.metrics.sources, "shop")
}

// onlyOnce fails where an event was stored more than once.
func (f *fixture) onlyOnce(t *testing.T, events int) {
	t.Helper()
	ids := map[string]bool{}
	for _, c := range f.commands(t) {
		ids[c.Event.ID] = true
	}
	if len(ids) != events {
		t.Errorf("%d events were stored, want %d", len(ids), events)
	}
}

// Whatever fails after the bus has taken events, their client is told that they are
// stored. Those without ids would be stored again otherwise.
func TestPanicsBehindTheBusDoNotRepeatEvents(t *testing.T) {
	const event = `{"type":"x","ids":{"user":"1"}}`
	unforeseen := func(o *Options) { o.Indexed = func(context.Context, record.Outcome) error { panic("unforeseen") } }
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string // part of the answer
	}{
		"native":  {"/v1/events", `[` + event + `,{"id":"b"}]`, 200, `{"accepted":1,"results":[{"id":"`},
		"waited":  {"/v1/events?wait=processed", event, 200, `"status":"accepted"}],"response":{},"waited":false}`},
		"segment": {"/v1/track", `{"userId":"1","event":"x"}`, 200, `{"success":true}`},
		"webhook": {"/collect/x/shop-key", `{}`, 200, ``},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.failAfterAppend()
			a := f.send(t, "POST", c.path, c.body, "X-Write-Key", "shop-key")
			if a.status != c.status || !strings.Contains(a.text, c.want) {
				t.Errorf("%d %s", a.status, a.text)
			}
			f.onlyOnce(t, 1)
			if n := f.bodies.used.Load(); n != 0 {
				t.Errorf("%d bytes are left", n)
			}
		})
	}
	t.Run("outcome", func(t *testing.T) {
		f := newFixture(t, unforeseen)
		f.fold(t, applied)
		a := f.send(t, "POST", "/v1/events?wait=indexed", event, "X-Write-Key", "shop-key")
		if a.status != 200 || !strings.Contains(a.text, `"status":"accepted"}],"response":{},"waited":false}`) {
			t.Errorf("%d %s", a.status, a.text)
		}
		f.onlyOnce(t, 1)
	})
	t.Run("tracks", func(t *testing.T) {
		f := newFixture(t, nil)
		f.failAfterAppend()
		c := f.dial(t, "?key=shop-key")
		track := func(id int, more string) string {
			return fmt.Sprintf(`{"id":%d,"track":{"events":[`+event+`]%s}}`, id, more)
		}
		c.send(track(1, ""), track(2, ""), track(3, `,"wait":"processed"`))
		for id := 1; id <= 3; id++ {
			if line := c.line(); !strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,"ack":{"results":[{"id":"`, id)) {
				t.Error(line)
			}
		}
		if line := c.line(); !strings.HasPrefix(line, `{"id":3,"result":{"accepted":1,`) || !strings.HasSuffix(line, `"waited":false}}`) {
			t.Error(line)
		}
		f.onlyOnce(t, 3)
	})
}

// Tracks that fail together while they are handed to the bus are tried one by one,
// with the ids that their events have by then: the bus may have them.
func TestTracksKeepTheirIDsWhenTriedAgain(t *testing.T) {
	faulty := &faultyBus{}
	begun, proceed := make(chan struct{}, 3), make(chan struct{})
	var appends atomic.Int32
	faulty.append = func(entries []bus.Entry) error {
		if n := appends.Add(1); n == 1 { // meanwhile the others gather
			begun <- struct{}{}
			<-proceed
		} else if n == 2 {
			defer panic("unforeseen")
		}
		return faulty.Bus.Append(t.Context(), entries)
	}
	f := newFixture(t, func(o *Options) {
		faulty.Bus = o.Bus.(*bus.Bus)
		o.Bus = faulty
	})
	c := f.dial(t, "?key=shop-key")
	c.send(`{"id":1,"track":{"events":[{"type":"x"}]}}`)
	<-begun
	c.send(`{"id":2,"track":{"events":[{"type":"x"},{"id":"own","type":"x"}]}}`, `{"id":3,"track":{"events":[{"type":"x"}]}}`, `{"id":4,"refresh":{"token":"u"}}`)
	if line := c.line(); !strings.HasPrefix(line, `{"id":4,`) { // all are there
		t.Fatal(line)
	}
	close(proceed)
	for id := 1; id <= 3; id++ {
		if line := c.line(); !strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,"ack":`, id)) {
			t.Error(line)
		}
	}
	f.onlyOnce(t, 4)
	if n := appends.Load(); n != 4 {
		t.Errorf("%d appends, want 4", n)
	}
}
