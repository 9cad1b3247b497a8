package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newApply(g *globals) *cobra.Command {
	var (
		files  []string
		dryRun bool
		output string
	)
	c := &cobra.Command{
		Use:   "apply -f PATH…",
		Short: "Make resources what the files say",
		Long: `Make resources what the files say: all of them, or none where one is wrong.
What is there already and says the same is left alone. A directory means its
*.yaml, *.yml and *.json; "-" is the standard input.`,
		Example: `  tributary apply -f configs/examples/retail
  tributary apply -f sources.yaml -f event-types.yaml --dry-run
  tributary get source -o yaml | tributary apply -f -`,
		RunE: func(c *cobra.Command, args []string) error {
			resources, err := loadResources(c, append(files, args...))
			if err != nil {
				return err
			}
			to, err := g.connect()
			if err != nil {
				return err
			}
			documents := make([]client.Resource, len(resources))
			for i, r := range resources {
				documents[i] = client.Resource{Kind: r.Kind, ID: r.ID, Spec: jsontext.Value(r.Spec)}
			}
			result, err := to.Apply(c.Context(), documents, dryRun)
			if err != nil {
				return g.explain(locate(err, resources))
			}
			if output != string(asTable) {
				return writeValue(c.OutOrStdout(), format(output), result)
			}
			printApplied(c.OutOrStdout(), result, dryRun)
			return nil
		},
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or directory with resources; may be given several times")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would change")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// newValidate makes the command; actions makes the catalogue of those that are
// known without a server.
func newValidate(actions func() (config.Actions, error)) *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use:   "validate -f PATH…",
		Short: "Check files with resources, without a server",
		Long: `Check files with resources, each by itself and all of them together. It needs
no server, and so what the files refer to must be in the files. Of the actions
of flows those of the engine and of the built-in plugins are checked; what
other plugins offer is known to the server only.`,
		Example: "  tributary validate -f configs/examples/retail",
		RunE: func(c *cobra.Command, args []string) error {
			resources, err := loadResources(c, append(files, args...))
			if err != nil {
				return err
			}
			set, err := config.NewSet(1, resources)
			if err != nil {
				return err
			}
			known, err := actions()
			if err != nil {
				return err
			}
			unknown, err := set.CheckKnownActions(known)
			if err != nil {
				return err
			}
			for _, action := range unknown {
				fmt.Fprintf(c.ErrOrStderr(), "note: what the action %s takes is checked by apply; its plugin is not known here\n", action)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s valid\n", plural(len(resources), "resource is", "resources are"))
			return err
		},
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or directory with resources; may be given several times")
	return c
}

func loadResources(c *cobra.Command, paths []string) ([]config.Resource, error) {
	if len(paths) == 0 {
		return nil, usagef("missing -f PATH; usage: %s", c.UseLine())
	}
	return config.LoadPaths(paths)
}

// locate adds file and line to the server's errors about resources.
func locate(err error, resources []config.Resource) error {
	var answered *client.Error
	if !errors.As(err, &answered) {
		return err
	}
	read := make(map[string]config.Resource, len(resources))
	for _, r := range resources {
		read[r.Kind+"/"+r.ID] = r
	}
	located := *answered
	located.Details = make([]sdk.FieldError, len(answered.Details))
	for i, d := range answered.Details {
		name, path, _ := strings.Cut(d.Path, ": ")
		if r, ok := read[name]; ok {
			d.Path = r.Where(path).String() + ": " + d.Path
		}
		located.Details[i] = d
	}
	return &located
}

func printApplied(w io.Writer, result *client.ApplyResult, dryRun bool) {
	counts := map[string]int{}
	for _, d := range result.Differences {
		counts[d.Action]++
		note := ""
		switch {
		case d.Backfilling && dryRun && d.Action != client.Unchanged:
			note = "  (backfilling: windows that it reads would be filled from stored events)"
		case d.Backfilling:
			note = "  (backfilling: windows that it reads are being filled from stored events)"
		}
		fmt.Fprintf(w, "%-9s  %s/%s%s\n", d.Action, d.Kind, d.ID, note)
	}
	var parts []string
	for _, action := range []string{client.Created, client.Changed, client.Deleted, client.Unchanged} {
		if counts[action] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
		}
	}
	if dryRun {
		fmt.Fprintf(w, "dry run, nothing was changed: %s\n", strings.Join(parts, ", "))
		return
	}
	fmt.Fprintf(w, "revision %d: %s\n", result.Revision, strings.Join(parts, ", "))
}

// plural is a number with the right form of what it counts.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}
