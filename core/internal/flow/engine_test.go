package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func login(t testing.TB, seed string) nats.Option {
	t.Helper()
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return nats.Nkey(public, pair.Sign)
}

// flowOf is a flow of one action of the plugin test.
func flowOf(id, event, action string) string {
	return fmt.Sprintf(`
kind: flow
id: %s
spec:
  trigger: {event: %s}
  nodes: {work: {action: test/%s}}
  edges: [start -> work]
---`, id, event, action)
}

// count reads the trait n of the call's profile and sets it to one more: right
// only if the run before has been committed.
func count(call *wire.Call) wire.Reply {
	profile, err := sdk.ParseObject(call.Profile)
	if err != nil {
		return wire.Reply{Error: &wire.Error{Message: err.Error()}}
	}
	traits, _ := profile["traits"].(map[string]any)
	n, _ := traits["n"].(int64)
	return wire.Reply{Patches: []wire.Patch{
		{Op: wire.OpSet, Path: "traits.n", Value: strconv.AppendInt(nil, n+1, 10)},
		{Op: wire.OpAppend, Path: "traits.runs", Value: fmt.Appendf(nil, "%q", call.Run)},
	}}
}

// wantRuns wants so many runs to have been committed for each user, one after
// another.
func wantRuns(t *testing.T, r *rig, users []string, want int) {
	t.Helper()
	for _, user := range users {
		runs, _ := r.trait(user, "runs").([]any)
		if n := r.trait(user, "n"); n != int64(want) || len(runs) != want {
			t.Errorf("%s: counted to %v in %d different runs, want %d", user, n, len(runs), want)
		}
	}
}

func TestRunsOfAProfileAreInOrder(t *testing.T) {
	r := newRig(t, 0, flowOf("count", "order", "count"))
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	r.start()
	people := users(20)
	for range 25 {
		r.send("order", "", people...)
		r.send("other", "", people[0])
	}
	r.settled()
	wantRuns(t, r, people, 25)
}

// More events than a flow may have under way, while its action hangs: the other
// flow runs, and afterwards the first one has missed nothing.
func TestAFlowThatFallsBehindCatchesUp(t *testing.T) {
	r := newRig(t, 8, flowOf("slow", "order", "slow")+flowOf("quick", "order", "quick"))
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	var quick, slow atomic.Int64
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{
		"slow": func(call *wire.Call) wire.Reply { <-gate; slow.Add(1); return count(call) },
		"quick": func(*wire.Call) wire.Reply {
			quick.Add(1)
			return wire.Reply{}
		},
	})
	r.start()
	people := users(20)
	for range 10 {
		r.send("order", "", people...)
	}
	eventually(t, "the quick flow", func() bool { return quick.Load() == 200 })
	if n := r.engine.metrics.fallenBehind.Get(); n == 0 {
		t.Error("the slow flow did not fall behind")
	}
	open()
	r.settled()
	wantRuns(t, r, people, 10)
	if n := quick.Load(); n != 200 {
		t.Errorf("the quick flow ran %d times", n)
	}
	// And further on it is along again.
	r.send("order", "", people...)
	r.settled()
	wantRuns(t, r, people, 11)
	// Over and over, at full speed: whatever catches up, no event is run for twice.
	for range 30 {
		r.send("order", "", people...)
		r.send("order", "", people...)
	}
	r.settled()
	wantRuns(t, r, people, 71)
	if n := slow.Load(); n != 71*20 {
		t.Errorf("the slow flow's action was called %d times, want %d", n, 71*20)
	}
}

// A run that takes long is journalled: after a restart it goes on at the node
// where it was, and the runs that ended meanwhile are not run again.
func TestALongRunIsJournalled(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: long
spec:
  trigger: {event: order}
  nodes:
    first: {action: test/first}
    hang: {action: test/hang, timeout: 1m}
  edges: [start -> first, first -> hang]
---`+flowOf("count", "order", "count"))
	var mu sync.Mutex
	calls := map[string][]string{}
	note := func(call *wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls[call.Node] = append(calls[call.Node], call.ID)
	}
	hang := make(chan struct{})
	behave := map[string]func(*wire.Call) wire.Reply{
		"first": func(call *wire.Call) wire.Reply {
			note(call)
			return wire.Reply{Payload: []byte(`"from first"`), Patches: []wire.Patch{{Op: wire.OpIncrement, Path: "counters.first", Value: []byte("1")}}}
		},
		"hang": func(call *wire.Call) wire.Reply {
			note(call)
			<-hang
			return wire.Reply{Patches: []wire.Patch{{Op: wire.OpSet, Path: "traits.payload", Value: call.Payload}}}
		},
		"count": func(call *wire.Call) wire.Reply { note(call); return count(call) },
	}
	stopPlugin := r.plugin("test", behave)
	r.start()
	r.send("order", "", "u")
	eventually(t, "the run to be journalled", func() bool { return r.engine.metrics.journalled.Get() == 1 })
	for range 10 {
		r.send("order", "", "other")
	}
	eventually(t, "the runs of the other", func() bool { return r.trait("other", "n") == int64(10) })
	eventually(t, "the position to be kept", func() bool {
		last, err := r.bus.EventsLast(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := r.bus.FlowPosition(t.Context(), r.bus.Partition(r.profileID("other")))
		var at position
		return err == nil && json.Unmarshal(text, &at) == nil && at.At.Seq >= last && at.Flows == nil
	})
	r.stopEngine()
	close(hang)
	stopPlugin()
	r.plugin("test", behave)
	r.start()
	eventually(t, "the long run", func() bool { return r.trait("u", "payload") == "from first" })
	r.settled()
	wantRuns(t, r, []string{"u"}, 1)
	wantRuns(t, r, []string{"other"}, 10)
	mu.Lock()
	defer mu.Unlock()
	if n := r.document("u").Profile.Counters["first"]; n != int64(1) {
		t.Errorf("counters.first is %v", n)
	}
	// Runs of one flow: those for the other person hang too, so 11 of each.
	ids := slices.Clone(calls["hang"])
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 11 {
		t.Errorf("hang was called with %v", calls["hang"])
	}
	if n := len(calls["first"]); n != 11 {
		t.Errorf("first was called %d times, want once a run: the journal had its results", n)
	}
	if n := len(calls["work"]); n != 11 {
		t.Errorf("count was called %d times, want once a run: they had ended before the restart", n)
	}
	if err := r.bus.Runs(t.Context(), func(run string, data []byte, _ uint64) error {
		t.Errorf("run %s is left in the journal: %.200s", run, data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// The engine is stopped over and over while events come: each run is committed
// once.
func TestRunsSurviveRestarts(t *testing.T) {
	r := newRig(t, 16, flowOf("count", "order", "count"))
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	people := users(12)
	for i := range 6 {
		r.start()
		for range 20 {
			r.send("order", "", people...)
		}
		time.Sleep(time.Duration(i*30) * time.Millisecond)
		r.stopEngine()
	}
	r.start()
	r.settled()
	wantRuns(t, r, people, 120)
}

func TestCallersAreAnswered(t *testing.T) {
	r := newRig(t, 0, `
kind: flow
id: hello
spec:
  trigger: {event: visit}
  nodes: {reply: {action: core/result, config: {value: {number: '{{ event.properties.n }}', sessions: '{{ profile.stats.visits }}'}}}}
  edges: [start -> reply]
---
kind: flow
id: never
spec:
  trigger: {event: visit, condition: 'profile.traits.x == 1'}
  nodes: {reply: {action: core/result, config: {value: 1}}}
  edges: [start -> reply]
---
kind: flow
id: fails
spec:
  trigger: {event: visit}
  nodes: {fail: {action: core/fail, config: {message: 'not {{ event.type }}'}}}
  edges: [start -> fail]
`)
	r.start()
	r.send("visit", "a", "u")
	r.send("other", "b", "u")
	got := func(token string) string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.answers[token+"-f"]
	}
	eventually(t, "the answers", func() bool { return got("a") != "" && got("b") != "" })
	if want := `{"response":{"hello":{"number":1,"sessions":0}}}`; got("a") != want {
		t.Errorf("answered %s, want %s", got("a"), want)
	}
	if want := `{"response":{}}`; got("b") != want {
		t.Errorf("answered %s, want %s", got("b"), want)
	}
	letters, err := r.bus.DeadLetters(t.Context(), origin, 0, 10)
	if err != nil || len(letters) != 1 || letters[0].Reason != "not visit" || letters[0].Details["flow"] != "fails" {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

// Events that a flow sends set off flows in their turn, with an end to it.
func TestAFlowThatSetsItselfOffEnds(t *testing.T) {
	r := newRig(t, 0, flowOf("echo", "ping", "echo"))
	var calls atomic.Int64
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{
		"echo": func(*wire.Call) wire.Reply {
			calls.Add(1)
			return wire.Reply{Events: []wire.Event{{Type: "ping"}}, Patches: []wire.Patch{{Op: wire.OpIncrement, Path: "counters.pings", Value: []byte("1")}}}
		},
	})
	r.start()
	r.send("ping", "", "u")
	eventually(t, "the last one to become a dead letter", func() bool {
		letters, err := r.bus.DeadLetters(t.Context(), "", 0, 10)
		return err == nil && len(letters) == 1
	})
	r.settled()
	if n := r.document("u").Profile.Counters["pings"]; n != int64(17) || calls.Load() != 17 {
		t.Errorf("%v pings, %d calls, want 17", n, calls.Load())
	}
}

func TestCallsAreTriedAgain(t *testing.T) {
	r := newRig(t, 0, flowOf("flaky", "flaky", "flaky")+flowOf("absent", "absent", "absent")+flowOf("dying", "dying", "dying"))
	var mu sync.Mutex
	attempts := map[string][]string{}
	died := make(chan struct{})
	note := func(call *wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		attempts[call.Flow] = append(attempts[call.Flow], fmt.Sprint(call.ID, " ", call.Attempt))
	}
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{
		"flaky": func(call *wire.Call) wire.Reply {
			note(call)
			if call.Attempt < 3 {
				return wire.Reply{Error: &wire.Error{Message: "busy", Temporary: true}}
			}
			return count(call)
		},
		"dying": func(call *wire.Call) wire.Reply {
			note(call)
			if call.Attempt == 1 {
				if err := r.bus.PluginEnded("test"); err != nil {
					t.Error(err)
				}
				<-died // it never answers, but for the end of the test
			}
			return count(call)
		},
	})
	defer close(died)
	r.start()
	r.send("flaky", "", "u")
	r.send("dying", "", "v")
	r.send("absent", "", "w")
	eventually(t, "the flows", func() bool { return r.trait("u", "n") == int64(1) && r.trait("v", "n") == int64(1) })
	mu.Lock()
	for flow, want := range map[string]int{"flaky": 3, "dying": 2} {
		key, _, _ := strings.Cut(attempts[flow][0], " ")
		for i, got := range attempts[flow] {
			if want := fmt.Sprint(key, " ", i+1); got != want {
				t.Errorf("%s: call %d was %q, want %q", flow, i, got, want)
			}
		}
		if len(attempts[flow]) != want {
			t.Errorf("%s: %d attempts, want %d", flow, len(attempts[flow]), want)
		}
	}
	mu.Unlock()
	var letters []bus.DeadLetter
	eventually(t, "the dead letter", func() bool {
		var err error
		letters, err = r.bus.DeadLetters(t.Context(), origin, 0, 10)
		return err == nil && len(letters) == 1
	})
	if letters[0].Attempts != 4 || !strings.Contains(letters[0].Reason, "no process of plugin test is up") {
		t.Errorf("%+v", letters[0])
	}
}

// Positions of some partitions only, as a session leaves them that ended before
// the others were this node's, with a flow that is further back: nothing is
// passed over in the partitions without one.
func TestAPartitionWithoutAPositionIsReadFromItsStart(t *testing.T) {
	r := newRig(t, 0, flowOf("count", "order", "count"))
	r.plugin("test", map[string]func(*wire.Call) wire.Reply{"count": count})
	people := users(40)
	r.send("order", "", people...)
	var last uint64
	eventually(t, "the events", func() bool {
		var err error
		last, err = r.bus.EventsLast(t.Context())
		return err == nil && last == 2*uint64(len(people)) // each makes a profile, and tells so
	})
	c, n, err := r.bus.LastEvent(t.Context(), 0)
	if err != nil || c == 0 {
		t.Fatal("no event in partition 0", err)
	}
	// Partition 0 is done but for its last event.
	text := fmt.Appendf(nil, `{"at":{"seq":%d,"c":%d,"n":%d},"flows":{"count":{"seq":%d,"c":%d,"n":%d}}}`, last, c, n, last-1, c, n-1)
	if _, err := r.bus.PutFlowPosition(t.Context(), 0, text, 0); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.settled()
	inFirst := 0
	for _, user := range people {
		n, _ := r.trait(user, "n").(int64)
		if r.bus.Partition(r.profileID(user)) == 0 {
			inFirst += int(n)
		} else if n != 1 {
			t.Errorf("%s: %d runs, want 1", user, n)
		}
	}
	if inFirst != 1 {
		t.Errorf("%d runs in the partition that was done but for one event", inFirst)
	}
}
