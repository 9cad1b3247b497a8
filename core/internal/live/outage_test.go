package live

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus/bustest"
)

// Whoever goes away while the bus does not answer waits no longer, also where
// another one is at it; and how many listen can be told meanwhile.
func TestSubscribeGivesUpDuringAnOutage(t *testing.T) {
	l := New(bustest.Lost(t), nil)
	for _, name := range []string{"events", "profile:x"} {
		c, err := ParseChannel(name)
		if err != nil {
			t.Fatal(err)
		}
		first, cancelFirst := context.WithCancel(t.Context())
		second, cancelSecond := context.WithCancel(t.Context())
		ends := map[string]chan error{"first": make(chan error, 1), "second": make(chan error, 1)}
		begin := func(ctx context.Context, which string) {
			go func() {
				_, err := l.Subscribe(ctx, Request{Channel: c}, newListener(-1), func(Start) {})
				ends[which] <- err
			}()
		}
		shared := &l.events
		if name != "events" {
			shared = &l.profiles.shared
		}
		begin(first, "first")
		for len(shared.turn) == 0 {
			time.Sleep(time.Millisecond)
		}
		begin(second, "second")
		for _, one := range []struct {
			which  string
			cancel context.CancelFunc
		}{{"second", cancelSecond}, {"first", cancelFirst}} {
			if n := l.Count(); n != 0 {
				t.Errorf("%s: %d subscriptions", name, n)
			}
			one.cancel()
			select {
			case err := <-ends[one.which]:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: the %s one ends with %v", name, one.which, err)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: the %s one waits on", name, one.which)
			}
		}
	}
}

// TestFlowsGiveUpDuringAnOutage has more who want to listen to flows than the bus
// can refuse in time: each gives up with its own context, and nobody else waits.
func TestFlowsGiveUpDuringAnOutage(t *testing.T) {
	l := New(bustest.Lost(t), nil)
	channel := func(n int) Channel {
		c, err := ParseChannel(fmt.Sprintf("flow:f%d", n))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	const waiting = 10
	ends := make(chan error, waiting)
	for n := range waiting {
		go func() {
			_, err := l.Subscribe(ctx, Request{Channel: channel(n)}, sink{}, func(Start) {})
			ends <- err
		}()
	}
	time.Sleep(50 * time.Millisecond)
	cancel()
	began := time.Now()
	for range waiting {
		if err := <-ends; err == nil {
			t.Error("somebody listens")
		}
	}
	// One of them may be with the bus, which takes its time to say no.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("they gave up after %s", took)
	}
}

// sink takes nothing.
type sink struct{}

func (sink) Push([]byte) bool                         { return true }
func (sink) Room(context.Context, time.Duration) bool { return true }
func (sink) Lost(string)                              {}
