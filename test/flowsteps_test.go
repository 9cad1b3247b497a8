package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// stepsFlow asks the plugin profile, decides, and answers some of its callers.
const stepsFlow = `
kind: flow
id: hail
spec:
  trigger: {event: hail}
  nodes:
    mark: {action: profile/set, config: {set: {traits.name: '{{ event.properties.name }}'}}}
    known: {action: core/if, config: {condition: 'profile.traits.name != "Nobody"'}}
    reply: {action: core/result, config: {value: 'Hello, {{ profile.traits.name }}'}}
    refuse: {action: core/fail, config: {message: 'there is nobody'}}
  edges: [start -> mark, mark -> known, known:true -> reply, known:false -> refuse]
`

// A viewer listens to the flow hail.
type viewer struct {
	t      *testing.T
	conn   *websocket.Conn
	epoch  string
	offset float64
	lines  []string // of a message, not read yet
}

func (p *product) viewer(from string) (*viewer, bool) {
	p.t.Helper()
	v := &viewer{t: p.t}
	conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws?token="+p.follower(nil).token, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response.Body.Close()
	v.conn = conn
	p.t.Cleanup(func() { conn.Close() })
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"subscribe":{"channel":"flow:hail"`+from+`}}`)); err != nil {
		p.t.Fatal(err)
	}
	subscribed := v.next("subscribed")
	v.epoch, _ = subscribed["epoch"].(string)
	v.offset, _ = subscribed["offset"].(float64)
	return v, subscribed["recovered"] == true
}

// next is the next frame of a kind.
func (v *viewer) next(kind string) map[string]any {
	v.t.Helper()
	for {
		for len(v.lines) > 0 {
			var frame map[string]any
			if err := json.Unmarshal([]byte(v.lines[0]), &frame); err != nil {
				v.t.Fatalf("%s: %v", v.lines[0], err)
			}
			v.lines = v.lines[1:]
			if of, ok := frame[kind].(map[string]any); ok {
				return of
			}
		}
		_ = v.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, text, err := v.conn.ReadMessage()
		if err != nil {
			v.t.Fatalf("%s: %v", kind, err)
		}
		v.lines = strings.Split(string(text), "\n")
	}
}

// runs reads steps until so many runs have ended, and returns what was told of
// each, by its event's id.
func (v *viewer) runs(n int) map[string][]string {
	v.t.Helper()
	told, ended := map[string][]string{}, map[string]bool{}
	for len(ended) < n {
		push := v.next("push")
		offset, _ := push["offset"].(float64)
		if offset != v.offset+1 || push["channel"] != "flow:hail" {
			v.t.Errorf("%v after %v", push, v.offset)
		}
		v.offset = offset
		step := push["data"].(map[string]any)
		text := fmt.Sprint(step["step"])
		for _, field := range []string{"node", "action", "port", "attempts", "outcome", "error"} {
			if value := step[field]; value != nil {
				text += fmt.Sprint(" ", value)
			}
		}
		if step["flow"] != "hail" || step["run"] == "" || step["profile"] == "" || step["time"] == "" {
			v.t.Errorf("step %v", step)
		}
		if took, ok := step["took_ms"].(float64); step["step"] == "node" && (!ok || took < 0) {
			v.t.Errorf("step %v", step)
		}
		event := fmt.Sprint(step["event"])
		told[event] = append(told[event], text)
		if step["step"] == "ended" {
			ended[event] = true
		}
	}
	return told
}

var (
	stepsOfAnswer  = []string{"begun", "node mark profile/set done 1", "node known core/if true 1", "node reply core/result done 1", "ended answered"}
	stepsOfFailure = []string{"begun", "node mark profile/set done 1", "node known core/if false 1", "node refuse core/fail 1 there is nobody", "ended refuse core/fail 1 failed there is nobody"}
)

// Whoever listens to a flow is told each step of its runs, and goes on where it
// was when it comes back soon.
func TestFlowChannelTellsEachStep(t *testing.T) {
	t.Parallel()
	for name, arguments := range everyBus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, arguments(t)...)
			early, _ := p.viewer("") // the flow is yet to come
			p.apply(stepsFlow)
			hail := func(id, name string) {
				p.ask(fmt.Sprintf(`{"id":%q,"type":"hail","ids":{"user":"ann"},"properties":{"name":%q}}`, id, name))
			}
			hail("h1", "Ann")
			hail("h2", "Nobody")
			told := early.runs(2)
			if !slices.Equal(told["h1"], stepsOfAnswer) || !slices.Equal(told["h2"], stepsOfFailure) {
				t.Errorf("told %q", told)
			}
			early.conn.Close()
			hail("h3", "Ann") // while nobody listens
			back, recovered := p.viewer(fmt.Sprintf(`,"recover":{"epoch":%q,"offset":%v}`, early.epoch, early.offset))
			if !recovered || back.epoch != early.epoch {
				t.Errorf("recovered %v, epoch %s after %s", recovered, back.epoch, early.epoch)
			}
			hail("h4", "Ann")
			told = back.runs(2)
			if len(told) != 2 || !slices.Equal(told["h3"], stepsOfAnswer) || !slices.Equal(told["h4"], stepsOfAnswer) {
				t.Errorf("told %q", told)
			}
			// After a restart there is a gap.
			p.stop()
			p.start()
			late, recovered := p.viewer(fmt.Sprintf(`,"recover":{"epoch":%q,"offset":%v}`, back.epoch, back.offset))
			if recovered || late.epoch == back.epoch {
				t.Errorf("recovered %v after a restart, epoch %s", recovered, late.epoch)
			}
			hail("h5", "Ann")
			if told = late.runs(1); !slices.Equal(told["h5"], stepsOfAnswer) {
				t.Errorf("told %q", told)
			}
		})
	}
}

// Who listens at one node is told the steps of the runs of all.
func TestFlowChannelTellsOfOtherNodes(t *testing.T) {
	t.Parallel()
	b := launchBroker(t)
	first := launch(t, "--set", "bus.urls="+b.url(), "--set", "plugins.share_credentials=true")
	second := launch(t, "--set", "bus.urls="+b.url(), "--set", "plugins.share_credentials=true")
	first.apply(stepsFlow)
	eventually(t, 20*time.Second, "the second node to know the flow", func() bool {
		_, err := second.try("get", "flow", "hail")
		return err == nil
	})
	here, _ := first.viewer("")
	there, _ := second.viewer("")
	const events = 60
	for n := range events {
		first.ask(fmt.Sprintf(`{"id":"h%d","type":"hail","ids":{"user":"u%[1]d"},"properties":{"name":"user %[1]d"}}`, n))
	}
	for name, v := range map[string]*viewer{"the first node": here, "the second node": there} {
		told := v.runs(events)
		for n := range events {
			// Where a partition has gone to the other node meanwhile both work on a
			// run, and tell of it.
			var once []string
			for _, step := range told[fmt.Sprint("h", n)] {
				if !slices.Contains(once, step) {
					once = append(once, step)
				}
			}
			if !slices.Equal(once, stepsOfAnswer) {
				t.Errorf("%s: of event %d told %q", name, n, told[fmt.Sprint("h", n)])
			}
		}
	}
	shares := metric(t, first, "tributary_flow_runs_total") * metric(t, second, "tributary_flow_runs_total")
	if shares == 0 {
		t.Error("one node ran all the flows")
	}
}
