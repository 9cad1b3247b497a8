package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newPlugin(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "plugin",
		Short: "See plugins and restart them",
		Example: `  tributary plugin list
  tributary plugin info profile
  tributary plugin restart hello
  tributary plugin logs hello --follow`,
	}
	c.AddCommand(newPluginList(g), newPluginInfo(g), newPluginRestart(g), newPluginLogs(g), newPluginServe())
	return c
}

func newPluginList(g *globals) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the plugins and how they stand",
		Example: "  tributary plugin list\n  tributary plugin list -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			plugins, err := from.Plugins(c.Context())
			if err != nil {
				return g.explain(err)
			}
			if output != string(asTable) {
				return writeValue(c.OutOrStdout(), format(output), plugins)
			}
			rows := make([][]string, len(plugins))
			for i := range plugins {
				rows[i] = pluginRow(&plugins[i])
			}
			return table(c.OutOrStdout(), []string{"NAME", "VERSION", "STATE", "PID", "RESTARTS", "HANDLED", "FAILED", "MEMORY", "REASON"}, rows)
		},
	}
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

func pluginRow(p *client.Plugin) []string {
	pid, memory := "-", "-"
	if p.PID != 0 {
		pid = strconv.Itoa(p.PID)
	}
	if p.MemoryBytes > 0 {
		memory = fmt.Sprintf("%d MB", p.MemoryBytes>>20)
	}
	version := p.Version
	if version == "" {
		version = "-"
	}
	return []string{
		p.Name, version, p.State, pid, strconv.Itoa(p.Restarts), strconv.FormatUint(p.Handled, 10), strconv.FormatUint(p.Failed, 10),
		memory, p.Reason,
	}
}

func newPluginInfo(g *globals) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "info NAME",
		Short:   "Show one plugin: its process, its actions, how it ended last",
		Example: "  tributary plugin info profile\n  tributary plugin info profile -o json",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			plugin, err := from.Plugin(c.Context(), args[0])
			if err != nil {
				return g.explain(err)
			}
			return writeValue(c.OutOrStdout(), format(output), plugin)
		},
	}
	outputFlag(c, &output, asYAML, asJSON)
	return c
}

func newPluginRestart(g *globals) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace a plugin's process by a new one, without a gap",
		Long: `Start a new process of a plugin, of its binary as it is now, wait until it
answers, and drain the old one. If the new one does not come up, the old one
goes on. It is also how a plugin that was quarantined or refused is tried again.`,
		Example: "  tributary plugin restart hello",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			plugin, err := from.RestartPlugin(c.Context(), args[0])
			if err != nil {
				return g.explain(err)
			}
			if output != string(asTable) {
				return writeValue(c.OutOrStdout(), format(output), plugin)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s %s runs, pid %d\n", plugin.Name, plugin.Version, plugin.PID)
			return nil
		},
	}
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// logPoll is how often --follow asks for new lines.
const logPoll = 500 * time.Millisecond

func newPluginLogs(g *globals) *cobra.Command {
	var (
		lines  int
		follow bool
		output string
	)
	c := &cobra.Command{
		Use:     "logs NAME",
		Short:   "Show the last lines that a plugin wrote",
		Example: "  tributary plugin logs hello -n 20\n  tributary plugin logs hello --follow",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if lines < 1 || lines > 1000 {
				return usagef("-n %d: want 1 to 1000; the server keeps the last 1000 lines of a plugin", lines)
			}
			from, err := g.connect()
			if err != nil {
				return err
			}
			err = showLogs(c, from, args[0], lines, follow, format(output))
			if errors.Is(err, context.Canceled) {
				return nil // whoever follows ends it so
			}
			return g.explain(err)
		},
	}
	flags := c.Flags()
	flags.IntVarP(&lines, "lines", "n", 100, "show at most so many lines")
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what it writes, until Ctrl-C")
	outputFlag(c, &output, asTable, asJSON)
	return c
}

// showLogs writes the last lines of a plugin's log and, where they are followed,
// those that come.
func showLogs(c *cobra.Command, from *client.Client, name string, n int, follow bool, f format) error {
	for after := uint64(0); ; n = 1000 {
		list, err := from.PluginLogs(c.Context(), name, after, n)
		if err != nil {
			return err
		}
		for i := range list {
			if err := printLogLine(c, f, &list[i]); err != nil {
				return err
			}
			after = list[i].Seq
		}
		if !follow {
			return nil
		}
		select {
		case <-time.After(logPoll):
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
}

// printLogLine writes a line for people, or a line of JSON.
func printLogLine(c *cobra.Command, f format, l *client.LogLine) error {
	if f == asJSON {
		return writeValue(c.OutOrStdout(), asJSON, l)
	}
	text := l.Message
	if len(l.Fields) > 0 {
		text += " " + string(l.Fields)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s %-5s %s\n", sdk.FormatTime(l.Time.Time), l.Level, strings.TrimSpace(text))
	return err
}
