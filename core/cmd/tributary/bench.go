package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/core/internal/bench"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/supervisor"
)

type benchFlags struct {
	json     bool
	duration time.Duration
	write    string
}

func newBench() *cobra.Command {
	var f benchFlags
	var scenarios strings.Builder
	var names []string
	for _, s := range bench.Scenarios {
		names = append(names, s.Name)
		fmt.Fprintf(&scenarios, "  %-15s%s\n", s.Name, s.About)
	}
	c := &cobra.Command{
		Use:   "bench [SCENARIO…]",
		Short: "Measure this binary on this machine",
		Long: `Measure this binary on this machine, as ratios to bare servers that are measured
in turns with it. Each scenario starts the product on a directory of its own
below $TMPDIR, which says which disk is measured, and removes it afterwards.
Nothing else should run meanwhile. All scenarios take about a quarter of an hour.

Scenarios:
` + scenarios.String(),
		Example: `  tributary bench
  tributary bench ingest-single --duration 2s
  tributary bench --json > figures.json
  TMPDIR=/var/tmp tributary bench --write docs/performance.md`,
		ValidArgs: names,
		Args:      cobra.ArbitraryArgs,
		RunE:      f.run,
	}
	flags := c.Flags()
	flags.BoolVar(&f.json, "json", false, "print the figures as JSON")
	flags.DurationVar(&f.duration, "duration", 0, "how long each load is measured (default: what the scenario sees fit)")
	flags.StringVar(&f.write, "write", "", "write the figures to the Markdown page `FILE`, too; what it holds between its marks is kept")
	return c
}

func (f *benchFlags) run(c *cobra.Command, scenarios []string) error {
	if f.duration < 0 {
		return usagef("--duration %s: want a span of time, such as 5s", f.duration)
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	report, failed := bench.Run(c.Context(), bench.Options{
		Binary: binary, Version: versionText(), Scenarios: scenarios, Duration: f.duration, Progress: c.ErrOrStderr(),
		Broker: func(b *bus.Bus) supervisor.Broker { return broker{b} },
	})
	if errors.Is(failed, bench.ErrNoScenario) {
		return usagef("%v", failed)
	}
	if report == nil {
		return failed
	}
	// What was measured before a failure is worth showing, not keeping.
	show := report.WriteTable
	if f.json {
		show = report.WriteJSON
	}
	if f.write != "" && failed == nil {
		// Outside of a checkout the version says it all.
		report.Commit, _ = bench.Commit(c.Context(), filepath.Dir(f.write))
		failed = report.WritePage(f.write)
	}
	return errors.Join(failed, show(c.OutOrStdout()))
}

// newBenchCeiling serves what the product is measured against; bench starts it.
func newBenchCeiling() *cobra.Command {
	return &cobra.Command{
		Use:    bench.CeilingCommand,
		Hidden: true,
		Args:   exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.ServeCeiling(c.InOrStdin(), c.OutOrStdout())
		},
	}
}
