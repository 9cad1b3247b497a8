package main

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk"
)

func newDeadLetters(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:     "deadletters",
		Short:   "See what could not be processed",
		Example: "  tributary deadletters list --origin import\n  tributary deadletters show 12",
	}
	c.AddCommand(newDeadLettersList(g), newDeadLettersShow(g))
	return c
}

func newDeadLettersList(g *globals) *cobra.Command {
	var (
		origin, output string
		after          uint64
		limit          int
	)
	c := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters in order of arrival",
		Example: "  tributary deadletters list\n  tributary deadletters list --origin import --after 100 --limit 50",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			letters, err := from.DeadLetters(c.Context(), origin, after, limit)
			if err != nil {
				return g.explain(err)
			}
			if output != string(asTable) {
				return writeValue(c.OutOrStdout(), format(output), letters)
			}
			rows := make([][]string, len(letters))
			for i, l := range letters {
				rows[i] = []string{strconv.FormatUint(l.Seq, 10), sdk.FormatTime(l.Time.Time), l.Origin, place(l.Details) + l.Reason}
			}
			if err := table(c.OutOrStdout(), []string{"SEQ", "TIME", "ORIGIN", "REASON"}, rows); err != nil {
				return err
			}
			if limit > 0 && len(letters) == limit {
				fmt.Fprintf(c.ErrOrStderr(), "more may follow: --after %d\n", letters[limit-1].Seq)
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&origin, "origin", "", "only those of one origin, such as import")
	flags.Uint64Var(&after, "after", 0, "only those after this sequence number")
	flags.IntVar(&limit, "limit", 100, "list at most so many")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// place is in which flow, and at which node of it, something failed; empty where
// it was in none.
func place(details jsontext.Value) string {
	var at struct{ Flow, Node string }
	if err := json.Unmarshal(details, &at, json.MatchCaseInsensitiveNames(true)); err != nil || at.Flow == "" {
		return ""
	}
	if at.Node != "" {
		at.Flow += "/" + at.Node
	}
	return at.Flow + ": "
}

func newDeadLettersShow(g *globals) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "show SEQ",
		Short:   "Show one dead letter with what it holds",
		Example: "  tributary deadletters show 12",
		Args:    exactly("SEQ"),
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usagef("%q is no number of a dead letter; `tributary deadletters list` has them", args[0])
			}
			from, err := g.connect()
			if err != nil {
				return err
			}
			letter, err := from.DeadLetter(c.Context(), seq)
			if err != nil {
				return g.explain(err)
			}
			return writeValue(c.OutOrStdout(), format(output), letter)
		},
	}
	outputFlag(c, &output, asYAML, asJSON)
	return c
}
