package admin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/supervisor"
	"github.com/tributary-bus/tributary/sdk/client"
)

// plugins has one plugin; the supervisor's own tests run real ones.
type plugins struct{ restarts int }

func (p *plugins) List() []client.Plugin {
	return []client.Plugin{{Name: "hello", State: "running", Actions: []client.PluginAction{}}}
}

func (p *plugins) Info(name string) (client.Plugin, error) {
	if name != "hello" {
		return client.Plugin{}, fmt.Errorf("%w: %q", supervisor.ErrUnknown, name)
	}
	return p.List()[0], nil
}

func (p *plugins) Restart(_ context.Context, name string) error {
	if p.restarts++; p.restarts > 1 {
		return errors.New("it does not come up")
	}
	_, err := p.Info(name)
	return err
}

func (p *plugins) Logs(name string, after uint64, n int) ([]client.LogLine, error) {
	if _, err := p.Info(name); err != nil {
		return nil, err
	}
	return []client.LogLine{{Seq: after + uint64(n), Level: "INFO", Message: "hi"}}, nil
}

func TestPlugins(t *testing.T) {
	r := newRig(t)
	const hello = `{"name":"hello","builtin":false,"path":"","state":"running","pid":0,"restarts":0,"in_flight":0,"handled":0,"failed":0,` +
		`"memory_bytes":0,"violations":{"count":0},"actions":[]}`
	r.expect("GET", "/api/v1/plugins", "", 200, `{"items":[`+hello+`]}`)
	r.expect("GET", "/api/v1/plugins/hello", "", 200, hello)
	const unknown = "there is no such plugin: \\\"nobody\\\"; `tributary plugin list` has them; a new file is found when the server starts: restart it"
	r.refuses("GET", "/api/v1/plugins/nobody", "", 404, "not_found", unknown)
	r.expect("POST", "/api/v1/plugins/hello/restart", "", 200, hello)
	r.refuses("POST", "/api/v1/plugins/hello/restart", "", 409, "conflict", "it does not come up")
	r.expect("GET", "/api/v1/plugins/hello/logs?n=5&after=7", "", 200,
		`{"items":[{"seq":12,"time":"0001-01-01T00:00:00.000Z","level":"INFO","message":"hi"}]}`)
	r.refuses("GET", "/api/v1/plugins/hello/logs?n=5000", "", 400, "invalid", `n: is \"5000\"; want a whole number from 1 to 1000`)
	r.refuses("GET", "/api/v1/plugins/hello/logs?lines=5", "", 400, "invalid", "lines: no such parameter; want n or after")
	r.refuses("GET", "/api/v1/plugins/nobody/logs", "", 404, "not_found", unknown)
}
