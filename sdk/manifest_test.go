package sdk

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestManifestSaysWhatIsWrongWithAPlugin(t *testing.T) {
	good := func(name string, options ...ActionOption) Action {
		return NewAction(name, "", noAction[struct{}], options...)
	}
	for _, c := range []struct {
		plugin Plugin
		want   string
	}{
		{Plugin{Name: "Hello", Version: "1.0.0", Actions: []Action{good("a")}}, `the plugin's name "Hello" is not`},
		{Plugin{Name: "hello", Version: "1.0", Actions: []Action{good("a")}}, `the plugin's version "1.0" is no semantic version`},
		{Plugin{Name: "hello", Version: "1.0.0"}, "the plugin offers no action"},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a"), good("a")}}, `two actions are called "a"`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a.b")}}, `action "a.b": its name is not`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{{name: "a", ports: []string{"done"}}}}, `action "a": it was not made by NewAction`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a", Ports())}}, `action "a": it has no port`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a", Ports("error"))}}, `the port "error" is there already`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a", Ports("A"))}}, `the port "A" is not`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{good("a", Ports("x", "x"))}}, `two ports are called "x"`},
		{Plugin{Name: "hello", Version: "1.0.0", Actions: []Action{NewAction("a", "", noAction[int])}}, `action "a": the config is a int`},
	} {
		if _, err := c.plugin.Manifest(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		var stderr bytes.Buffer
		if code := serve(c.plugin, &stderr); code != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("served with %d: %s", code, &stderr)
		}
	}
	m, err := Plugin{Name: "hello", Version: "1.0.0-rc.1", Description: "d", Actions: []Action{good("a"), good("b", Ports("x", "y"))}}.Manifest()
	if err != nil || m.GetSdk() != Version || len(m.GetActions()) != 2 || !slices.Equal(m.GetActions()[0].GetPorts(), []string{"done"}) ||
		!slices.Equal(m.GetActions()[1].GetPorts(), []string{"x", "y"}) || !strings.Contains(string(m.GetActions()[0].GetConfigSchema()), "additionalProperties") {
		t.Errorf("%v, %v", m, err)
	}
}

// What a third party links must stay small.
func TestTheSDKLinksNoServer(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "github.com/nats-io/nats.go") {
		t.Fatalf("the list is not that of the SDK: %d packages", len(packages))
	}
	for _, name := range packages {
		for _, heavy := range []string{"cel", "nats-server", "sqlite", "tributary/core", "tributary/plugins", "jetstream", "santhosh-tekuri"} {
			if strings.Contains(name, heavy) {
				t.Errorf("the SDK links %s", name)
			}
		}
	}
}
