package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A watcher keeps the steps of a flow that it is told.
type watcher struct {
	t    *testing.T
	mu   sync.Mutex
	list []toldStep
	text []byte
	lost int
}

func watch(r *rig, t *testing.T, flow string) *watcher {
	t.Helper()
	w := &watcher{t: t}
	stop, err := r.bus.ListenSteps(flow, func(step []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var s toldStep
		if err := json.Unmarshal(step, &s); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		w.list, w.text = append(w.list, s), append(append(w.text, step...), '\n')
	}, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lost++
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return w
}

// ended waits until so many runs have been told to have ended, and returns the
// steps by run, in the order of the runs' ends.
func (w *watcher) ended(n int) (runs [][]toldStep) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d runs to be told", n), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		ended := 0
		for _, s := range w.list {
			if s.Step == stepEnded {
				ended++
			}
		}
		return ended >= n
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost > 0 {
		w.t.Errorf("steps were lost %d times", w.lost)
	}
	byRun := map[string][]toldStep{}
	for _, s := range w.list {
		byRun[s.Run] = append(byRun[s.Run], s)
		if s.Step == stepEnded {
			runs = append(runs, byRun[s.Run])
		}
	}
	return runs
}

// brief is what a step says, but for its ids and times.
func (s *toldStep) brief() string {
	return strings.Join(strings.Fields(fmt.Sprint(s.Step, " ", s.Node, " ", s.Action, " ", s.Port, " ", s.Attempts, " ", s.Outcome, " ", s.Error)), " ")
}

func TestEachStepOfARunIsTold(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: greet
spec:
  trigger: {event: order, condition: 'event.properties.n != 4 && profile.id != "none"'}
  nodes:
    flaky: {action: test/flaky, config: {password: hidden}}
    third: {action: core/if, config: {condition: 'event.properties.n == 3'}}
    stop: {action: core/fail, config: {message: 'no third one'}}
    broken: {action: test/broken}
    reply: {action: core/result, config: {value: {text: 'secret answer'}}}
  edges: [start -> flaky, flaky -> third, third:true -> stop, third:false -> broken, broken:error -> reply]
`)
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{
		"flaky": func(call *wire.Call) wire.Reply {
			if call.Attempt == 1 {
				return wire.Reply{Error: &wire.Error{Message: "not yet", Temporary: true}}
			}
			return wire.Reply{Payload: []byte(`{"key":"hidden payload"}`), Patches: []wire.Patch{{Op: wire.OpSet, Path: "traits.seen", Value: []byte(`"hidden"`)}}}
		},
		"broken": func(*wire.Call) wire.Reply {
			return wire.Reply{Error: &wire.Error{Message: strings.Repeat("ä", 2000)}}
		},
	})
	r.start()
	w := watch(r, t, "greet")
	r.settled() // the engine runs, and knows of the listener
	for range 4 {
		r.send("order", "", "ann")
	}
	r.settled()
	runs := w.ended(3)
	long := strings.Repeat("ä", maxTold/2) // the action's own words, cut
	for i, want := range [][]string{
		{"begun 0", "node flaky test/flaky done 2", "node third core/if false 1", "node broken test/broken error 1 " + long, "node reply core/result done 1", "ended 0 answered"},
		{"begun 0", "node flaky test/flaky done 2", "node third core/if false 1", "node broken test/broken error 1 " + long, "node reply core/result done 1", "ended 0 answered"},
		{"begun 0", "node flaky test/flaky done 2", "node third core/if true 1", "node stop core/fail 1 no third one", "ended stop core/fail 1 failed no third one"},
	} {
		var got []string
		for _, s := range runs[i] {
			got = append(got, strings.ReplaceAll(s.brief(), "…", ""))
			if s.Flow != "greet" || s.Event != fmt.Sprint(i+1) || s.Profile == nil || *s.Profile != r.profileID("ann") || s.Time == "" {
				t.Errorf("of event %d: %+v", i+1, s)
			}
			if slow := s.Node == "flaky" || s.Step == stepEnded; slow && (s.Took == nil || *s.Took < 100) || s.Step == stepBegun && s.Took != nil {
				t.Errorf("%s took %v", s.brief(), s.Took)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("run %d:\n%q, want\n%q", i+1, got, want)
		}
	}
	if len(runs) != 3 || strings.Contains(string(w.text), "hidden") || strings.Contains(string(w.text), "secret") {
		t.Errorf("told of %d runs: %s", len(runs), w.text)
	}
	// A run has ended when what it wants can be read.
	if seen := r.trait("ann", "seen"); seen != "hidden" {
		t.Errorf("the trait is %v", seen)
	}
}

// Where nobody listens to a flow nothing is sent.
func TestNobodyListensNothingIsTold(t *testing.T) {
	r := newRig(t, 0, flowOf("quiet", "order", "count")+flowOf("watched", "other", "count"))
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	seed, err := nats.NkeyOptionFromSeed(r.bus.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(r.bus.URL(), seed)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all, err := conn.SubscribeSync("flow.step.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.send("order", "", users(20)...)
	r.settled()
	w := watch(r, t, "watched")
	r.send("order", "", users(20)...)
	r.send("other", "", "user-1")
	r.settled()
	w.ended(1)
	steps := 0
	for {
		m, err := all.NextMsg(100 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if steps++; m.Subject != "flow.step.watched" {
			t.Errorf("told of on %s: %s", m.Subject, m.Data)
		}
	}
	if steps < 3 {
		t.Errorf("%d steps were told", steps)
	}
}

// A listener that takes nothing holds up no run.
func TestASlowListenerHoldsUpNoRun(t *testing.T) {
	r := newRig(t, 0, flowOf("count", "order", "count"))
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	r.start()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	var lost atomic.Int64
	stop, err := r.bus.ListenSteps("count", func([]byte) { <-gate }, func() { lost.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	people := users(500)
	for range 6 { // three steps a run: more than all that may wait
		r.send("order", "", people...)
	}
	r.settled()
	wantRuns(t, r, people, 6)
	open()
	eventually(t, "the loss to be told", func() bool { return lost.Load() > 0 })
}

// A run that goes on after a restart is told on, and not once more.
func TestAResumedRunIsToldOn(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: long
spec:
  trigger: {event: order}
  nodes: {one: {action: test/one}, two: {action: test/two, timeout: 30s}}
  edges: [start -> one, one -> two]
`)
	gate := make(chan struct{})
	var calls atomic.Int64
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{
		"one": func(*wire.Call) wire.Reply { return wire.Reply{} },
		"two": func(*wire.Call) wire.Reply { calls.Add(1); <-gate; return wire.Reply{Port: config.PortDone} },
	})
	r.start()
	w := watch(r, t, "long")
	r.send("order", "", "ann")
	eventually(t, "the run to be journalled", func() bool { return r.engine.metrics.journalled.Get() > 0 })
	r.stopEngine()
	r.start()
	eventually(t, "the second node to be asked again", func() bool { return calls.Load() > 1 })
	close(gate)
	r.settled()
	var got []string
	for _, s := range w.ended(1)[0] {
		got = append(got, s.brief())
	}
	if want := []string{"begun 0", "node one test/one done 1", "node two test/two done 1", "ended 0 ok"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
