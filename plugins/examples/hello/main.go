// Hello is a plugin whose action greets the profile by name.
package main

import (
	"context"

	"github.com/tributary-bus/tributary/sdk"
)

type Config struct {
	Greeting string `json:"greeting" doc:"Word to greet with" default:"Hello"`
}

func main() {
	sdk.Serve(sdk.Plugin{
		Name: "hello", Version: "1.0.0",
		Actions: []sdk.Action{
			sdk.NewAction("greet", "Greets the profile by name.", greet, sdk.Ports("greeted", "anonymous")),
		},
	})
}

func greet(ctx context.Context, in sdk.Input[Config]) (sdk.Output, error) {
	name, ok := in.Profile.String("traits.name")
	if !ok {
		return sdk.Reply("anonymous", nil), nil
	}
	return sdk.Reply("greeted", map[string]any{"text": in.Config.Greeting + ", " + name}), nil
}
