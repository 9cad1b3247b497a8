package sdk

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/wire"
)

func replyOf(t *testing.T, o Output, ports ...string) string {
	t.Helper()
	r := &wire.Reply{ID: "1"}
	if err := o.reply(r, ports); err != nil {
		t.Fatal(err)
	}
	text := string(r.AppendJSON(nil))
	if _, err := wire.ParseReply([]byte(text)); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return text
}

func TestAnOutputIsWritten(t *testing.T) {
	type payload struct {
		Text string `json:"text"`
	}
	for _, c := range []struct {
		out  Output
		want string
	}{
		{Output{}, `{"id":"1","port":"done"}`},
		{Reply("", payload{"hi"}), `{"id":"1","port":"done","payload":{"text":"hi"}}`},
		{Reply("done", ViewOf([]any{int64(1)})), `{"id":"1","port":"done","payload":[1]}`},
		{
			Reply("done", map[string]any{"at": time.Unix(0, 0), "in": payload{"x"}}),
			`{"id":"1","port":"done","payload":{"at":"` + time.Unix(0, 0).Format(time.RFC3339) + `","in":{"text":"x"}}}`,
		},
		{
			Reply("done", nil).Set("traits.vip", nil).SetIfMissing(`traits["a.b"]`, "x").Increment("counters.n", 0.1).Decrement("counters.n", 1).
				Append("traits.tags", []string{"a"}).Remove("traits.tags", "b").Delete("traits.old").Enter("loyal-ones").Leave("a.b"),
			`{"id":"1","port":"done","patches":[{"op":"set","path":"traits.vip","value":null},{"op":"set-if-missing","path":"traits[\"a.b\"]","value":"x"},` +
				`{"op":"increment","path":"counters.n","value":0.1},{"op":"decrement","path":"counters.n","value":1},` +
				`{"op":"append","path":"traits.tags","value":["a"]},{"op":"remove","path":"traits.tags","value":"b"},` +
				`{"op":"delete","path":"traits.old"},{"op":"enter","path":"segments.loyal-ones"},{"op":"leave","path":"segments[\"a.b\"]"}]}`,
		},
		{
			Output{}.Emit("greeted", map[string]any{"n": 1}).EmitEvent(Emitted{Type: "x", Traits: payload{"t"}, Context: map[string]any{}}),
			`{"id":"1","port":"done","events":[{"type":"greeted","properties":{"n":1}},{"type":"x","traits":{"text":"t"},"context":{}}]}`,
		},
	} {
		if got := replyOf(t, c.out, "done"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	// The methods change the output that they are called on, once it was begun.
	out := Reply("done", nil)
	out.Set("traits.vip", true)
	if got := replyOf(t, out, "done"); !strings.Contains(got, `"traits.vip"`) {
		t.Errorf("the change is lost: %s", got)
	}
}

func TestMistakesInAnOutputAreErrors(t *testing.T) {
	many := Reply("done", nil)
	for range wire.MaxPatches + 1 {
		many.Delete("traits.x")
	}
	loud := Reply("done", nil)
	for range wire.MaxEvents + 1 {
		loud.Emit("x", nil)
	}
	for _, c := range []struct {
		out   Output
		ports []string
		want  string
	}{
		{Output{}, []string{"a", "b"}, `the action named no port; it has "a" or "b"`},
		{Reply("c", nil), []string{"a", "b"}, `the action has no port "c"; it has "a" or "b"`},
		{Reply("error", nil), []string{"done"}, `the action has no port "error"; it has "done"`},
		{Reply("done", func() {}), []string{"done"}, "the payload: func() cannot be written as JSON"},
		{Reply("done", math.NaN()), []string{"done"}, "the payload: float64 cannot be written as JSON"},
		{Reply("done", nil).Set("", 1).Set("traits..x", 1), []string{"done"}, "set : empty path"},
		{Reply("done", nil).Increment("counters.x", "1"), []string{"done"}, "increment counters.x: increment needs a number"},
		{Reply("done", nil).Set("traits.x", make(chan int)), []string{"done"}, "set traits.x: chan int cannot be written as JSON"},
		{Reply("done", nil).Enter(""), []string{"done"}, "enter "},
		{Reply("done", nil).Emit("", nil), []string{"done"}, `emit "": it has no type`},
		{Reply("done", nil).Emit("x", []any{}), []string{"done"}, `emit "x": the properties must be an object`},
		{many, []string{"done"}, "1001 changes to the profile are more than 1000"},
		{loud, []string{"done"}, "101 events are more than 100"},
	} {
		if err := c.out.reply(&wire.Reply{}, c.ports); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestTemporaryErrorsAreKnown(t *testing.T) {
	cause := errors.New("away")
	err := Temporary(cause)
	if !IsTemporary(err) || !errors.Is(err, cause) || err.Error() != "away" || IsTemporary(cause) || Temporary(nil) != nil {
		t.Error("a temporary error is not told from another")
	}
}
