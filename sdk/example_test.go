package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/sdktest"
)

type greetConfig struct {
	Greeting string `json:"greeting" doc:"Word to greet with" default:"Hello"`
}

func greet(_ context.Context, in sdk.Input[greetConfig]) (sdk.Output, error) {
	name, ok := in.Profile.String("traits.name")
	if !ok {
		return sdk.Reply("anonymous", nil), nil
	}
	return sdk.Reply("greeted", map[string]any{"text": in.Config.Greeting + ", " + name}), nil
}

// The whole of a plugin's main function.
func ExampleServe() {
	sdk.Serve(sdk.Plugin{
		Name: "hello", Version: "1.0.0",
		Actions: []sdk.Action{
			sdk.NewAction("greet", "Greets the profile by name.", greet, sdk.Ports("greeted", "anonymous")),
		},
	})
}

// What the host learns of a node's config is made from the struct's tags.
func ExampleNewAction() {
	type config struct {
		Channel string   `json:"channel" doc:"Where to" enum:"mail,sms" default:"mail"`
		Tags    []string `json:"tags" max:"5"`
		Amount  float64  `json:"amount" required:"true" min:"0"`
	}
	notify := func(context.Context, sdk.Input[config]) (sdk.Output, error) { return sdk.Output{}, nil }
	plugin := sdk.Plugin{Name: "notify", Version: "1.0.0", Actions: []sdk.Action{sdk.NewAction("send", "Sends a message.", notify)}}

	manifest, err := plugin.Manifest()
	if err != nil {
		panic(err)
	}
	var schema struct{ Properties map[string]json.RawMessage }
	if err := json.Unmarshal(manifest.GetActions()[0].GetConfigSchema(), &schema); err != nil {
		panic(err)
	}
	fmt.Println(manifest.GetActions()[0].GetPorts())
	fmt.Println(string(schema.Properties["channel"]))
	fmt.Println(string(schema.Properties["amount"]))
	// Output:
	// [done]
	// {"type":"string","description":"Where to","default":"mail","enum":["mail","sms"]}
	// {"type":"number","minimum":0}
}

// An action is a function: a test may simply call it.
func ExampleViewOf() {
	out, err := greet(context.Background(), sdk.Input[greetConfig]{
		Config:  greetConfig{Greeting: "Hi"},
		Profile: sdk.ViewOf(map[string]any{"traits": map[string]any{"name": "Ada"}}),
	})
	fmt.Println(out, err)
	// Output:
	// greeted {"text":"Hi, Ada"} <nil>
}

// Readers say whether they found something of their type.
func ExampleView() {
	event := sdk.ViewOf(map[string]any{"type": "order-completed", "properties": map[string]any{"total": 99.5, "items": []any{"a", "b"}}})
	total, ok := event.Float("properties.total")
	fmt.Println(total, ok)
	_, ok = event.Int("properties.total")
	fmt.Println(ok)
	items, _ := event.List("properties.items")
	fmt.Println(len(items), event.Exists("properties.coupon"))
	var order struct{ Total float64 }
	err := event.At("properties").Decode(&order)
	fmt.Println(order.Total, err)
	// Output:
	// 99.5 true
	// false
	// 2 false
	// 99.5 <nil>
}

// An output changes the profile and sends events; nothing of it happens before
// the action has returned, and all of it happens at once.
func ExampleOutput() {
	out := sdk.Reply("done", nil).
		Set("traits.vip", true).
		Increment("counters.rewards", 1).
		Append("interests.topics", "go").
		Enter("loyal").
		Emit("reward-granted", map[string]any{"points": 10})
	fmt.Println(out)
	// Output:
	// done null
	// set traits.vip true
	// increment counters.rewards 1
	// append interests.topics "go"
	// enter segments.loyal
	// emit reward-granted {"points":10}
}

// A service that is away may be back a little later; one that does not take
// the request never will.
func ExampleTemporary() {
	check := func(status int) error {
		switch {
		case status >= http.StatusInternalServerError:
			return sdk.Temporary(fmt.Errorf("the service answered %d", status))
		case status >= http.StatusBadRequest:
			return errors.New("the service does not take the request")
		}
		return nil
	}
	fmt.Println(sdk.IsTemporary(check(http.StatusServiceUnavailable)), sdk.IsTemporary(check(http.StatusBadRequest)))
	// Output: true false
}

// The plugin runs in the test's process, and is called over a bus of the test's own.
func TestGreet(t *testing.T) {
	host := sdktest.Start(t, sdk.Plugin{
		Name: "hello", Version: "1.0.0",
		Actions: []sdk.Action{sdk.NewAction("greet", "", greet, sdk.Ports("greeted", "anonymous"))},
	})
	reply := host.Call("greet", sdktest.Call{Profile: map[string]any{"traits": map[string]any{"name": "Ada"}}})
	if reply.Port != "greeted" || string(reply.Payload) != `{"text":"Hello, Ada"}` {
		t.Errorf("%+v", reply)
	}
}
