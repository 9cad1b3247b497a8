package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newProfilesChanges(g *globals) *cobra.Command {
	var q client.ChangesQuery
	var output, from, before string
	var most int
	c := &cobra.Command{
		Use:   "changes ID",
		Short: "Show who changed what of a profile, the last change first",
		Long: `Show who changed what of a profile, and when: events, runs of flows, plugins,
and merges with other profiles. The last change comes first. The profile is named by
any id it ever had or by an identifier, such as user:17850.`,
		Example: `  tributary profiles changes user:17850
  tributary profiles changes user:17850 --path traits.name
  tributary profiles changes user:17850 --from 2026-03-01 -o json`,
		Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if most < 1 {
				return usagef("--limit %d: want at least 1", most)
			}
			for _, bound := range []struct {
				name, text string
				into       *time.Time
			}{{"from", from, &q.From}, {"before", before, &q.Before}} {
				if bound.text == "" {
					continue
				}
				at, err := sdk.ParseTime(bound.text)
				if err != nil {
					return usagef("--%s: %v", bound.name, err)
				}
				*bound.into = at
			}
			server, err := g.connect()
			if err != nil {
				return err
			}
			items, rows := []jsontext.Value{}, [][]string{}
			printed := func() int {
				if format(output) == asTable {
					return len(rows)
				}
				return len(items)
			}
			for more := true; more && printed() < most; more = q.Cursor != "" {
				q.Limit = min(most-printed(), pageSize)
				page, err := server.ProfileChanges(c.Context(), args[0], q)
				if err != nil {
					return g.explain(err)
				}
				items, q.Cursor = append(items, page.Items...), page.Cursor
				if rows, err = changeRows(rows, page.Items); err != nil {
					return err
				}
			}
			if q.Cursor != "" || printed() > most {
				fmt.Fprintf(c.ErrOrStderr(), "the last %d; more with --limit\n", most)
			}
			if format(output) != asTable {
				return writeValue(c.OutOrStdout(), format(output), items)
			}
			return table(c.OutOrStdout(), []string{"TIME", "PATH", "VALUE", "BY"}, rows[:min(len(rows), most)])
		},
	}
	c.Flags().StringVar(&q.Path, "path", "", "only changes of this place, such as traits.name, and of what is in it")
	c.Flags().StringVar(&from, "from", "", "only changes received since this time or date")
	c.Flags().StringVar(&before, "before", "", "only changes received before this time or date")
	c.Flags().IntVar(&most, "limit", 20, "show at most so many lines, or entries of -o json and yaml, which may have several places each")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// changeRows adds a line for each place that was changed.
func changeRows(rows [][]string, items []jsontext.Value) ([][]string, error) {
	for _, text := range items {
		item := &client.Change{}
		if err := json.Unmarshal(text, item); err != nil {
			return nil, fmt.Errorf("read a change: %w", err)
		}
		head := []string{sdk.FormatTime(item.Time), author(&item.By)}
		for _, path := range slices.Sorted(maps.Keys(item.Changes)) {
			rows = append(rows, []string{head[0], path, shown(item, path), head[1]})
		}
		if item.Omitted > 0 {
			rows = append(rows, []string{head[0], fmt.Sprintf("(%d more)", item.Omitted), "", head[1]})
		}
	}
	return rows, nil
}

// shownValue is how much of a value a line has room for, in characters.
const shownValue = 60

func shown(item *client.Change, path string) string {
	text := []rune(string(item.Changes[path]))
	switch {
	case string(text) == "null":
		return "-"
	case len(text) > shownValue:
		return string(text[:shownValue]) + "…"
	case slices.Contains(item.Cut, path):
		return string(text) + "…"
	}
	return string(text)
}

// author is who made a change, such as "event order-completed o-1 (shop)".
func author(by *client.ChangeBy) string {
	parts := []string{by.Kind}
	for _, part := range []string{by.Name, by.ID} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if by.Source != "" && by.Kind == "event" {
		parts = append(parts, "("+by.Source+")")
	}
	return strings.Join(parts, " ")
}
