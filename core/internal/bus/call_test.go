package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// echo answers the first action of a plugin with what it is sent.
func echo(t testing.TB, b *Bus, plugin string) *process {
	t.Helper()
	u := must(b.Grant(t.Context(), PluginGrant{Plugin: plugin, Actions: []string{"echo"}, ReplyWithin: time.Minute}))
	t.Cleanup(u.Revoke)
	p := connectAs(t, u, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	p.answer(u.Endpoints[0], func(m *nats.Msg) { m.Respond(m.Data) })
	return p
}

func TestCallOfNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		start := time.Now()
		if _, err := b.Call(t.Context(), "hello", "greet", nil); !errors.Is(err, ErrNoPlugin) || errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("told after %v", took)
		}
	})
}

// A call that is not answered ends with its context, and harms no other.
func TestCallsWaitForThemselves(t *testing.T) {
	b := open(t, Options{})
	echo(t, b, "echo")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var calls errgroup.Group
	large := make([]byte, 1<<20)
	stuck := []string{"stuck", "stuck-too"}
	for _, plugin := range stuck {
		u := must(b.Grant(t.Context(), PluginGrant{Plugin: plugin, Actions: []string{"wait"}, ReplyWithin: time.Minute}))
		connectAs(t, u).answer(u.Endpoints[0], func(*nats.Msg) {})
		for range 2 * lineWindow / len(large) { // more than may be on their way to one plugin
			calls.Go(func() error {
				_, err := b.Call(ctx, plugin, "wait", large)
				return err
			})
		}
	}
	eventually(t, 10*time.Second, "as many calls as there may be", func() bool {
		b.calls.line.mu.Lock()
		defer b.calls.line.mu.Unlock()
		return len(b.calls.line.pending) == len(stuck)*(lineWindow/len(large)-1)
	})
	before, _, _ := b.calls.line.current()
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := b.Call(short, "stuck", "wait", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past its deadline: %v", err)
	}
	for i := range 100 {
		if got, err := b.Call(t.Context(), "echo", "echo", fmt.Append(nil, i)); string(got) != fmt.Sprint(i) || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if after, _, _ := b.calls.line.current(); after != before {
		t.Error("the connection was made anew")
	}
	why := errors.New("the run was cancelled")
	cancel(why)
	if err := calls.Wait(); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Call(t.Context(), "echo", "echo", make([]byte, maxPayload+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// What was asked of a server that is restarted fails, and may have been done.
func TestCallsFailWithTheServer(t *testing.T) {
	b := open(t, Options{})
	u := must(b.Grant(t.Context(), PluginGrant{Plugin: "stuck", Actions: []string{"wait"}, ReplyWithin: time.Minute}))
	asked := make(chan struct{}, 1)
	connectAs(t, u).answer(u.Endpoints[0], func(*nats.Msg) { asked <- struct{}{} })
	failed := make(chan error, 1)
	go func() {
		_, err := b.Call(t.Context(), "stuck", "wait", nil)
		failed <- err
	}()
	<-asked
	if err := b.server.restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, ErrNoAck) || errors.Is(err, ErrNoPlugin) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the call still waits")
	}
}

func TestPluginEndedIsHeardOnEveryNode(t *testing.T) {
	e := startExternal(t)
	a, b := open(t, Options{URLs: []string{e.url()}}), open(t, Options{URLs: []string{e.url()}})
	heard := map[*Bus]chan string{a: make(chan string, 2), b: make(chan string, 2)}
	for node, c := range heard {
		stop, err := node.OnPluginEnded(func(plugin string) { c <- plugin })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	stop, err := a.OnPluginEnded(func(string) { t.Error("heard after the end") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := a.PluginEnded("hello-world"); err != nil {
		t.Fatal(err)
	}
	for _, c := range heard {
		select {
		case plugin := <-c:
			if plugin != "hello-world" {
				t.Errorf("heard of %q", plugin)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("not heard")
		}
	}
}

// BenchmarkCall asks an action that does nothing, alone and by many at once.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			bus := open(b, Options{Durability: DurabilityProcess})
			echo(b, bus, "echo")
			data := make([]byte, 512)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var group errgroup.Group
			for range callers {
				group.Go(func() error {
					for left.Add(-1) >= 0 {
						if _, err := bus.Call(b.Context(), "echo", "echo", data); err != nil {
							return err
						}
					}
					return nil
				})
			}
			if err := group.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
