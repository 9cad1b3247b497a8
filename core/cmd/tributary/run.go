package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/core/internal/config"
)

type runFlags struct {
	config, http, plugins string
	set                   []string
}

func newRun(g *globals) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the whole product: server, streams, query store and plugins",
		Long: `Run the whole product in this terminal: HTTP and WebSocket, streams (an embedded
NATS, unless bus.urls names one), processing, the query store, and plugins as
processes of their own. Ctrl-C or SIGTERM ends it within 10 seconds and loses
nothing; a second one ends it at once.

Settings come from the file, over it from TRIBUTARY_* variables, over them from
the flags.`,
		Example: `  tributary run
  tributary run --data /var/lib/tributary --http 0.0.0.0:8080 --set http.admin=127.0.0.1:8081
  tributary run --config tributary.yaml --set log.format=json --set durability=process`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := f.settings(g)
			if err != nil {
				return err
			}
			return serve(c.Context(), settings, c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", os.Getenv("TRIBUTARY_CONFIG"), "file with settings")
	flags.StringVar(&f.http, "http", "", "address to listen on (default 127.0.0.1:8080)")
	flags.StringVar(&f.plugins, "plugin-dir", "", "directory of third parties' plugins (default: plugins in the data directory)")
	flags.StringArrayVar(&f.set, "set", nil, "a setting: `key=value`; may be given several times")
	return c
}

// settings reads the configuration. What is wrong with it is a mistake of
// whoever wrote it: exit code 2.
func (f *runFlags) settings(g *globals) (*config.Config, error) {
	set := f.set
	if g.data != "" {
		set = append(set, "data="+g.data)
	}
	if f.http != "" {
		set = append(set, "http.addr="+f.http)
	}
	if f.plugins != "" {
		set = append(set, "plugins.dir="+f.plugins)
	}
	c, err := config.Load(f.config, os.Environ(), set)
	if err != nil {
		return nil, usagef("%v", f.flagged(g, err))
	}
	if c.Data == "" {
		if c.Data, err = g.dataDir(); err != nil {
			return nil, err
		}
	}
	if dir := c.Plugins.Dir; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, usagef("there is no directory %s, which plugins.dir or --plugin-dir names; make it, or name another one", dir)
		}
	}
	c.Data, err = filepath.Abs(c.Data)
	return &c, err
}

// flagged names, in what is wrong with settings, the flags by which they were
// given.
func (f *runFlags) flagged(g *globals, err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	for _, flag := range []struct{ name, value, key string }{
		{"--data", g.data, "data"}, {"--http", f.http, "http.addr"}, {"--plugin-dir", f.plugins, "plugins.dir"},
	} {
		for _, p := range problems {
			if flag.value != "" && p.Origin.File == "--set "+flag.key {
				p.Origin.File, p.Path = flag.name, ""
			}
		}
	}
	return problems
}

// serve runs the product until ctx ends or a part of it fails.
func serve(ctx context.Context, c *config.Config, out io.Writer) (err error) {
	defer limitMemory()()
	log := newLog(c.Log)
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	release, err := lock(c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	stopping := context.WithoutCancel(ctx)
	s, err := start(ctx, c, log)
	if err != nil {
		return err
	}
	if s.awaitPlugins(ctx) {
		if err := s.announce(out); err != nil {
			return errors.Join(err, s.stop(stopping))
		}
	}
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-s.failed.Done():
	}
	return s.stop(stopping)
}

func newLog(c config.Log) *slog.Logger {
	var level slog.Level
	// The settings allow only what UnmarshalText reads.
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
