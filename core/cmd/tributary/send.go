package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

type sendFlags struct {
	key, id, time, session, profile string
	user, email, anonymous          string
	ids, properties, traits         []string
	profileLess                     bool
	wait, output                    string
}

func newSend(g *globals) *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send TYPE",
		Short: "Send one event",
		Long: `Send one event and print what became of it.

A property's value is JSON where it reads as JSON (120, true, [1,2]) and text
otherwise. A name with dots reaches into an object: --prop address.city=Rome.

It returns when the event is stored. With --wait it returns when the event has
come further, or after 30 s, and says so:

  processed   its profile has changed
  flows       its flows have ended too; what they answered is printed
  indexed     queries find it

What a flow answered is a line of JSON. A flow that failed has no answer; why it
failed is in tributary deadletters list.`,
		Example: `  tributary send page-view --user 17850 --prop url=/sale
  tributary send order-completed --user 17850 --prop total=139.12 --wait processed
  tributary send order-completed --user 17850 --prop total=139.12 --wait flows
  tributary send signed-up --email ann@shop.example --trait firstName=Ann --key shop-key`,
		Args: exactly("TYPE"),
		RunE: func(c *cobra.Command, args []string) error { return send(c, g, args[0], &f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "dev", "write key of the source to send as")
	flags.StringVar(&f.id, "id", "", "id of the event; sending the same id again has no effect")
	flags.StringVar(&f.time, "time", "", "when it happened (default: now)")
	flags.StringVar(&f.session, "session", "", "session id")
	flags.StringVar(&f.profile, "profile", "", "profile id")
	flags.StringVar(&f.user, "user", "", "whom it is about, by user id")
	flags.StringVar(&f.email, "email", "", "whom it is about, by e-mail address")
	flags.StringVar(&f.anonymous, "anonymous", "", "whom it is about, by anonymous id")
	flags.StringArrayVar(&f.ids, "ids", nil, "whom it is about, by another kind of identifier: `kind=value`")
	flags.StringArrayVar(&f.properties, "prop", nil, "a property: `name=value`; may be given several times")
	flags.StringArrayVar(&f.traits, "trait", nil, "a trait: `name=value`; may be given several times")
	flags.BoolVar(&f.profileLess, "profile-less", false, "the event is about nobody")
	flags.StringVar(&f.wait, "wait", "", "wait for a `stage`: processed, flows or indexed")
	outputFlag(c, &f.output, asTable, asJSON, asYAML)
	return c
}

func send(c *cobra.Command, g *globals, eventType string, f *sendFlags) error {
	event, err := f.event(eventType)
	if err != nil {
		return err
	}
	var options []client.SendOption
	if f.wait != "" {
		if err := choice("wait", f.wait, "processed", "flows", "indexed"); err != nil {
			return err
		}
		options = append(options, client.Wait(client.Stage(f.wait)))
	}
	server, err := g.find()
	if err != nil {
		return err
	}
	to, err := server.client(server.ingest, client.Key(f.key))
	if err != nil {
		return err
	}
	reply, err := to.Send(c.Context(), []client.Event{event}, options...)
	if err != nil {
		return g.explain(err)
	}
	if f.output != string(asTable) {
		if err := write(c.OutOrStdout(), format(f.output), reply.Raw); err != nil {
			return err
		}
	}
	if len(reply.Results) != 1 {
		return fmt.Errorf("the server answered %d results for one event", len(reply.Results))
	}
	result := &reply.Results[0]
	if result.Error != nil {
		return fmt.Errorf("the event is %s: %s", result.Status, result.Error.Message)
	}
	if f.output == string(asTable) {
		late := reply.Waited != nil && !*reply.Waited
		printResult(c.OutOrStdout(), result, late)
		if client.Stage(f.wait) == client.Flows {
			printResponse(c.OutOrStdout(), result, late)
		}
	}
	return nil
}

func printResult(w io.Writer, r *client.Result, late bool) {
	fmt.Fprintf(w, "%s  event %s\n", r.Status, r.ID)
	if r.Profile != "" {
		fmt.Fprintf(w, "profile   %s\n", r.Profile)
	}
	if r.Session != "" {
		fmt.Fprintf(w, "session   %s\n", r.Session)
	}
	if late {
		fmt.Fprintln(w, "the server is still at work on it")
	}
	if r.Valid != nil && !*r.Valid {
		fmt.Fprintln(w, "not valid: it is kept, and changes nothing")
		for _, e := range r.Errors {
			fmt.Fprintf(w, "  %s: %s\n", e.Path, e.Message)
		}
	}
}

// printResponse prints what flows answered, in the order of their ids. That none
// did is only news where flows have run and ended: those of a valid new event.
func printResponse(w io.Writer, r *client.Result, late bool) {
	for _, flow := range slices.Sorted(maps.Keys(r.Response)) {
		fmt.Fprintf(w, "flow      %s answered %s\n", flow, r.Response[flow])
	}
	if len(r.Response) == 0 && !late && r.Status == client.Accepted && r.Valid != nil && *r.Valid {
		fmt.Fprintln(w, "flows     none answered (a flow that failed is in: tributary deadletters list)")
	}
}

func (f *sendFlags) event(eventType string) (client.Event, error) {
	e := client.Event{ID: f.id, Type: eventType, Session: f.session, Profile: f.profile, ProfileLess: f.profileLess, IDs: map[string]string{}}
	for kind, value := range map[string]string{"user": f.user, "email": f.email, "anonymous": f.anonymous} {
		if value != "" {
			e.IDs[kind] = value
		}
	}
	for _, pair := range f.ids {
		kind, value, ok := strings.Cut(pair, "=")
		if !ok || kind == "" {
			return e, usagef("--ids %s: want kind=value, such as card=4711", pair)
		}
		e.IDs[kind] = value
	}
	var err error
	if f.time != "" {
		if e.Time, err = sdk.ParseTime(f.time); err != nil {
			return e, usagef("--time: %v", err)
		}
	}
	if e.Properties, err = assignments("prop", f.properties); err != nil {
		return e, err
	}
	e.Traits, err = assignments("trait", f.traits)
	return e, err
}

// assignments reads name=value pairs into an object.
func assignments(flag string, pairs []string) (map[string]any, error) {
	object := map[string]any{}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		path, err := sdk.ParsePath(name)
		if !ok || err != nil {
			return nil, usagef("--%s %s: want name=value, such as total=139.12", flag, pair)
		}
		var value any = text
		if v, err := sdk.ParseValue([]byte(text)); err == nil {
			value = v
		}
		if err := path.Set(object, value); err != nil {
			return nil, usagef("--%s %s: %v", flag, pair, err)
		}
	}
	return object, nil
}
