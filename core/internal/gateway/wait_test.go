package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// shopFlows answer by an event's type as two flows would.
func shopFlows(c *record.Command) string {
	switch c.Event.Type {
	case "silent":
		return ""
	case "broken":
		return `{"response":[]}`
	case "plain":
		return `{"response":{"thank-you":7}}`
	case "nothing":
		return `{"response":{}}`
	}
	return fmt.Sprintf(`{ "response": {"thank-you": {"id": %q, "words": {"of": %q}},
		"offer": {"words": {"more": [1.50, 22.200000000000000003]}}}}`, c.Event.ID, c.Event.Type)
}

// shopOutcome takes an event of the type seen for a duplicate and one of the
// type wrong for not valid.
func shopOutcome(c *record.Command) *record.Outcome {
	o := applied(c)
	switch c.Event.Type {
	case "seen":
		o.Status = record.StatusDuplicate
	case "wrong":
		o.Valid, o.Profile, o.Errors = false, "", []sdk.FieldError{{Path: "properties", Message: "no"}}
	}
	return o
}

func newFlowsFixture(t *testing.T, wait time.Duration) *fixture {
	t.Helper()
	f := newFixture(t, func(o *Options) { o.Limits.Wait = wait })
	f.foldWithFlows(t, shopOutcome, shopFlows)
	return f
}

// flowsOf is what the flows answer for an event of the type x, in compact form.
func flowsOf(id string) string {
	return `{"thank-you":{"id":"` + id + `","words":{"of":"x"}},"offer":{"words":{"more":[1.50,22.200000000000000003]}}}`
}

// Each result has what its event's flows answered, and the reply what all did:
// of a flow that answered twice, the last.
func TestWaitForFlows(t *testing.T) {
	f := newFlowsFixture(t, 20*time.Second)
	a := f.post(t, "?wait=flows", `[{"id":"1","type":"x","profile_less":true},{"id":"2","type":"nothing","profile_less":true},
		{"id":"3","type":"plain","profile_less":true},{"id":"4","type":"seen","profile_less":true},{"id":"5","type":"wrong"},
		{"id":"1","type":"x"},{"id":"6"}]`)
	const rest = `,"profile":null,"session":null,"valid":true,"response":`
	for _, want := range []string{
		`{"id":"1","status":"accepted"` + rest + flowsOf("1") + `}`, `{"id":"2","status":"accepted"` + rest + `{}}`,
		`{"id":"3","status":"accepted"` + rest + `{"thank-you":7}}`, `{"id":"4","status":"duplicate"` + rest + `{}}`,
		`{"id":"1","status":"duplicate"` + rest + `{}}`, `"message":"no"}],"response":{}}`,
		`],"response":{"thank-you":7,"offer":{"words":{"more":[1.50,22.200000000000000003]}}}}`,
	} {
		if !strings.Contains(a.text, want) {
			t.Errorf("%s\nlacks %s", a.text, want)
		}
	}
	for _, c := range f.commands(t) {
		if !c.Flows || c.Reply == "" {
			t.Errorf("command %+v asks for no flows", c)
		}
	}
	if n := len(f.waiters.open); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// Other stages ask for no flows, and so do not wait for any.
func TestOtherStagesDoNotWaitForFlows(t *testing.T) {
	f := newFlowsFixture(t, 20*time.Second)
	if a := f.post(t, "?wait=processed", `{"id":"1","type":"silent"}`); a.body["waited"] != nil || a.statuses() != "accepted" {
		t.Error(a.text)
	}
	if f.command(t).Flows {
		t.Error("flows are asked for")
	}
}

func TestFlowsThatDoNotAnswerInTime(t *testing.T) {
	f := newFlowsFixture(t, 500*time.Millisecond)
	for _, eventType := range []string{"silent", "broken"} {
		a := f.post(t, "?wait=flows", `[{"type":"`+eventType+`","ids":{"user":"1"}},{"type":"plain"}]`)
		if a.status != 200 || a.body["waited"] != false || a.results()[0]["profile"] != f.bus.DerivedProfile("user", "1", 0) || !strings.HasSuffix(a.text, `"response":{"thank-you":7},"waited":false}`) {
			t.Errorf("%s: %d %s", eventType, a.status, a.text)
		}
	}
}

func TestSocketWaitsForFlows(t *testing.T) {
	f := newFlowsFixture(t, 20*time.Second)
	c := f.dial(t, "?key=shop-key")
	c.send(`{"id":1,"track":{"wait":"flows","events":[{"id":"a","type":"x","profile_less":true}]}}`)
	c.expect(`{"id":1,"ack":{"results":[{"id":"a","status":"accepted"}]}}`,
		`{"id":1,"result":{"accepted":1,"results":[{"id":"a","status":"accepted","profile":null,"session":null,"valid":true,"response":`+
			flowsOf("a")+`}],"response":`+flowsOf("a")+`}}`)
}

// Tracardi's response is one object, whatever flow has filled it.
func TestTrackMergesWhatFlowsAnswer(t *testing.T) {
	f := newFlowsFixture(t, 20*time.Second)
	a := f.send(t, "POST", "/track", `{"source":{"id":"shop-key"},"events":[{"id":"1","type":"x"},{"id":"2","type":"y"},{"id":"3","type":"plain"}]}`)
	want := `"response":{"id":"2","thank-you":7,"words":{"more":[1.5,22.200000000000000003],"of":"y"}},`
	if a.status != 200 || !strings.Contains(a.text, want) {
		t.Errorf("%d %s\nlacks %s", a.status, a.text, want)
	}
	a = f.send(t, "POST", "/track", `{"source":{"id":"shop-key"},"events":[{"id":"4","type":"silent"}],"options":{"async":true}}`)
	if a.status != 200 || !strings.Contains(a.text, `"response":{},`) || !strings.Contains(a.text, `"warnings":[]`) {
		t.Errorf("async: %d %s", a.status, a.text)
	}
}

// Of what comes for an event the first counts, in whatever order outcome and
// answer come; what nobody waits for is let go.
func TestWaiterTakesWhatComes(t *testing.T) {
	outcome := (&record.Outcome{Status: record.StatusAccepted, Valid: true, Profile: "p"}).AppendJSON(nil)
	repeated := (&record.Outcome{Status: record.StatusDuplicate, Valid: true}).AppendJSON(nil)
	answer, late := []byte(`{"response":{"f":1}}`), []byte(`{"response":{"f":2}}`)
	for name, order := range map[string][]struct {
		token string
		data  []byte
	}{
		"outcome first": {{"1-0", outcome}, {"1-0", repeated}, {"1-0-f", answer}, {"1-0-f", late}},
		"answer first":  {{"1-0-f", answer}, {"1-0-f", late}, {"1-0", outcome}, {"1-0", repeated}},
		"noise":         {{"1-1-f", late}, {"2-0-f", late}, {"-f", late}, {"1-0-x", late}, {"1-0-f", nil}, {"1-0-f", []byte(`{"response":1}`)}, {"1-0", outcome}, {"1-0-f", answer}},
	} {
		var all waiters
		w := all.register(1, flows)
		b := &batch{events: []event{{}}}
		w.want(b)
		for i, step := range order {
			select {
			case <-w.done:
				if i < 2 {
					t.Errorf("%s: done after %d", name, i)
				}
			default:
			}
			all.deliver(step.token, step.data)
		}
		select {
		case <-w.done:
		default:
			t.Fatalf("%s: not done", name)
		}
		w.await(t.Context(), b)
		if e := b.events[0]; e.outcome.Profile != "p" || string(e.response.appendJSON(nil)) != `{"f":1}` {
			t.Errorf("%s: %+v, %s", name, e.outcome, e.response.appendJSON(nil))
		}
	}
}

func FuzzParseResponses(f *testing.F) {
	f.Add([]byte(`{"response":{"a":1,"b":{"c":[null, "x"]}},"more":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseResponses(text)
		if err != nil {
			return
		}
		again, err := parseResponses(append(all.appendJSON([]byte(`{"response":`)), '}'))
		if err != nil || len(again) != len(all) {
			t.Fatalf("%v became %v, %v", all, again, err)
		}
		tracardiResponse([]event{{response: all}, {response: again}})
	})
}
