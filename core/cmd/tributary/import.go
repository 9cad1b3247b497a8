package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/tributary-bus/tributary/sdk/client"
)

type importFlags struct {
	mapping, delimiter string
	dryRun, again      bool
}

func newImport(g *globals) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Import the rows of a CSV file as events",
		Long: `Import the rows of a CSV file as events, through an import mapping. The first
line names the columns; the text is UTF-8.

An import that was interrupted, here or at the server, goes on where it was
when the same command is given again; a file that is in already is left alone.
Rows that fail are kept as dead letters, with their line and the reason; the
rest goes on. The command returns when all rows can be queried.`,
		Example: `  tributary import orders.csv
  tributary import orders.csv --mapping orders --dry-run
  tributary import bestellungen.csv --mapping orders --delimiter ';'`,
		Args: exactly("FILE.csv"),
		RunE: func(c *cobra.Command, args []string) error { return runImport(c, g, args[0], &f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.mapping, "mapping", "", "import mapping to use (default: the only one there is)")
	flags.StringVar(&f.delimiter, "delimiter", ",", `what separates the columns; \t is a tab`)
	flags.BoolVar(&f.dryRun, "dry-run", false, "only check the rows and show the first events")
	flags.BoolVar(&f.again, "again", false, "import a file again from its first row; events known by their id have no second effect for 24 h")
	return c
}

func runImport(c *cobra.Command, g *globals, path string, f *importFlags) error {
	delimiter, err := f.rune()
	if err != nil {
		return err
	}
	input, err := openInput(c.Context(), path, delimiter)
	if err != nil {
		return err
	}
	to, err := g.connect()
	if err != nil {
		return err
	}
	mapping := f.mapping
	if mapping == "" {
		if mapping, err = onlyMapping(c.Context(), to); err != nil {
			return g.explain(err)
		}
	}
	s := &sender{
		input: input, mapping: mapping, globals: g, to: to, errors: c.ErrOrStderr(),
		bar: newProgress(c.ErrOrStderr(), filepath.Base(path), input.size),
	}
	if f.dryRun {
		return checkFile(c, s)
	}
	return importFile(c, s, f.again)
}

func (f *importFlags) rune() (rune, error) {
	text := strings.ReplaceAll(f.delimiter, `\t`, "\t")
	r, size := utf8.DecodeRuneInString(text)
	if size == 0 || size != len(text) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
		return 0, usagef("--delimiter %q: want one character, such as ;", f.delimiter)
	}
	return r, nil
}

// onlyMapping is the mapping that is meant where none was named.
func onlyMapping(ctx context.Context, to *client.Client) (string, error) {
	list, err := to.Resources(ctx, "import")
	if err != nil {
		return "", err
	}
	switch len(list) {
	case 0:
		return "", fmt.Errorf("there is no import mapping; apply one first, such as that of configs/examples/retail")
	case 1:
		return list[0].ID, nil
	}
	ids := make([]string, len(list))
	for i, r := range list {
		ids[i] = r.ID
	}
	return "", usagef("there are several import mappings, say which: --mapping %s", strings.Join(ids, " or "))
}

// importFile sends what the server does not have yet, waits until it can be
// queried, and says what became of it.
func importFile(c *cobra.Command, s *sender, again bool) error {
	ctx, started := c.Context(), time.Now()
	at, err := s.progress(ctx, again)
	if err != nil {
		return err
	}
	if at.Finished {
		fmt.Fprintf(c.OutOrStdout(), "%s was already imported on %s: %s; --again imports it once more\n",
			s.input.path, at.Updated.Local().Format("2006-01-02 15:04:05"), plural(int(at.Next-1), "row", "rows"))
		tellInvalid(c.OutOrStdout(), at.Invalid)
		return s.failed(at)
	}
	if at.Next > 1 {
		s.bar.note("going on at row %s", thousands(at.Next))
	}
	first := at.Next
	if at, err = s.send(ctx, at); err != nil {
		s.bar.finish()
		return err
	}
	sent := time.Since(started)
	s.bar.finish()
	if err := s.settle(ctx); err != nil {
		return err
	}
	out := c.OutOrStdout()
	rows := at.Next - first
	fmt.Fprintf(out, "imported %s of %s in %s (%s a second), processed and searchable after %s\n",
		plural(int(rows), "row", "rows"), s.input.path, sent.Round(10*time.Millisecond),
		thousands(int64(float64(rows)/max(sent.Seconds(), 0.001))), time.Since(started).Round(10*time.Millisecond))
	fmt.Fprintf(out, "  %s accepted, %s known already, %s failed\n",
		thousands(at.Accepted), thousands(at.Duplicates), thousands(at.Failed))
	tellInvalid(out, at.Invalid)
	return s.failed(at)
}

// tellInvalid says how many events break the schema of their type, if any do.
func tellInvalid(out io.Writer, n uint64) {
	if n > 0 {
		fmt.Fprintf(out, "  %s not valid: kept, and changing nothing; the filter !event.valid finds what is\n", plural(int(n), "event is", "events are"))
	}
}

// failed tells of the rows that failed; the command has then failed too.
func (s *sender) failed(at *client.ImportProgress) error {
	if at.Failed == 0 {
		return nil
	}
	fmt.Fprintf(s.errors, "tributary: %s failed; `tributary deadletters list --origin import` says where and why\n",
		plural(int(at.Failed), "row", "rows"))
	return errReported
}

// What a dry run shows.
const (
	shownEvents = 3
	shownErrors = 20
)

// checkFile maps all rows without storing anything.
func checkFile(c *cobra.Command, s *sender) error {
	out, rows, failed, invalid, shown := c.OutOrStdout(), uint64(0), 0, 0, 0
	err := s.chunks(1, func(chunk *client.Chunk) error {
		checks, err := s.to.CheckRows(c.Context(), s.mapping, chunk)
		if err != nil {
			return s.globals.explain(err)
		}
		for _, check := range checks {
			rows++
			if len(check.Errors) > 0 {
				if invalid++; invalid <= shownErrors {
					first := check.Errors[0]
					s.bar.note("%s:%d: not valid: %s: %s", s.input.path, check.Line, first.Path, first.Message)
				}
			}
			switch {
			case check.Error != "":
				if failed++; failed <= shownErrors {
					s.bar.note("%s", rowError(s.input.path, &check))
				}
			case shown < shownEvents:
				shown++
				s.bar.finish()
				fmt.Fprintf(out, "line %d: %s\n", check.Line, check.Event)
			}
		}
		return nil
	})
	s.bar.finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "dry run, nothing was stored: %s, %d would fail\n", plural(int(rows), "row", "rows"), failed)
	if invalid > 0 {
		fmt.Fprintf(out, "  %s would not be valid: kept, and changing nothing\n", plural(invalid, "event", "events"))
	}
	if failed > shownErrors {
		fmt.Fprintf(s.errors, "%d more errors\n", failed-shownErrors)
	}
	if failed > 0 {
		return errReported
	}
	return nil
}

func rowError(path string, check *client.Check) string {
	if check.Column == "" {
		return fmt.Sprintf("%s:%d: %s", path, check.Line, check.Error)
	}
	return fmt.Sprintf("%s:%d: column %s, value %q: %s", path, check.Line, check.Column, check.Value, check.Error)
}
