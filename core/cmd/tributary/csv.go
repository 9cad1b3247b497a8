package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// maxRecord bounds one row of a CSV file. A quote that is never closed would
// otherwise take the rest of the file for one value.
const maxRecord = 1 << 20

// A csvReader reads the rows of a CSV file whose first record names the
// columns. Its memory does not grow with the file.
type csvReader struct {
	name    string
	source  *budget
	csv     *csv.Reader
	columns []string
}

// newCSVReader reads the header. Errors name the file and the line.
func newCSVReader(name string, r io.Reader, delimiter rune) (*csvReader, error) {
	source := &budget{r: r, left: maxRecord}
	buffered := bufio.NewReader(source)
	switch start, _ := buffered.Peek(3); {
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return nil, fmt.Errorf("%s: is UTF-16; save it as UTF-8", name)
	case bytes.Equal(start, []byte("\xef\xbb\xbf")):
		if _, err := buffered.Discard(len(start)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	c := &csvReader{name: name, source: source, csv: csv.NewReader(buffered)}
	c.csv.Comma, c.csv.FieldsPerRecord, c.csv.ReuseRecord = delimiter, -1, true
	header, err := c.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: is empty; want a first line with the names of the columns", name)
	case err != nil:
		return nil, fmt.Errorf("%s: read the header: %w", name, c.explain(err))
	}
	c.columns, err = columnNames(header)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	if len(c.columns) == 1 {
		for _, other := range []string{";", "\t", "|", ","} {
			if strings.Contains(c.columns[0], other) {
				return nil, fmt.Errorf("%s:1: the header has one column, %q; if %q separates the columns, say --delimiter %q",
					name, c.columns[0], other, other)
			}
		}
	}
	return c, nil
}

func columnNames(header []string) ([]string, error) {
	names := make([]string, len(header))
	seen := make(map[string]int, len(header))
	for i, name := range header {
		name = strings.TrimSpace(name)
		switch first, twice := seen[name]; {
		case name == "":
			return nil, fmt.Errorf("column %d has no name", i+1)
		case !utf8.ValidString(name):
			return nil, fmt.Errorf("the name of column %d is not UTF-8", i+1)
		case twice:
			return nil, fmt.Errorf("columns %d and %d have the same name %q", first, i+1, name)
		}
		names[i], seen[name] = strings.Clone(name), i+1
	}
	return names, nil
}

// read returns the next row, and io.EOF after the last. A row that cannot be
// read is returned with its error in it; the rows after it go on.
func (c *csvReader) read() (client.Row, error) {
	c.source.left = maxRecord
	record, err := c.csv.Read()
	var broken *csv.ParseError
	switch {
	case errors.As(err, &broken):
		return client.Row{Line: broken.StartLine, Error: fmt.Sprintf("%v, at column %d", broken.Err, broken.Column)}, nil
	case errors.Is(err, io.EOF):
		return client.Row{}, io.EOF
	case err != nil:
		return client.Row{}, fmt.Errorf("%s: %w", c.name, c.explain(err))
	}
	line, _ := c.csv.FieldPos(0)
	if len(record) != len(c.columns) {
		return client.Row{
			Line: line, Text: printable(strings.Join(record, string(c.csv.Comma))),
			Error: fmt.Sprintf("has %d fields, the header has %d", len(record), len(c.columns)),
		}, nil
	}
	row := make(map[string]any, len(record))
	for i, value := range record {
		if !utf8.ValidString(value) {
			return client.Row{
				Line: line, Text: printable(strings.Join(record, string(c.csv.Comma))),
				Error: fmt.Sprintf("column %s is not UTF-8", c.columns[i]),
			}, nil
		}
		row[c.columns[i]] = value
	}
	return client.Row{Line: line, Columns: sdk.AppendValue(nil, row)}, nil
}

// offset tells how many bytes of the file the rows so far took.
func (c *csvReader) offset() int64 { return c.csv.InputOffset() }

func (c *csvReader) explain(err error) error {
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("the row that begins near byte %d is longer than %d bytes: is a closing quote missing?",
			c.csv.InputOffset(), maxRecord)
	}
	return err
}

func printable(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

var errTooLong = errors.New("row too long")

// budget passes on so many bytes and then fails.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}
