package main

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
	"github.com/tributary-bus/tributary/plugins/actions/event"
	"github.com/tributary-bus/tributary/plugins/actions/profile"
	"github.com/tributary-bus/tributary/plugins/actions/segment"
	"github.com/tributary-bus/tributary/sdk"
)

// builtin are the plugins that are part of this binary, each served by a
// process of its own.
var builtin = map[string]func() sdk.Plugin{
	"event":   event.Plugin,
	"profile": profile.Plugin,
	"segment": segment.Plugin,
}

// newPluginServe is how the supervisor executes this binary again.
func newPluginServe() *cobra.Command {
	return &cobra.Command{
		Use:     "serve NAME",
		Short:   "Be the process of a built-in plugin; `tributary run` starts it",
		Example: "  tributary plugin serve profile",
		Args:    exactly("NAME"),
		Hidden:  true,
		RunE: func(_ *cobra.Command, args []string) error {
			plugin, ok := builtin[args[0]]
			if !ok {
				return usagef("there is no built-in plugin %q; there are %s", args[0], strings.Join(builtinNames(), ", "))
			}
			sdk.Serve(plugin())
			return nil
		},
	}
}

func builtinNames() []string { return slices.Sorted(maps.Keys(builtin)) }

// workDir is the name of the directory, in the data directory, that the
// processes of plugins work in.
const workDir = "run"

// openPlugins has the plugins come up beside everything else. Where the bus
// makes no users for them, there are none.
func (s *server) openPlugins(ctx context.Context) {
	o := supervisor.Options{
		Work: filepath.Join(s.config.Data, workDir), Memory: int64(s.config.Plugins.Memory), DrainWithin: pluginShare, Log: s.log,
	}
	if broker, ended := pluginBroker(s.bus); broker != nil {
		o.Broker, o.Ended = broker, ended
		o.Builtin, o.Dir = builtinNames(), s.config.PluginDir()
	}
	s.plugins = supervisor.New(o)
	s.work(ctx, "plugins", s.plugins.Run)
}

// pluginBroker is the bus as far as plugins' users go; nil: it makes none.
func pluginBroker(*bus.Bus) (broker supervisor.Broker, ended func(plugin string)) { return nil, nil }

// pluginsReady is nil once every plugin was asked what it offers.
func (s *server) pluginsReady() error {
	select {
	case <-s.plugins.Registered():
		return nil
	default:
		return errors.New("the plugins are starting")
	}
}

// awaitPlugins waits until the plugins are up, or were refused, so that who
// reads that the server is ready can use them. It is false where the server is
// to stop instead.
func (s *server) awaitPlugins(ctx context.Context) bool {
	select {
	case <-s.plugins.Registered():
		return true
	case <-s.failed.Done():
	case <-ctx.Done():
	}
	return false
}
