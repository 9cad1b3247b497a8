// Package profile is the built-in plugin whose actions change the profile that
// a flow runs for.
package profile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tributary-bus/tributary/sdk"
)

// Plugin is the plugin that is served.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Name: "profile", Version: "1.0.0", Description: "Changes the profile that a flow runs for.",
		Actions: []sdk.Action{
			sdk.NewAction("set", "Sets places of the profile.", set, sdk.Pure()),
			sdk.NewAction("remove", "Removes places of the profile.", remove, sdk.Pure()),
		},
	}
}

// sections are the parts of a profile that a flow can change.
var sections = []string{"traits", "data", "consents", "interests", "counters"}

type setConfig struct {
	Set map[string]any `json:"set" required:"true" min:"1" doc:"Value by path, such as traits.vip: true. The paths begin with traits, data, consents, interests or counters"`
}

func set(_ context.Context, in sdk.Input[setConfig]) (sdk.Output, error) {
	out, err := begin(in.Profile)
	if err != nil {
		return out, err
	}
	for _, path := range slices.Sorted(maps.Keys(in.Config.Set)) { // always in the same order
		if err := check(path); err != nil {
			return out, fmt.Errorf("set: %w", err)
		}
		out.Set(path, in.Config.Set[path])
	}
	return out, nil
}

type removeConfig struct {
	Remove []string `json:"remove" required:"true" min:"1" doc:"Paths, such as traits.vip"`
}

func remove(_ context.Context, in sdk.Input[removeConfig]) (sdk.Output, error) {
	out, err := begin(in.Profile)
	if err != nil {
		return out, err
	}
	for _, path := range in.Config.Remove {
		if err := check(path); err != nil {
			return out, fmt.Errorf("remove: %w", err)
		}
		out.Delete(path)
	}
	return out, nil
}

func begin(profile sdk.View) (sdk.Output, error) {
	if profile.IsNull() {
		return sdk.Output{}, errors.New("the event is about nobody, so there is no profile to change; ask for one in the flow's trigger, such as event.profile != null")
	}
	return sdk.Reply("done", nil), nil
}

func check(path string) error {
	p, err := sdk.ParsePath(path)
	if err != nil {
		return err
	}
	if len(p) < 2 || !slices.Contains(sections, p[0]) {
		return fmt.Errorf("%q is no place that can be changed: want one below %v, such as traits.vip", path, sections)
	}
	return nil
}
