package segment_test

import (
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/plugins/actions/segment"
	"github.com/tributary-bus/tributary/sdk/sdktest"
	"github.com/tributary-bus/tributary/sdk/wire"
)

func TestActions(t *testing.T) {
	host := sdktest.Start(t, segment.Plugin())
	somebody := map[string]any{"id": "p"}
	for action, want := range map[string]wire.Patch{
		"add":    {Op: wire.OpEnter, Path: "segments.loyal"},
		"remove": {Op: wire.OpLeave, Path: "segments.loyal"},
	} {
		config := map[string]any{"segment": "loyal"}
		reply := host.Call(action, sdktest.Call{Config: config, Profile: somebody})
		if reply.Error != nil || reply.Port != "done" || len(reply.Patches) != 1 || reply.Patches[0].Op != want.Op || reply.Patches[0].Path != want.Path {
			t.Errorf("%s: %+v, %v", action, reply, reply.Error)
		}
		reply = host.Call(action, sdktest.Call{Config: config})
		if reply.Error == nil || reply.Error.Temporary || !strings.HasPrefix(reply.Error.Message, "the event is about nobody") {
			t.Errorf("%s about nobody: %v", action, reply.Error)
		}
		reply = host.Call(action, sdktest.Call{Config: map[string]any{"segments": "x"}, Profile: somebody})
		if reply.Error == nil || reply.Error.Message != `config: segments: there is no such field; want "segment"` {
			t.Errorf("%s with a wrong config: %v", action, reply.Error)
		}
	}
}
