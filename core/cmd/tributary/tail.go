package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk/client"
)

// errEnough ends a tail that has shown as many events as it was asked for.
var errEnough = errors.New("enough")

func newTail(g *globals) *cobra.Command {
	var (
		filter, eventType, output string
		most                      int
	)
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show events as they are processed",
		Long: `Show events, one a line, as they are processed, until Ctrl-C. With -o json each
line is the event as the server keeps it.`,
		Example: `  tributary tail
  tributary tail --type order-completed
  tributary tail --filter 'event.properties.total > 100' -o json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := g.find()
			if err != nil {
				return err
			}
			from, err := f.client(f.ingest, client.Token(f.token))
			if err != nil {
				return err
			}
			shown := 0
			err = from.Tail(c.Context(), client.Subscription{
				Channel: "events", Filter: tailFilter(filter, eventType),
				Ready: func() { fmt.Fprintln(c.ErrOrStderr(), "listening; Ctrl-C ends") },
			}, func(event jsontext.Value) error {
				if err := printEvent(c.OutOrStdout(), format(output), event); err != nil {
					return err
				}
				if shown++; shown == most {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return g.explain(err)
		},
	}
	flags := c.Flags()
	flags.StringVar(&filter, "filter", "", "condition that the events must meet")
	flags.StringVar(&eventType, "type", "", "type of the events")
	flags.IntVarP(&most, "number", "n", 0, "end after so many events")
	outputFlag(c, &output, asTable, asJSON)
	return c
}

func tailFilter(filter, eventType string) string {
	if eventType == "" {
		return filter
	}
	byType := "event.type == " + strconv.Quote(eventType)
	if filter == "" {
		return byType
	}
	return byType + " && (" + filter + ")"
}

func printEvent(w io.Writer, f format, event jsontext.Value) error {
	if f == asJSON {
		_, err := fmt.Fprintf(w, "%s\n", event)
		return err
	}
	var e struct {
		Type       string         `json:"type"`
		Source     string         `json:"source"`
		Profile    string         `json:"profile"`
		Time       string         `json:"time"`
		Properties jsontext.Value `json:"properties"`
		Valid      bool           `json:"valid"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	profile, mark := e.Profile, ""
	if profile == "" {
		profile = "-"
	}
	if !e.Valid {
		mark = "  (not valid)"
	}
	_, err := fmt.Fprintf(w, "%s  %-20s  %-10s  %s  %s%s\n", e.Time, e.Type, e.Source, profile, e.Properties, mark)
	return err
}
