package test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/client"
)

// largeOrders counts, by customer, the orders over 1,000 of the file.
func largeOrders(t *testing.T) (byCustomer map[string]int, all int) {
	t.Helper()
	f, err := os.Open(orders)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	byCustomer = map[string]int{}
	for _, row := range rows[1:] {
		total, err := strconv.ParseFloat(row[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		if total > 1000 {
			byCustomer[row[2]]++
			all++
		}
	}
	if all != 1321 {
		t.Fatalf("the file has %d orders over 1,000", all)
	}
	return byCustomer, all
}

// checkLargeOrders wants the flow of the retail example to have run once for each
// order over 1,000 and for no other.
func checkLargeOrders(t *testing.T, p *product) {
	t.Helper()
	byCustomer, _ := largeOrders(t)
	p.counts("profiles", "profile.traits.big_orders > 0", len(byCustomer))
	for customer, want := range byCustomer {
		got := -1
		for deadline := time.Now().Add(30 * time.Second); got != want && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			n, _ := at(p.profile("user:"+customer), "traits", "big_orders").(float64)
			got = int(n)
		}
		if got != want {
			t.Errorf("customer %s has %d large orders, want %d", customer, got, want)
		}
	}
}

// The retail example is imported while the core is killed twice and the process of
// the plugin that the flow asks twice.
func TestTheFlowRunsOncePerOrder(t *testing.T) {
	t.Parallel()
	for name, arguments := range everyBus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range scale(1, 5) {
				oncePerOrder(t, arguments(t))
			}
		})
	}
}

func oncePerOrder(t *testing.T, arguments []string) {
	p := launch(t, arguments...)
	p.run("apply", "-f", retail)
	importing := exec.Command(binary, "--data", p.dir, "import", orders, "--mapping", "orders")
	importing.Env = environment()
	importing.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	imported := make(chan struct{})
	go func() {
		defer close(imported)
		_ = importing.Run() // it may give up while the server is away
	}()
	for range 2 {
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		if err := syscall.Kill(p.running("profile"), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		p.kill()
		p.start()
	}
	<-imported
	p.run("import", orders, "--mapping", "orders")
	checkRetail(t, p)
	checkLargeOrders(t, p)
	if t.Failed() {
		t.Logf("status: %s\nlog: %s", p.api(http.MethodGet, "/api/v1/status", "").body, p.log)
	}
	if out := p.run("deadletters", "list", "--json"); len(out) > 10 {
		t.Errorf("dead letters: %.1000s", out)
	}
	p.stop()
}

// Events at one node, whose partitions another one owns: the answer of the flow
// comes back all the same, over HTTP and over the WebSocket.
func TestTheAnswerComesFromAnotherNode(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	first := launch(t, "--set", "bus.urls="+b.url(), "--set", "plugins.share_credentials=true")
	second := launch(t, "--set", "bus.urls="+b.url(), "--set", "plugins.share_credentials=true")
	first.apply(`
kind: flow
id: hail
spec:
  trigger: {event: hail}
  nodes:
    mark: {action: profile/set, config: {set: {traits.name: '{{ event.properties.name }}'}}}
    reply: {action: core/result, config: {value: 'Hello, {{ profile.traits.name }}'}}
  edges: [start -> mark, mark -> reply]
`)
	eventually(t, 20*time.Second, "the second node to know the flow", func() bool {
		_, err := second.try("get", "flow", "hail")
		return err == nil
	})
	for _, p := range []*product{first, second} {
		conn := p.dial(t)
		var group sync.WaitGroup
		// Enough people that both nodes own some of them.
		for u := range 40 {
			group.Go(func() {
				want := fmt.Sprintf("Hello, user %d", u)
				if got := p.ask(fmt.Sprintf(`{"type":"hail","ids":{"user":"u%d"},"properties":{"name":"user %d"}}`, u, u)); got != want {
					t.Errorf("answered %v, want %s", got, want)
				}
			})
		}
		group.Wait()
		for u := range 10 {
			frame := fmt.Sprintf(`{"id":%d,"track":{"events":[{"type":"hail","ids":{"user":"w%d"},"properties":{"name":"socket %d"}}],"wait":"flows"}}`, u+10, u, u)
			if err := conn.WriteMessage(1, []byte(frame)); err != nil {
				t.Fatal(err)
			}
			got, err := receive(conn, "result")
			if err != nil {
				t.Fatal(err)
			}
			if answer := at(got, "result", "response", "hail"); answer != fmt.Sprintf("Hello, socket %d", u) {
				t.Errorf("the socket is answered %v", got)
			}
		}
	}
	shares := metric(t, first, "tributary_flow_runs_total") * metric(t, second, "tributary_flow_runs_total")
	if shares == 0 {
		t.Error("one node ran all the flows")
	}
}

// What flows answer comes to a Go program: for each of its events, and for all of
// them the last one.
func TestTheClientIsAnswered(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(`
kind: flow
id: tally
spec:
  trigger: {event: tick, condition: event.properties.n > 0}
  nodes:
    count: {action: profile/set, config: {set: {traits.n: '{{ (profile.traits.n == null ? 0 : profile.traits.n) + event.properties.n }}'}}}
    reply: {action: core/result, config: {value: {n: '{{ profile.traits.n }}'}}}
  edges: [start -> count, count -> reply]
`)
	c, err := client.New(p.url, client.Key("dev"))
	if err != nil {
		t.Fatal(err)
	}
	events := make([]client.Event, 4)
	for i := range events {
		events[i] = client.Event{ID: strconv.Itoa(i), Type: "tick", IDs: map[string]string{"user": "ann"}, Properties: map[string]any{"n": i}}
	}
	reply, err := c.Send(t.Context(), events, client.Wait(client.Flows))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Accepted != 4 || reply.Waited != nil || len(reply.Results) != 4 {
		t.Fatalf("reply %s", reply.Raw)
	}
	var answer struct {
		N int `json:"n"`
	}
	if err := reply.Results[0].Response.Decode("tally", &answer); !errors.Is(err, client.ErrNoResponse) {
		t.Errorf("an event that the trigger leaves out is answered %+v, %v", answer, err)
	}
	for i, want := range []int{1, 3, 6} {
		if err := reply.Results[i+1].Response.Decode("tally", &answer); err != nil || answer.N != want {
			t.Errorf("event %d is answered %+v, %v; want %d", i+1, answer, err, want)
		}
	}
	if err := reply.Response.Decode("tally", &answer); err != nil || answer.N != 6 {
		t.Errorf("all events are answered %+v, %v; want 6", answer, err)
	}
	// Known already, and not asked for.
	for _, stage := range []client.Stage{client.Flows, client.Processed} {
		reply, err := c.Send(t.Context(), events[3:], client.Wait(stage))
		if err != nil || reply.Results[0].Status != client.Duplicate || len(reply.Response) != 0 {
			t.Errorf("once more, with wait=%s: %v, %+v", stage, err, reply)
		}
	}
}

// A flow whose action hangs does not hold up another flow, nor do its own runs
// hold up each other beyond its window.
func TestFlowsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	p := launch(t, "--plugin-dir", pluginDir(t, "rascal"))
	p.running("rascal")
	p.apply(`
kind: flow
id: stuck
spec:
  trigger: {event: work}
  nodes: {hang: {action: rascal/hang, timeout: 20s}}
  edges: [start -> hang]
---
kind: flow
id: quick
spec:
  trigger: {event: work}
  nodes: {set: {action: profile/set, config: {set: {traits.done: true}}}}
  edges: [start -> set]
`)
	const users = 3000 // more than a flow has under way at a time
	body := make([]byte, 0, 100*users)
	for from := 0; from < users; from += 500 {
		body = append(body[:0], '[')
		for u := from; u < from+500; u++ {
			if u > from {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `{"type":"work","ids":{"user":"u%d"}}`, u)
		}
		a, err := p.post("/v1/events", string(append(body, ']')))
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
	}
	began := time.Now()
	p.counts("profiles", "profile.traits.done == true", users)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the quick flow took %s beside the stuck one", took)
	}
}
