package test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// Two gateways take in events of one new user at once, a thousand of them: they agree
// on who that is, and what is one person ends as one profile.
func TestTwoGatewaysMakeOnePerson(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	first := launch(t, "--set", "bus.urls="+b.url())
	second := launch(t, "--set", "bus.urls="+b.url())
	first.apply(counting)
	eventually(t, 20*time.Second, "the second node to know the event type", func() bool {
		_, err := second.try("get", "event-type", "add")
		return err == nil
	})
	const events, senders = 1000, 50
	var group sync.WaitGroup
	start := make(chan struct{})
	for s := range senders {
		group.Go(func() {
			<-start
			node := []*product{first, second}[s%2]
			for i := s; i < events; i += senders {
				ids := `"user":"new"`
				if i%3 == 0 {
					ids = fmt.Sprintf(`"user":"new","anonymous":"device-%d"`, i%9)
				}
				event := fmt.Sprintf(`{"id":"%d","type":"add","ids":{%s},"properties":{"n":1}}`, i, ids)
				if err := node.sendHTTP(event); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(start)
	group.Wait()
	eventually(t, 60*time.Second, "all to be counted", func() bool {
		n, _ := at(second.profile("user:new"), "counters", "events").(float64)
		return n == events
	})
	for _, node := range []*product{first, second} {
		node.counts("profiles", `profile.created != null`, 1)
	}
}

// Two profiles become one while each receives 500 events a second, and the server is
// killed meanwhile: the sums are those of what was accepted.
func TestAMergeUnderLoad(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	sides := []string{`"anonymous":"phone"`, `"email":"ann@mail.example"`}
	for i, ids := range sides {
		if err := p.sendHTTP(fmt.Sprintf(`{"id":"first-%d","type":"add","ids":{%s},"properties":{"n":1}}`, i, ids)); err != nil {
			t.Fatal(err)
		}
	}
	const perSecond = 500
	seconds := scale(3, 20)
	want := 2*perSecond*seconds + 3
	var group sync.WaitGroup
	for side, ids := range sides {
		for worker := range 10 {
			group.Go(func() {
				tick := time.NewTicker(10 * time.Second / perSecond)
				defer tick.Stop()
				for i := worker; i < perSecond*seconds; i += 10 {
					<-tick.C
					p.deliver(fmt.Sprintf(`{"id":"%d-%d","type":"add","ids":{%s},"properties":{"n":1}}`, side, i, ids))
				}
			})
		}
	}
	time.Sleep(time.Second)
	p.deliver(`{"id":"both","type":"add","ids":{"email":"ann@mail.example","anonymous":"phone"},"properties":{"n":1}}`)
	time.Sleep(20 * time.Millisecond)
	p.kill()
	p.start()
	group.Wait()
	eventually(t, 60*time.Second, "all to be counted", func() bool {
		n, _ := at(p.profile("anonymous:phone"), "counters", "events").(float64)
		return int(n) >= want
	})
	phone, email := p.profile("anonymous:phone"), p.profile("email:ann@mail.example")
	if n := at(phone, "counters", "events"); phone["id"] != email["id"] || n != float64(want) {
		t.Errorf("%v and %v: %v, want %d", phone["id"], email["id"], n, want)
	}
	p.counts("events", `event.type == "add"`, want)
	p.counts("profiles", `profile.created != null`, 1)
}

// deliver sends an event until it is accepted.
func (p *product) deliver(event string) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := p.sendHTTP(event)
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			p.t.Error(err)
			return
		}
	}
}
