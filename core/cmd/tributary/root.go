package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// A usageError says that the command line is wrong.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// globals are the flags that every command has.
type globals struct {
	server string
	token  string
	data   string
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "tributary",
		Short: "A customer event bus: events flow in, profiles flow out",
		Long: `Tributary takes events in over HTTP and WebSocket and makes profiles of them.

Start with:

  tributary run                                      the whole product, in this terminal
  tributary send page-view --user 17850              one event
  tributary profiles get user:17850                  what is known of that person

The commands find the server and its token by themselves on the machine that
it runs on, through its data directory (--data). Elsewhere say --server and
--token, or set TRIBUTARY_SERVER and TRIBUTARY_ADMIN_TOKEN.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	flags := root.PersistentFlags()
	flags.StringVar(&g.server, "server", "", "address of the server, such as https://bus.example:8080 (default: that of the data directory)")
	flags.StringVar(&g.token, "token", "", "admin token (default: that of the data directory)")
	flags.StringVar(&g.data, "data", "", "data directory (default $TRIBUTARY_DATA, or ~/.tributary)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%v; see `%s --help`", err, c.CommandPath())
	})
	root.AddCommand(
		newRun(g), newSend(g), newTail(g),
		newApply(g), newValidate(builtinActions), newGet(g), newDelete(g),
		newProfiles(g), newImport(g), newDeadLetters(g), newPlugin(g), newStore(g),
		newBench(), newBenchCeiling(), newVersion(),
	)
	root.SetHelpCommand(newHelp(root))
	group(root)
	for _, c := range root.Commands() {
		if c.HasSubCommands() {
			group(c)
		}
	}
	return root
}

// group makes a command that only has subcommands say which, and refuse what
// is none of them.
func group(c *cobra.Command) {
	c.Args, c.SuggestionsMinimumDistance = cobra.ArbitraryArgs, 2
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownCommand(c, args[0])
	}
}

// unknownCommand says that c has no subcommand of a name, and which may have been
// meant.
func unknownCommand(c *cobra.Command, name string) error {
	message := fmt.Sprintf("unknown command %q", strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), "tributary")+" "+name))
	if meant := c.SuggestionsFor(name); len(meant) > 0 {
		message += fmt.Sprintf("; did you mean `%s %s`?", c.CommandPath(), meant[0])
	}
	return usagef("%s; see `%s --help`", message, c.CommandPath())
}

// newHelp is help as a command, which fails where there is no such command.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  tributary help send\n  tributary help profiles query",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return usagef("%v", err)
			}
			if len(rest) > 0 {
				return unknownCommand(c, rest[0])
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// exactly wants as many arguments as there are names.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between wants at least so many of the named arguments.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("missing %s; usage: %s", names[len(args)], c.UseLine())
		case len(args) > len(names):
			return usagef("unexpected argument %q; usage: %s", args[len(names)], c.UseLine())
		}
		for i := range args {
			if i < least && args[i] == "" {
				return usagef("%s is empty; usage: %s", names[i], c.UseLine())
			}
		}
		return nil
	}
}

// choice refuses a flag's value that is none of the options.
func choice(flag, value string, options ...string) error {
	for _, option := range options {
		if value == option {
			return nil
		}
	}
	return usagef("--%s %s: want %s", flag, value, strings.Join(options, " or "))
}
