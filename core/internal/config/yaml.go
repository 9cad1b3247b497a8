package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tributary-bus/tributary/sdk"
)

// readYAML reads the documents of a YAML text; empty documents are left out.
// Of YAML's types only those of JSON are taken: what looks like a date is the
// text that was written, merge keys and binary values are errors.
func readYAML(text []byte) ([]*node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var nodes []*node
	var room budget
	for {
		var document yaml.Node
		if err := dec.Decode(&document); err != nil {
			if errors.Is(err, io.EOF) {
				return nodes, nil
			}
			return nil, yamlSyntax(err)
		}
		n, err := fromYAML(&document, 0, &room)
		if err != nil {
			return nil, err
		}
		if !n.null() {
			nodes = append(nodes, n)
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// yamlSyntax takes the line out of the library's message, which has none where
// it is the first.
func yamlSyntax(err error) *positioned {
	message := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	return &positioned{line, "not YAML: " + strings.TrimPrefix(message, "yaml: ")}
}

func fromYAML(y *yaml.Node, depth int, room *budget) (*node, error) {
	if err := room.take(y.Line, depth); err != nil {
		return nil, err
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return fromYAML(y.Content[0], depth, room)
	case yaml.AliasNode:
		return fromYAML(y.Alias, depth+1, room)
	case yaml.SequenceNode:
		n := &node{line: y.Line, shape: array}
		for _, item := range y.Content {
			value, err := fromYAML(item, depth+1, room)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, value)
		}
		return n, nil
	case yaml.MappingNode:
		n := &node{line: y.Line, shape: object}
		seen := make(map[string]int, len(y.Content)/2)
		for i := 0; i+1 < len(y.Content); i += 2 {
			name, err := yamlName(y.Content[i])
			if err != nil {
				return nil, err
			}
			value, err := fromYAML(y.Content[i+1], depth+1, room)
			if err != nil {
				return nil, err
			}
			if err := n.add(seen, name, y.Content[i].Line, value); err != nil {
				return nil, err
			}
		}
		return n, nil
	}
	return yamlScalar(y)
}

func yamlName(y *yaml.Node) (string, error) {
	for y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	switch {
	case y.Kind != yaml.ScalarNode:
		return "", &positioned{y.Line, "a field's name must be text"}
	case y.ShortTag() == "!!merge":
		return "", &positioned{y.Line, "merge keys (<<) are not supported; write the fields out"}
	}
	return y.Value, nil
}

func yamlScalar(y *yaml.Node) (*node, error) {
	n := &node{line: y.Line}
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp":
		n.scalar = y.Value
	case "!!null":
	case "!!bool":
		var b bool
		if err := y.Decode(&b); err != nil {
			return nil, &positioned{y.Line, fmt.Sprintf("%q is not a boolean; want true or false", y.Value)}
		}
		n.scalar = b
	case "!!int", "!!float":
		v, err := yamlNumber(y)
		if err != nil {
			return nil, err
		}
		n.scalar = v
	default:
		return nil, &positioned{y.Line, fmt.Sprintf("the YAML type %s is not supported; want text, a number, true, false, null, a list or an object", tag)}
	}
	return n, nil
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// yamlNumber keeps decimal literals exact and reads YAML's other notations
// (0x1f, 1_000, +1) by value.
func yamlNumber(y *yaml.Node) (any, error) {
	if jsonNumber.MatchString(y.Value) {
		return sdk.ParseNumber(y.Value), nil
	}
	var integer int64
	if err := y.Decode(&integer); err == nil && y.ShortTag() == "!!int" {
		return integer, nil
	}
	var f float64
	if err := y.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, &positioned{y.Line, fmt.Sprintf("%q is not a number that JSON can hold", y.Value)}
	}
	return f, nil
}
