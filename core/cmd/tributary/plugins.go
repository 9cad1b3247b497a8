package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/flow"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
	"github.com/tributary-bus/tributary/plugins/actions/event"
	"github.com/tributary-bus/tributary/plugins/actions/profile"
	"github.com/tributary-bus/tributary/plugins/actions/segment"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/control"
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

// openPlugins has the plugins come up beside everything else.
func (s *server) openPlugins(ctx context.Context) {
	s.plugins = supervisor.New(supervisor.Options{
		Builtin: builtinNames(), Dir: s.config.PluginDir(), Work: filepath.Join(s.config.Data, workDir),
		Memory: int64(s.config.Plugins.Memory), DrainWithin: pluginShare,
		Broker: broker{s.bus}, Ended: s.pluginEnded, Log: s.log,
	})
	s.bus.OnViolation(s.plugins.Violation)
	s.work(ctx, "plugins", s.plugins.Run)
}

// pluginEnded tells all flow engines that a process will not answer any more.
func (s *server) pluginEnded(plugin string) {
	if err := s.bus.PluginEnded(plugin); err != nil {
		s.log.Warn("calls that are open wait for their timeout", "plugin", plugin, "error", err)
	}
}

// A broker lets the supervisor make users on the bus.
type broker struct{ bus *bus.Bus }

// replyWithin bounds how long after a call its answer is let through; what a
// flow's node waits for an answer is at most that.
const replyWithin = config.MaxNodeTimeout

// Grant implements [supervisor.Broker].
func (b broker) Grant(ctx context.Context, plugin string, builtin bool, actions []string) (supervisor.Credentials, error) {
	user, err := b.bus.Grant(ctx, bus.PluginGrant{Plugin: plugin, Actions: actions, ReplyWithin: replyWithin, Trusted: builtin})
	if errors.Is(err, bus.ErrNoSigningKey) {
		err = fmt.Errorf("%w: %w", supervisor.ErrNotAllowed, err)
	}
	if err != nil {
		return supervisor.Credentials{}, err
	}
	c := supervisor.Credentials{
		URLs: user.URLs, JWT: user.JWT, Seed: user.Seed, Inbox: user.Inbox, Requests: user.Requests,
		Expires: user.Expires, Revoke: user.Revoke,
	}
	for _, e := range user.Endpoints {
		c.Endpoints = append(c.Endpoints, supervisor.Endpoint(e))
	}
	return c, nil
}

// builtinActions is the catalogue of the built-in plugins.
func builtinActions() (config.Actions, error) {
	var manifests []*control.Manifest
	for _, name := range builtinNames() {
		m, err := builtin[name]().Manifest()
		if err != nil {
			return nil, fmt.Errorf("built-in plugin %s: %w", name, err)
		}
		manifests = append(manifests, m)
	}
	return supervisor.CatalogueOf(manifests...)
}

// actions is the catalogue that an apply is checked against; nil while it is not
// complete.
func (s *server) actions() config.Actions {
	if s.plugins == nil || s.pluginsReady() != nil {
		return nil
	}
	return s.plugins.Catalogue()
}

// openFlows makes the engine of flows, which begins when the plugins are up.
func (s *server) openFlows() {
	s.flows = flow.New(flow.Options{
		Bus: s.bus, Resources: s.resources, Owner: s.processor, Actions: s.actions, Done: s.processor.Seen, Ready: s.plugins.Registered(), Log: s.log,
	})
}

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
