package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newProfilesDelete(g *globals) *cobra.Command {
	var (
		wait, yes bool
		within    time.Duration
		output    string
	)
	c := &cobra.Command{
		Use:   "delete ID",
		Short: "Erase a profile, by its id or by kind:value",
		Long: `Erase a profile for good: itself, its identifiers, its sessions, its events, and
the dead letters that name it. ID is any id it ever had, or an identifier such as
user:17850. Events of the person that arrive later are of somebody new.

The report says what was removed where. The profile is gone when the command
ends; what is left goes on by itself, within seconds: --wait waits for it, also
while the server is away, for at most as long as --timeout says. On a terminal the
command asks first, unless --yes is given.`,
		Example: `  tributary profiles delete user:17850
  tributary profiles delete 5b0c2f4e-9c5e-8d1f-a5a1-3f0f6f1c2d3e --yes --wait -o json`,
		Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if within <= 0 {
				return usagef("--timeout %v: want a time above 0, such as 10m", within)
			}
			on, err := g.connect()
			if err != nil {
				return err
			}
			if in, ok := c.InOrStdin().(*os.File); ok && !yes && term.IsTerminal(int(in.Fd())) {
				fmt.Fprintf(c.ErrOrStderr(), "Erase profile %s for good? Type yes: ", args[0])
				if line, _ := bufio.NewReader(in).ReadString('\n'); strings.TrimSpace(line) != "yes" {
					return errors.New("nothing was erased")
				}
			}
			report, err := on.EraseProfile(c.Context(), args[0])
			if err == nil && wait {
				w := erasureWait{g: g, on: on, notes: c.ErrOrStderr(), within: within}
				report, err = w.erased(c.Context(), report)
			}
			if err != nil {
				return g.explain(err)
			}
			return printErasure(c.OutOrStdout(), format(output), report)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until every part is done")
	c.Flags().DurationVar(&within, "timeout", time.Hour, "how long --wait waits")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// maxErasures is how many reports the server lists at most.
const maxErasures = 10_000

func newProfilesErasures(g *globals) *cobra.Command {
	var output string
	var limit int
	c := &cobra.Command{
		Use:     "erasures [ID]",
		Short:   "List the profiles that were erased last, or show the report of one",
		Example: "  tributary profiles erasures\n  tributary profiles erasures 5b0c2f4e-9c5e-8d1f-a5a1-3f0f6f1c2d3e -o json",
		Args:    between(0, "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 1 || limit > maxErasures {
				return usagef("--limit %d: want 1 to %d", limit, maxErasures)
			}
			from, err := g.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				report, err := from.Erasure(c.Context(), args[0])
				if err != nil {
					return g.explain(err)
				}
				return printErasure(c.OutOrStdout(), format(output), report)
			}
			reports, err := from.Erasures(c.Context(), limit)
			if err != nil {
				return g.explain(err)
			}
			if format(output) != asTable {
				return writeValue(c.OutOrStdout(), format(output), reports)
			}
			rows := make([][]string, len(reports))
			for i := range reports {
				r := &reports[i]
				rows[i] = []string{r.Profile, r.State, moment(r.Requested), moment(r.Erased), r.By}
			}
			return table(c.OutOrStdout(), []string{"PROFILE", "STATE", "REQUESTED", "ERASED", "BY"}, rows)
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "list at most so many")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

func printErasure(w io.Writer, f format, r *client.Erasure) error {
	if f != asTable {
		return writeValue(w, f, r)
	}
	if _, err := fmt.Fprintf(w, "%s profile %s, as %s asked at %s\nids: %s\n\n",
		r.State, r.Profile, r.By, moment(r.Requested), strings.Join(r.IDs, " ")); err != nil {
		return err
	}
	rows := make([][]string, len(r.Parts))
	for i, p := range r.Parts {
		rows[i] = []string{p.Name, strconv.FormatUint(p.Removed, 10), strconv.FormatUint(p.Remaining, 10), moment(p.At), p.Error}
	}
	if err := table(w, []string{"PART", "REMOVED", "REMAINING", "DONE", "ERROR"}, rows); err != nil {
		return err
	}
	if len(r.Kept) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nnot reached:\n- %s\n", strings.Join(r.Kept, "\n- "))
	return err
}

// moment is a time in a table, a dash where it is none.
func moment(t client.Time) string {
	if t.IsZero() {
		return "-"
	}
	return sdk.FormatTime(t.Time)
}
