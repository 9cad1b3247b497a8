package test

import "testing"

// A stranger's plugin, in a module of its own and built by itself, answers a
// client: as the example says.
func TestHelloExample(t *testing.T) {
	t.Parallel()
	for name, arguments := range everyBus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, append(arguments(t), "--plugin-dir", pluginDir(t, "hello"))...)
			p.running("hello")
			p.run("apply", "-f", "../configs/examples/hello")
			greeted := func(body string) any {
				t.Helper()
				a, err := p.request("POST", "/v1/events?wait=flows", body, "X-Write-Key", "site-key")
				if err != nil {
					t.Fatal(err)
				}
				return at(a.value, "response", "greet")
			}
			if got := greeted(`{"type":"page-view","ids":{"user":"ann"}}`); got != "Hello, stranger" {
				t.Errorf("a stranger is answered %v", got)
			}
			greeted(`{"type":"identify","ids":{"user":"ann"},"traits":{"name":"Ann"}}`)
			if got := greeted(`{"type":"page-view","ids":{"user":"ann"}}`); got != "Welcome, Ann" {
				t.Errorf("Ann is answered %v", got)
			}
			// The catalogue has what the plugin said of itself.
			if out, err := p.try("apply", "-f", writeFile(t, "bad.yaml", `
kind: flow
id: bad
spec:
  trigger: {event: x}
  nodes: {greet: {action: hello/greet, config: {greting: Hi}}}
  edges: [start -> greet]
`)); err == nil {
				t.Errorf("a misspelt field was applied: %s", out)
			}
		})
	}
}
