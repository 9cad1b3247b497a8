package test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Two core nodes on one NATS. The first is stopped in the middle of its work,
// so that the second takes over; then it wakes and goes on with what it held.
// One of them is refused, and every event is applied once.
func TestAStalledOwnerWakes(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	first := launch(t, "--set", "bus.urls="+b.url())
	second := launch(t, "--set", "bus.urls="+b.url())
	first.apply(counting)
	eventually(t, 20*time.Second, "the second node to know the event type", func() bool {
		_, err := second.try("get", "event-type", "add")
		return err == nil
	})

	const users = 20
	var sent atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	load := func(p *product, name string) {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			event := fmt.Sprintf(`{"id":"%s-%d","type":"add","ids":{"user":"u%d"},"properties":{"n":1,"place":"%s-%06d"}}`, name, i, i%users, name, i)
			if err := p.sendHTTP(event); err != nil {
				t.Error(err)
				return
			}
			sent.Add(1)
		}
	}
	group.Go(func() { load(second, "b") })
	stalled := make(chan struct{})
	group.Go(func() {
		// The first node's clients, until it stalls.
		for i := 0; ; i++ {
			select {
			case <-stalled:
				return
			default:
			}
			if err := first.sendHTTP(fmt.Sprintf(`{"id":"a-%d","type":"add","ids":{"user":"u%d"},"properties":{"n":1,"place":"a-%06d"}}`, i, i%users, i)); err != nil {
				t.Error(err)
				return
			}
			sent.Add(1)
		}
	})
	for range scale(2, 6) {
		time.Sleep(time.Second)
		if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// Long enough for the second node to own everything.
		time.Sleep(8 * time.Second)
		if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	close(stalled)
	close(stop)
	group.Wait()
	want := int(sent.Load())
	sum := func() (n int) {
		for u := range users {
			events, _ := at(second.profile(fmt.Sprint("user:u", u)), "counters", "events").(float64)
			n += int(events)
		}
		return n
	}
	eventually(t, 60*time.Second, "all events to be folded", func() bool { return sum() >= want })
	if got := sum(); got != want {
		t.Errorf("%d events applied, %d sent", got, want)
	}
	for u := range users {
		id := fmt.Sprint("user:u", u)
		profile := second.profile(id)
		seen, _ := at(profile, "data", "seen").([]any)
		if events, _ := at(profile, "counters", "events").(float64); int(events) != len(seen) {
			t.Errorf("%s: %v events applied, %d different ones", id, events, len(seen))
		}
		checkOrder(t, id, at(profile, "data", "order"))
	}
	if refused := metric(t, first, "tributary_processor_commits_refused_total") + metric(t, second, "tributary_processor_commits_refused_total"); refused == 0 {
		t.Error("no commit was refused: the stalled owner was not fenced")
	}
	// Each node has its own query store; both agree.
	for _, p := range []*product{first, second} {
		p.counts("events", `event.type == "add"`, want)
		p.counts("profiles", "true", users)
	}
}
