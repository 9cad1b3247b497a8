package config

import (
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A NodeConfig is a value of a flow's node: literal but for the texts that are
// templates.
type NodeConfig struct {
	literal any    // where nothing is a template
	text    []byte // of literal, encoded once
	parts   any    // *condition.Template, []any or map[string]any of parts, else a literal
}

// Literal tells whether the value is the same for every run.
func (c *NodeConfig) Literal() bool { return c.parts == nil }

// AppendJSON appends the value as the variables make it.
func (c *NodeConfig) AppendJSON(dst []byte, vars *condition.Vars) ([]byte, error) {
	if c.Literal() {
		return append(dst, c.text...), nil
	}
	v, err := c.Value(vars)
	if err != nil {
		return dst, err
	}
	return sdk.AppendValue(dst, v), nil
}

// Value renders the value: what is exactly one expression keeps its type. It is
// shared with the configuration and must not be changed.
func (c *NodeConfig) Value(vars *condition.Vars) (any, error) {
	if c.Literal() {
		return c.literal, nil
	}
	return render(c.parts, vars)
}

func render(part any, vars *condition.Vars) (any, error) {
	switch p := part.(type) {
	case *condition.Template:
		return p.Value(vars)
	case []any:
		out := make([]any, len(p))
		for i, item := range p {
			v, err := render(item, vars)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(p))
		for name, item := range p {
			v, err := render(item, vars)
			if err != nil {
				return nil, err
			}
			out[name] = v
		}
		return out, nil
	}
	return part, nil
}
