package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newStore(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:     "store",
		Short:   "Look after the query store",
		Example: "  tributary store rebuild",
	}
	c.AddCommand(newStoreRebuild(g))
	return c
}

func newStoreRebuild(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Drop the query store and fill it again from the bus",
		Long: `Drop the query store and fill it again from the bus. Events keep flowing
meanwhile; queries answer with what is there so far. Events older than what the
bus keeps are gone from the store afterwards.`,
		Example: "  tributary store rebuild",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := g.connect()
			if err != nil {
				return err
			}
			started := time.Now()
			var bar *progress
			err = on.RebuildStore(c.Context(), func(now, total uint64) {
				if bar == nil {
					bar = newProgress(c.ErrOrStderr(), "rebuilding", int64(total))
				}
				bar.set(int64(now), thousands(now)+" documents")
			})
			if bar != nil {
				bar.finish()
			}
			if err != nil {
				return g.explain(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "rebuilt the query store in %s\n", time.Since(started).Round(time.Millisecond))
			return err
		},
	}
}
