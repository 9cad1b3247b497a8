package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// format is how a command writes what it found.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// outputFlag adds -o with the formats that a command has; the first is the
// default.
func outputFlag(c *cobra.Command, into *string, formats ...format) {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	c.Flags().StringVarP(into, "output", "o", names[0], "format: "+strings.Join(names, ", "))
	short := c.Flags().Bool("json", false, "the same as -o json")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *short {
			return c.Flags().Set("output", string(asJSON))
		}
		return choice("output", *into, names...)
	}
}

// write writes a JSON text in a format other than a table.
func write(w io.Writer, f format, text jsontext.Value) error {
	if f == asYAML {
		return writeYAML(w, text)
	}
	text = text.Clone()
	if err := text.Indent(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", text)
	return err
}

// writeValue writes what JSON can hold.
func writeValue(w io.Writer, f format, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return write(w, f, text)
}

// table writes rows in columns under a header; cells hold no line breaks.
func table(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, strings.Join(strings.Fields(cell), " "))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// writeYAML writes a JSON text as YAML, its fields in the order they have.
func writeYAML(w io.Writer, text jsontext.Value) error {
	node, err := yamlNode(jsontext.NewDecoder(bytes.NewReader(text)))
	if err != nil {
		return err
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return err
	}
	return enc.Close()
}

func yamlNode(dec *jsontext.Decoder) (*yaml.Node, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case '"':
		n := &yaml.Node{}
		// Encode quotes what would read as anything but text.
		return n, n.Encode(tok.String())
	case '0':
		// Without a tag the digits are written as they are, however many.
		return &yaml.Node{Kind: yaml.ScalarNode, Value: tok.String()}, nil
	case 't', 'f':
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: tok.String()}, nil
	case '[', '{':
		n := &yaml.Node{Kind: yaml.MappingNode}
		end := jsontext.Kind('}')
		if tok.Kind() == '[' {
			n.Kind, end = yaml.SequenceNode, ']'
		}
		for dec.PeekKind() != end {
			child, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := dec.ReadToken()
		return n, err
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// thousands writes a number with commas.
func thousands[T int | int64 | uint64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
