package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newStore(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Look after the query store: rebuild it, move to another one, compare the two",
		Example: `  tributary store status
  tributary store rebuild`,
	}
	c.AddCommand(newStoreStatus(g), newStoreRebuild(g), newStoreCompare(g), newStoreDrop(g))
	return c
}

func newStoreStatus(g *globals) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "status",
		Short:   "Tell which store answers queries, and what is done with another one",
		Example: "  tributary store status\n  tributary store status --json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := g.connect()
			if err != nil {
				return err
			}
			status, err := on.StoreStatus(c.Context())
			if err != nil {
				return g.explain(err)
			}
			if format(output) == asJSON {
				return writeValue(c.OutOrStdout(), asJSON, status)
			}
			return printStoreStatus(c.OutOrStdout(), status)
		},
	}
	outputFlag(c, &output, asTable, asJSON)
	return c
}

func printStoreStatus(w io.Writer, status *client.StoreStatus) error {
	rows := []struct {
		what string
		at   *client.StoreAt
		note string
	}{
		{"answers", status.Answers, ""},
		{"fills", status.Filling, fmt.Sprintf("%s of %s done", thousands(status.Done), thousands(status.Total))},
		{"kept", status.Kept, "takes in nothing new; `tributary store drop` removes it"},
	}
	for _, row := range rows {
		if row.at == nil {
			continue
		}
		line := fmt.Sprintf("%-8s %s", row.what, row.at)
		if row.note != "" {
			line += "  " + row.note
		}
		if row.at.Error != "" {
			line += "  " + row.at.Error
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if status.UnderWay != "" && status.Filling == nil {
		_, err := fmt.Fprintf(w, "%s, %s of %s done\n", status.UnderWay, thousands(status.Done), thousands(status.Total))
		return err
	}
	return nil
}

// A rebuilt store, in JSON.
type rebuilt struct {
	Answers *client.StoreAt `json:"answers"`
	Kept    *client.StoreAt `json:"kept,omitzero"`
	Seconds float64         `json:"seconds"`
}

func newStoreRebuild(g *globals) *cobra.Command {
	var (
		to, output string
		set        []string
	)
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Fill the query store again from the bus, or fill another one, which then answers",
		Long: `Without --to, drop the query store and fill it again from the bus. Queries answer
with what is there so far. Events older than what the bus keeps are gone from the
store afterwards.

With --to, fill another store while the one that there is answers: from the bus,
and with what only the old store has. Then the new one answers in its place, also
after a restart, and the old one is kept until "tributary store drop".

Events keep flowing meanwhile. The server goes on when this command is ended, and
when it was ended itself. One rebuild is done at a time.`,
		Example: `  tributary store rebuild
  tributary store rebuild --to elasticsearch --set store.elasticsearch.urls=https://es-1.example:9200 --set store.elasticsearch.api_key=file:key
  tributary store rebuild --to sqlite --set store.sqlite.path=/mnt/fast/store.db`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			what, err := rebuildOf(to, set)
			if err != nil {
				return err
			}
			on, err := g.connect()
			if err != nil {
				return err
			}
			started := time.Now()
			var bar *progress
			err = on.RebuildStore(c.Context(), what, func(now, total uint64) {
				if bar == nil {
					bar = newProgress(c.ErrOrStderr(), "rebuilding", int64(total))
				}
				bar.grow(int64(total))
				bar.set(int64(now), thousands(now)+" messages")
			})
			if bar != nil {
				bar.finish()
			}
			if err != nil {
				return g.explain(err)
			}
			took := time.Since(started).Round(time.Millisecond)
			status, err := on.StoreStatus(c.Context())
			if err != nil {
				return g.explain(err)
			}
			if format(output) == asJSON {
				return writeValue(c.OutOrStdout(), asJSON, rebuilt{Answers: status.Answers, Kept: status.Kept, Seconds: took.Seconds()})
			}
			if to == "" || status.Kept == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "rebuilt the query store in %s\n", took)
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "filled %s in %s; it answers now\n%s is kept as it is: `tributary store compare` holds the two against each other, `tributary store drop` removes it\n",
				status.Answers, took, status.Kept)
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&to, "to", "", "kind of the store that is to answer: elasticsearch or sqlite (default: the one that answers)")
	flags.StringArrayVar(&set, "set", nil, "a setting of that store: `key=value`; may be given several times")
	outputFlag(c, &output, asTable, asJSON)
	return c
}

// rebuildOf is what the flags ask for.
func rebuildOf(to string, set []string) (client.Rebuild, error) {
	what := client.Rebuild{To: to}
	if to == "" {
		if len(set) > 0 {
			return what, usagef("--set is for another store; say --to elasticsearch or --to sqlite too")
		}
		return what, nil
	}
	if err := choice("to", to, storeKinds...); err != nil {
		return what, err
	}
	var err error
	if what.Settings, err = config.Given("store."+to+".", os.Environ(), set); err != nil {
		return what, usagef("%v", err)
	}
	return what, nil
}

func newStoreCompare(g *globals) *cobra.Command {
	var (
		sample int
		output string
	)
	c := &cobra.Command{
		Use:   "compare",
		Short: "Hold the store that answers against the one that is kept",
		Long: `Hold the store that answers against the one that answered before, which is brought up
to date from the bus first: how many documents of each kind each day has, and a
sample of documents byte by byte. Events keep flowing meanwhile; what comes after the
beginning is left out, and what differs is looked at again before it is told.

The exit code is 1 where something differs; the first differences are named.`,
		Example: "  tributary store compare\n  tributary store compare --sample 100000 --json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := g.connect()
			if err != nil {
				return err
			}
			compared, err := on.CompareStores(c.Context(), sample)
			if err != nil {
				return g.explain(err)
			}
			if format(output) == asJSON {
				err = writeValue(c.OutOrStdout(), asJSON, compared)
			} else {
				err = printComparison(c.OutOrStdout(), compared)
			}
			if err == nil && !compared.Equal() {
				err = fmt.Errorf("the stores differ in %s places", thousands(uint64(len(compared.Differences))+compared.More))
			}
			return err
		},
	}
	c.Flags().IntVar(&sample, "sample", 1000, "documents of each kind, of each store, that are compared byte by byte")
	outputFlag(c, &output, asTable, asJSON)
	return c
}

func printComparison(w io.Writer, compared *client.StoreComparison) error {
	var rows [][]string
	for _, k := range compared.Kinds {
		rows = append(rows, []string{k.Kind, fmt.Sprint(k.Days), fmt.Sprint(k.Documents[0]), fmt.Sprint(k.Documents[1]), fmt.Sprint(k.Sampled)})
	}
	header := []string{"KIND", "DAYS", compared.Stores[0].String(), compared.Stores[1].String(), "SAMPLED"}
	if err := table(w, header, rows); err != nil {
		return err
	}
	for _, d := range compared.Differences {
		if _, err := fmt.Fprintf(w, "%s %s %s\n", d.Kind, d.ID, d.What); err != nil {
			return err
		}
	}
	if compared.More > 0 {
		_, err := fmt.Fprintf(w, "and %s more\n", thousands(compared.More))
		return err
	}
	if compared.Equal() {
		_, err := fmt.Fprintln(w, "no difference")
		return err
	}
	return nil
}

func newStoreDrop(g *globals) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "drop",
		Short: "Remove the store that does not answer, with all that is in it",
		Long: `Remove the store that is being filled, whose fill is given up, or else the store that
answered before, with all that is in it.`,
		Example: "  tributary store drop",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := g.connect()
			if err != nil {
				return err
			}
			dropped, err := on.DropStore(c.Context(), force)
			if err != nil {
				return g.explain(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "removed %s\n", dropped)
			return err
		},
	}
	c.Flags().BoolVar(&force, "force", false, "forget it also where it cannot be emptied, such as a server that is gone for good")
	return c
}
