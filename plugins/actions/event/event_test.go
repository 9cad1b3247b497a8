package event_test

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/plugins/actions/event"
	"github.com/tributary-bus/tributary/sdk/sdktest"
)

func TestEmit(t *testing.T) {
	host := sdktest.Start(t, event.Plugin())
	for _, c := range []struct {
		config map[string]any
		event  string
		err    string
	}{
		{map[string]any{"type": "greeted"}, `{"type":"greeted"}`, ""},
		{
			map[string]any{"type": "greeted", "properties": map[string]any{"n": 1}, "traits": map[string]any{"t": "x"}, "context": map[string]any{"c": nil}},
			`{"type":"greeted","properties":{"n":1},"traits":{"t":"x"},"context":{"c":null}}`, "",
		},
		{map[string]any{}, "", "config: type: it is missing"},
		{map[string]any{"type": strings.Repeat("x", 129)}, "", "config: type: want at most 128 characters"},
		{map[string]any{"type": "a\x00"}, "", "its type has a control character"},
		{map[string]any{"type": "a", "properties": []any{}}, "", "config: properties: want an object, not an array"},
	} {
		reply := host.Call("emit", sdktest.Call{Config: c.config}) // about nobody, which an event may be
		if c.err != "" {
			if reply.Error == nil || reply.Error.Temporary || !strings.Contains(reply.Error.Message, c.err) {
				t.Errorf("%v: %v, want %q", c.config, reply.Error, c.err)
			}
			continue
		}
		if reply.Error != nil || reply.Port != "done" || len(reply.Events) != 1 || string(reply.Events[0].AppendJSON(nil)) != c.event {
			t.Errorf("%v: %+v, %v", c.config, reply, reply.Error)
		}
	}
}
