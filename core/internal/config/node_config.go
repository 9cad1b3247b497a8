package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A NodeConfig is a value of a flow's node, or what a part of an event is made
// anew by: literal but for the texts that are templates.
type NodeConfig struct {
	literal any    // where nothing is a template
	text    []byte // of literal, encoded once
	parts   any    // *condition.Template, ListParts or ObjectParts, where something is
	// aggregates is what the templates read of a profile's past, each once.
	aggregates []condition.Aggregate
}

// ListParts is a list that holds a template, at whatever depth. What holds none
// stands in it as the plain value.
type ListParts []any

// ObjectParts is an object that holds a template, likewise.
type ObjectParts map[string]any

// Parts is what the value is made of: ListParts or ObjectParts, a
// *condition.Template, or a literal value. It must not be changed.
func (c *NodeConfig) Parts() any {
	if c.Literal() {
		return c.literal
	}
	return c.parts
}

// Literal tells whether the value is the same for every run.
func (c *NodeConfig) Literal() bool { return c.parts == nil }

// Aggregates is what count, sum, first and last the templates read.
func (c *NodeConfig) Aggregates() []condition.Aggregate { return c.aggregates }

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

// Value renders the value: what is exactly one expression keeps its type, a
// time.Time among them. It is shared with the configuration and must not be
// changed.
func (c *NodeConfig) Value(vars *condition.Vars) (any, error) {
	if c.Literal() {
		return c.literal, nil
	}
	return render(c.parts, vars)
}

// render makes new lists and objects of those that hold templates only.
func render(part any, vars *condition.Vars) (any, error) {
	switch p := part.(type) {
	case *condition.Template:
		return p.Value(vars)
	case ListParts:
		out := make([]any, len(p))
		for i, item := range p {
			v, err := render(item, vars)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case ObjectParts:
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

// nodeConfig reads a value that may hold templates over a flow's run, also
// within lists and objects. The names of objects are taken as they are written.
func (c *checker) nodeConfig(n *node, path string) *NodeConfig {
	return c.template(n, path, condition.FlowScope)
}

// template reads a value that may hold templates over what a scope has.
func (c *checker) template(n *node, path string, scope condition.Scope) *NodeConfig {
	config := &NodeConfig{}
	part := c.part(n, path, config, scope)
	if templated(part) {
		config.parts = part
		return config
	}
	config.literal, config.text = part, sdk.AppendValue(nil, part)
	return config
}

func (c *checker) part(n *node, path string, config *NodeConfig, scope condition.Scope) any {
	some := false
	switch n.shape {
	case array:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = c.part(item, fmt.Sprintf("%s[%d]", path, i), config, scope)
			some = some || templated(list[i])
		}
		if some {
			return ListParts(list)
		}
		return list
	case object:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.name] = c.part(f.value, below(path, f.name), config, scope)
			some = some || templated(m[f.name])
		}
		if some {
			return ObjectParts(m)
		}
		return m
	}
	text, ok := n.scalar.(string)
	if !ok || !strings.Contains(text, "{{") {
		return n.scalar
	}
	t, err := condition.CompileTemplate(text, scope)
	if err != nil {
		c.fail(n, path, "%v", err)
		return text
	}
	for _, a := range t.Aggregates() {
		if !slices.Contains(config.aggregates, a) {
			config.aggregates = append(config.aggregates, a)
		}
	}
	return t
}

// templated tells whether a part is or holds a template.
func templated(part any) bool {
	switch part.(type) {
	case *condition.Template, ListParts, ObjectParts:
		return true
	}
	return false
}

// sources is the value with each template as the text that it was written as.
func sources(part any) any {
	switch p := part.(type) {
	case *condition.Template:
		return p.Source()
	case ListParts:
		out := make([]any, len(p))
		for i, item := range p {
			out[i] = sources(item)
		}
		return out
	case ObjectParts:
		out := make(map[string]any, len(p))
		for name, item := range p {
			out[name] = sources(item)
		}
		return out
	}
	return part
}
