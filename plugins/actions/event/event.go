// Package event is the built-in plugin whose action sends an event.
package event

import (
	"context"

	"github.com/tributary-bus/tributary/sdk"
)

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Name: "event", Version: "1.0.0", Description: "Sends events.",
		Actions: []sdk.Action{
			sdk.NewAction("emit", "Sends an event about the same profile, or about nobody where the flow's event is.", emit, sdk.Pure()),
		},
	}
}

type config struct {
	Type       string         `json:"type" required:"true" min:"1" max:"128" doc:"Type of the event"`
	Properties map[string]any `json:"properties" doc:"Its properties"`
	Traits     map[string]any `json:"traits" doc:"Its traits"`
	Context    map[string]any `json:"context" doc:"Its context"`
}

func emit(_ context.Context, in sdk.Input[config]) (sdk.Output, error) {
	return sdk.Reply("done", nil).EmitEvent(sdk.Emitted{
		Type: in.Config.Type, Properties: object(in.Config.Properties), Traits: object(in.Config.Traits), Context: object(in.Config.Context),
	}), nil
}

// object is nothing where the config says nothing.
func object(m map[string]any) any {
	if len(m) == 0 {
		return nil
	}
	return m
}
