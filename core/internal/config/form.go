package config

import (
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// A checker collects what is wrong with one resource while its fields are read.
type checker struct {
	origin   Origin
	kind, id string
	problems Problems
}

// fail records a problem at n, or at the resource where n has no line.
func (c *checker) fail(n *node, path, format string, args ...any) {
	origin := c.origin
	if n != nil && n.line > 0 {
		origin.Line = n.line
	}
	c.problems = append(c.problems, &Problem{origin, c.kind, c.id, path, fmt.Sprintf(format, args...)})
}

// A form reads the fields of one object strictly: each field is asked for by
// name, and close reports those that nobody asked for. A field of the wrong
// type is reported and reads as missing.
type form struct {
	*checker
	node  *node
	path  string
	known []string
}

// form opens n as an object; it reports what is none.
func (c *checker) form(n *node, path string) (f *form, ok bool) {
	if n.shape != object {
		c.fail(n, path, "want an object, got %s", n.typeName())
		return nil, false
	}
	return &form{checker: c, node: n, path: path}, true
}

// get returns a field, nil where it is missing or null.
func (f *form) get(name string) *node {
	if !contains(f.known, name) {
		f.known = append(f.known, name)
	}
	for _, field := range f.node.fields {
		if field.name == name && !field.value.null() {
			return field.value
		}
	}
	return nil
}

// want is get for a field that must be there.
func (f *form) want(name string) *node {
	n := f.get(name)
	if n == nil {
		f.fail(f.node, f.at(name), "missing")
	}
	return n
}

func (f *form) at(name string) string { return below(f.path, name) }

// below writes the path of a field.
func below(path, name string) string {
	switch {
	case name == "" || strings.ContainsAny(name, `.[]" `):
		return path + `["` + name + `"]`
	case path == "":
		return name
	}
	return path + "." + name
}

// close reports the fields that were not asked for.
func (f *form) close() {
	for _, field := range f.node.fields {
		if !contains(f.known, field.name) {
			f.fail(&node{line: field.line}, f.at(field.name), "unknown field; %s", Meant(field.name, f.known))
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// text reads a string field, "" where it is missing.
func (f *form) text(name string) string {
	if n := f.get(name); n != nil {
		return f.textOf(n, f.at(name))
	}
	return ""
}

// wantText is text for a field that must be there and not be empty.
func (f *form) wantText(name string) string {
	n := f.want(name)
	if n == nil {
		return ""
	}
	s := f.textOf(n, f.at(name))
	if s == "" && n.scalar == "" {
		f.fail(n, f.at(name), "must not be empty")
	}
	return s
}

func (c *checker) textOf(n *node, path string) string {
	s, ok := n.scalar.(string)
	switch {
	case ok:
	case n.shape != scalar || n.null():
		c.fail(n, path, "want a string, got %s", n.typeName())
	default:
		c.fail(n, path, "want a string, got %s; put it in quotes", n.typeName())
	}
	return s
}

// flag reads a boolean field, false where it is missing.
func (f *form) flag(name string) bool {
	n := f.get(name)
	if n == nil {
		return false
	}
	b, ok := n.scalar.(bool)
	if !ok {
		f.fail(n, f.at(name), "want true or false, got %s", n.typeName())
	}
	return b
}

// integer reads a whole number between least and most, 0 where it is missing.
func (f *form) integer(name string, least, most int64) int {
	n := f.get(name)
	if n == nil {
		return 0
	}
	i, ok := n.scalar.(int64)
	switch {
	case !ok:
		f.fail(n, f.at(name), "want a whole number, got %s", n.typeName())
	case i < least || i > most:
		f.fail(n, f.at(name), "%d is out of range; want %d to %d", i, least, most)
	default:
		return int(i)
	}
	return 0
}

// choice reads a string that must be one of the options; the first of them is
// what a missing field means.
func (f *form) choice(name, noun string, options []string) string {
	n := f.get(name)
	if n == nil {
		return options[0]
	}
	s := f.textOf(n, f.at(name))
	if s != "" && !contains(options, s) {
		f.fail(n, f.at(name), "unknown %s %q; want one of %s", noun, s, strings.Join(options, ", "))
	}
	return s
}

// list reads the items of an array field.
func (f *form) list(name string) []*node {
	n := f.get(name)
	if n == nil {
		return nil
	}
	if n.shape != array {
		f.fail(n, f.at(name), "want a list, got %s", n.typeName())
		return nil
	}
	return n.items
}

// item is the path of the i-th element of a list field.
func (f *form) item(name string, i int) string { return fmt.Sprintf("%s[%d]", f.at(name), i) }

// texts reads a list of strings, none of them empty, none twice.
func (f *form) texts(name string) []string {
	var list []string
	for i, n := range f.list(name) {
		s := f.textOf(n, f.item(name, i))
		switch {
		case s == "" && n.scalar == "":
			f.fail(n, f.item(name, i), "must not be empty")
		case s != "" && contains(list, s):
			f.fail(n, f.item(name, i), "is in the list twice; remove one")
		case s != "":
			list = append(list, s)
		}
	}
	return list
}

// predicate compiles a field that is a condition, nil where it is missing.
func (f *form) predicate(name string, scope condition.Scope) *condition.Program {
	if n := f.get(name); n != nil {
		return f.compile(n, f.at(name), scope, condition.CompileCondition)
	}
	return nil
}

// expression compiles a field that is CEL for a value, nil where it is missing.
func (f *form) expression(name string, scope condition.Scope) *condition.Program {
	if n := f.get(name); n != nil {
		return f.compile(n, f.at(name), scope, condition.Compile)
	}
	return nil
}

// compile compiles a leaf that is CEL. A number or a boolean is what it says,
// so that `id: 7` needs no quotes.
func (c *checker) compile(n *node, path string, scope condition.Scope, as compiler) *condition.Program {
	if n.shape != scalar || n.null() {
		c.fail(n, path, "want an expression (CEL) as a string, got %s", n.typeName())
		return nil
	}
	source, ok := n.scalar.(string)
	if !ok {
		source = string(canonical(n))
	}
	program, err := as(source, scope)
	if err != nil {
		c.fail(n, path, "%v", err)
		return nil
	}
	return program
}

type compiler = func(src string, scope condition.Scope) (*condition.Program, error)
