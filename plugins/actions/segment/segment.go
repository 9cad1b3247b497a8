// Package segment is the built-in plugin whose actions put the profile that a
// flow runs for into a segment, or take it out.
package segment

import (
	"context"
	"errors"

	"github.com/tributary-bus/tributary/sdk"
)

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Name: "segment", Version: "1.0.0", Description: "Puts profiles into segments and takes them out.",
		Actions: []sdk.Action{
			sdk.NewAction("add", "Puts the profile into a segment.", add, sdk.Pure()),
			sdk.NewAction("remove", "Takes the profile out of a segment.", remove, sdk.Pure()),
		},
	}
}

type config struct {
	Segment string `json:"segment" required:"true" min:"1" doc:"Id of the segment"`
}

func add(_ context.Context, in sdk.Input[config]) (sdk.Output, error) {
	if in.Profile.IsNull() {
		return sdk.Output{}, errNobody
	}
	return sdk.Reply("done", nil).Enter(in.Config.Segment), nil
}

func remove(_ context.Context, in sdk.Input[config]) (sdk.Output, error) {
	if in.Profile.IsNull() {
		return sdk.Output{}, errNobody
	}
	return sdk.Reply("done", nil).Leave(in.Config.Segment), nil
}

var errNobody = errors.New("the event is about nobody, so there is no profile to put into a segment or take out of one; ask for one in the flow's trigger, such as event.profile != null")
