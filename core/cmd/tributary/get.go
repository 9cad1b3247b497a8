package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newGet(g *globals) *cobra.Command {
	var (
		output  string
		builtIn bool
	)
	c := &cobra.Command{
		Use:   "get KIND [ID]",
		Short: "Show resources",
		Long: `Show the resources of a kind, or one of them. As YAML or JSON they can be
applied again. The table lists event types that are built in as well, and
marks them; YAML and JSON hold them only with --built-in, because what is
applied does not change with the product any more.`,
		Example: `  tributary get source
  tributary get event-type
  tributary get event-type order-completed
  tributary get import -o yaml`,
		Args: between(1, "KIND", "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			if len(args) == 2 {
				resource, err := from.Resource(c.Context(), args[0], args[1])
				if err != nil {
					return g.explain(err)
				}
				if !c.Flags().Changed("output") {
					output = string(asYAML)
				}
				if resource.Backfilling {
					fmt.Fprintf(c.ErrOrStderr(), "note: %s/%s is %s\n", resource.Kind, resource.ID, filling(resource))
				}
				return printResources(c.OutOrStdout(), format(output), []client.Resource{*resource})
			}
			read := from.Resources
			if builtIn || format(output) == asTable {
				read = from.AllResources
			}
			list, err := read(c.Context(), args[0])
			if err != nil {
				return g.explain(err)
			}
			return printResources(c.OutOrStdout(), format(output), list)
		},
	}
	c.Flags().BoolVar(&builtIn, "built-in", false, "also as YAML or JSON list what is built in")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

func printResources(w io.Writer, f format, list []client.Resource) error {
	switch f {
	case asJSON:
		documents := make([]client.Resource, len(list))
		for i, r := range list {
			documents[i] = client.Resource{Kind: r.Kind, ID: r.ID, Spec: r.Spec}
		}
		if len(documents) == 1 {
			return writeValue(w, f, documents[0])
		}
		return writeValue(w, f, documents)
	case asYAML:
		for i, r := range list {
			if i > 0 {
				fmt.Fprintln(w, "---")
			}
			if err := writeValue(w, f, client.Resource{Kind: r.Kind, ID: r.ID, Spec: r.Spec}); err != nil {
				return err
			}
		}
		return nil
	}
	header := []string{"KIND", "ID", "REVISION"}
	states := slices.ContainsFunc(list, func(r client.Resource) bool { return r.Backfilling })
	if states {
		header = append(header, "STATE")
	}
	rows := make([][]string, len(list))
	for i, r := range list {
		revision := strconv.FormatUint(r.Revision, 10)
		if r.BuiltIn {
			revision = "built in"
		}
		rows[i] = []string{r.Kind, r.ID, revision}
		if states {
			rows[i] = append(rows[i], filling(&r))
		}
	}
	return table(w, header, rows)
}

// filling says how far a resource's windows are filled, where they are being filled.
func filling(r *client.Resource) string {
	switch {
	case !r.Backfilling:
		return ""
	case r.Backfill == nil || r.Backfill.Total == 0:
		return "backfilling"
	}
	return fmt.Sprintf("backfilling: %s of %s events read", thousands(int(r.Backfill.Read)), thousands(int(r.Backfill.Total)))
}

func newDelete(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "delete KIND ID",
		Short:   "Delete one resource; what it replaced of the product's own is back",
		Example: "  tributary delete source old-shop",
		Args:    exactly("KIND", "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			if err := from.DeleteResource(c.Context(), args[0], args[1]); err != nil {
				return g.explain(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "deleted    %s/%s\n", args[0], args[1])
			return err
		},
	}
}
