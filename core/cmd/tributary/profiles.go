package main

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

func newProfiles(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "profiles",
		Short: "Read profiles, and erase them",
		Example: `  tributary profiles get user:17850
  tributary profiles changes user:17850 --path traits.name
  tributary profiles query 'profile.counters.orders >= 10' --sort -counters.revenue
  tributary profiles count 'profile.counters.revenue > 10000'
  tributary profiles delete user:17850 --wait`,
	}
	c.AddCommand(newProfilesGet(g), newProfilesChanges(g), newProfilesQuery(g), newProfilesCount(g), newProfilesDelete(g), newProfilesErasures(g))
	return c
}

func newProfilesGet(g *globals) *cobra.Command {
	var output string
	var events int
	c := &cobra.Command{
		Use:   "get ID",
		Short: "Show one profile, by its id or by kind:value",
		Long: `Show one profile, by any id it ever had or by an identifier, such as user:17850
or email:ann@shop.example. With --events its latest events follow.`,
		Example: `  tributary profiles get user:17850
  tributary profiles get email:ann@shop.example -o json
  tributary profiles get user:17850 --events 5`,
		Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			profile, err := from.Profile(c.Context(), args[0])
			if err != nil {
				return g.explain(err)
			}
			if err := write(c.OutOrStdout(), format(output), profile); err != nil {
				return err
			}
			if events <= 0 {
				return nil
			}
			page, err := from.ProfileEvents(c.Context(), args[0], events, "")
			if err != nil {
				return g.explain(err)
			}
			for _, event := range page.Items {
				if err := printEvent(c.OutOrStdout(), format(output), event); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().IntVar(&events, "events", 0, "also show so many of its latest events")
	outputFlag(c, &output, asYAML, asJSON)
	return c
}

func newProfilesQuery(g *globals) *cobra.Command {
	var (
		q      client.Query
		most   int
		output string
	)
	c := &cobra.Command{
		Use:   "query [CONDITION]",
		Short: "Show the profiles that a condition holds for",
		Example: `  tributary profiles query 'profile.counters.orders >= 10'
  tributary profiles query 'profile.traits.city == "Rome"' --sort -updated --limit 100 -o json`,
		Args: between(0, "CONDITION"),
		RunE: func(c *cobra.Command, args []string) error {
			if most < 1 {
				return usagef("--limit %d: want at least 1", most)
			}
			q.Filter = strings.Join(args, "")
			from, err := g.connect()
			if err != nil {
				return err
			}
			items, more, err := pages(c, from, q, most)
			if err != nil {
				return g.explain(err)
			}
			if more {
				fmt.Fprintf(c.ErrOrStderr(), "the first %d; more with --limit\n", most)
			}
			return printProfiles(c.OutOrStdout(), format(output), items)
		},
	}
	c.Flags().StringVar(&q.Sort, "sort", "", "path to sort by, such as counters.revenue; with a minus first, descending (--sort=-updated)")
	c.Flags().IntVar(&most, "limit", 20, "show at most so many")
	outputFlag(c, &output, asTable, asJSON, asYAML)
	return c
}

// pageSize is how many profiles are asked for at once.
const pageSize = 500

// pages reads up to most profiles and tells whether there are more.
func pages(c *cobra.Command, from *client.Client, q client.Query, most int) (items []jsontext.Value, more bool, err error) {
	for len(items) < most {
		q.Limit = min(most-len(items), pageSize)
		page, err := from.Query(c.Context(), client.Profiles, q)
		if err != nil {
			return nil, false, err
		}
		items = append(items, page.Items...)
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return items, false, nil
		}
	}
	return items, true, nil
}

func printProfiles(w io.Writer, f format, items []jsontext.Value) error {
	if f != asTable {
		return writeValue(w, f, items)
	}
	rows := make([][]string, len(items))
	for i, item := range items {
		var p sdk.Profile
		if err := json.Unmarshal(item, &p); err != nil {
			return fmt.Errorf("read a profile: %w", err)
		}
		rows[i] = []string{p.ID, identities(&p), sdk.FormatTime(p.Updated), pairs(p.Counters)}
	}
	return table(w, []string{"ID", "IDENTITIES", "UPDATED", "COUNTERS"}, rows)
}

func identities(p *sdk.Profile) string {
	var list []string
	for kind, values := range p.Identities {
		for _, value := range values {
			list = append(list, kind+":"+value)
		}
	}
	sort.Strings(list)
	if len(list) > 3 {
		list = append(list[:3], "…")
	}
	return strings.Join(list, " ")
}

func pairs(object map[string]any) string {
	list := make([]string, 0, len(object))
	for name, value := range object {
		list = append(list, name+"="+string(sdk.AppendValue(nil, value)))
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

func newProfilesCount(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "count [CONDITION]",
		Short:   "Count the profiles that a condition holds for",
		Example: "  tributary profiles count\n  tributary profiles count 'profile.counters.orders >= 10'",
		Args:    between(0, "CONDITION"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := g.connect()
			if err != nil {
				return err
			}
			n, err := from.Count(c.Context(), client.Profiles, strings.Join(args, ""))
			if err != nil {
				return g.explain(err)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), n)
			return err
		},
	}
}
