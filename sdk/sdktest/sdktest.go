// Package sdktest runs a plugin in a test's own process, against a NATS server
// of the test's own, and calls its actions as a flow does: over the bus, with
// what the plugin may do narrowed to what a supervisor grants.
//
//	func TestGreet(t *testing.T) {
//		host := sdktest.Start(t, plugin())
//		reply := host.Call("greet", sdktest.Call{Profile: map[string]any{"traits": map[string]any{"name": "Ada"}}})
//		if reply.Port != "greeted" { … }
//	}
package sdktest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
)

// A Host is what a plugin runs under: its bus, and its control service. It ends
// with its test.
type Host struct {
	*Bus
	// Control is the plugin's control service: its health, and draining it.
	Control control.PluginServer
}

// An Option says how the plugin is started.
type Option func(*options)

type options struct {
	start control.StartRequest
	log   *slog.Logger
}

// Concurrency bounds how many calls the plugin works on at a time.
func Concurrency(n int) Option { return func(o *options) { o.start.Concurrency = uint32(n) } }

// Log takes the plugin's log, which is dropped otherwise.
func Log(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// Start starts the plugin. Whatever is wrong with it fails the test.
func Start(t testing.TB, p sdk.Plugin, with ...Option) *Host {
	t.Helper()
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, option := range with {
		option(&o)
	}
	service, err := p.Server(o.log)
	if err != nil {
		t.Fatalf("the plugin: %v", err)
	}
	manifest, err := service.Describe(t.Context(), &control.DescribeRequest{})
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	h := &Host{Bus: NewBus(t, p.Name), Control: service}
	for _, a := range manifest.GetActions() {
		o.start.Endpoints = append(o.start.Endpoints, &control.Endpoint{Action: a.GetName(), Subject: h.Subject(a.GetName()), Queue: p.Name})
	}
	o.start.Instance, o.start.Requests, o.start.Connection = "test", "cmd."+p.Name, h.Connection()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := service.Configure(ctx, &control.ConfigureRequest{}); err != nil {
		t.Fatalf("configure: %v", err)
	}
	if _, err := service.Start(ctx, &o.start); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if _, err := service.Stop(context.Background(), &control.StopRequest{}); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return h
}
