package profile_test

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/plugins/actions/profile"
	"github.com/tributary-bus/tributary/sdk/sdktest"
)

var somebody = map[string]any{"id": "p"}

func TestActions(t *testing.T) {
	host := sdktest.Start(t, profile.Plugin())
	for _, c := range []struct {
		action  string
		config  any
		profile any
		patches string
		err     string
	}{
		{
			"set", map[string]any{"set": map[string]any{"traits.vip": true, "data.pii.name": "Ada", "counters.x": 1, "traits.old": nil}}, somebody,
			`{"op":"set","path":"counters.x","value":1}{"op":"set","path":"data.pii.name","value":"Ada"}` +
				`{"op":"set","path":"traits.old","value":null}{"op":"set","path":"traits.vip","value":true}`, "",
		},
		{"remove", map[string]any{"remove": []string{"traits.vip", `traits["a.b"]`}}, somebody, `{"op":"delete","path":"traits.vip"}{"op":"delete","path":"traits[\"a.b\"]"}`, ""},
		{"set", map[string]any{"set": map[string]any{"traits.vip": true}}, nil, "", "the event is about nobody, so there is no profile to change"},
		{"remove", map[string]any{"remove": []string{"traits.vip"}}, nil, "", "the event is about nobody"},
		{"set", map[string]any{}, somebody, "", "config: set: it is missing"},
		{"set", map[string]any{"set": map[string]any{}}, somebody, "", "config: set: want at least 1 members"},
		{"set", map[string]any{"set": map[string]any{"id": "x"}}, somebody, "", `set: "id" is no place that can be changed`},
		{"set", map[string]any{"set": map[string]any{"segments.x": 1}}, somebody, "", "is no place that can be changed"},
		{"set", map[string]any{"set": map[string]any{"traits": 1}}, somebody, "", "is no place that can be changed"},
		{"set", map[string]any{"set": map[string]any{"traits..a": 1}}, somebody, "", "empty name"},
		{"remove", map[string]any{"remove": []string{"stats.visits"}}, somebody, "", `remove: "stats.visits" is no place`},
	} {
		reply := host.Call(c.action, sdktest.Call{Config: c.config, Profile: c.profile})
		if c.err != "" {
			if reply.Error == nil || reply.Error.Temporary || !strings.Contains(reply.Error.Message, c.err) {
				t.Errorf("%s %v: %v, want %q", c.action, c.config, reply.Error, c.err)
			}
			continue
		}
		patches := ""
		for i := range reply.Patches {
			patches += string(reply.Patches[i].AppendJSON(nil))
		}
		if reply.Error != nil || reply.Port != "done" || patches != c.patches {
			t.Errorf("%s: %v, %s\n%s, want\n%s", c.action, reply.Error, reply.Port, patches, c.patches)
		}
	}
}
