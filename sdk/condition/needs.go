package condition

import (
	"maps"
	"slices"
)

// Needs lists the fields of a document that the condition reads right below its
// variable, sorted and each once, but for those that it asks itself whether they
// are there: by has(row.City), by comparing with null, or by "City" in row.
func (p *Program) Needs(variable string) []string {
	f := fields{variable: variable, read: map[string]bool{}, asked: map[string]bool{}}
	f.of(p.root)
	return f.needed()
}

// Needs is [Program.Needs] of all expressions of the template.
func (t *Template) Needs(variable string) []string {
	f := fields{variable: variable, read: map[string]bool{}, asked: map[string]bool{}}
	for _, p := range t.parts {
		if p.program != nil {
			f.of(p.program.root)
		}
	}
	return f.needed()
}

// fields are those below a variable: what is read, and what is asked for.
type fields struct {
	variable    string
	read, asked map[string]bool
}

func (f *fields) needed() []string {
	maps.DeleteFunc(f.read, func(name string, _ bool) bool { return f.asked[name] })
	return slices.Sorted(maps.Keys(f.read))
}

func (f *fields) of(n *node) {
	if name, is := f.field(n); is {
		f.read[name] = true
	}
	switch n.op {
	case "has":
		f.ask(n.args[0])
	case opEquals, opNotEquals:
		for i, a := range n.args {
			if a.op == nodeConstant && a.value == nil {
				f.ask(n.args[1-i])
			}
		}
	case opIn:
		name, is := n.args[0].value.(string)
		if of := n.args[1]; is && of.op == nodePath && of.variable == f.variable && len(of.names) == 0 {
			f.asked[name] = true
		}
	}
	for _, a := range n.args {
		f.of(a)
	}
}

func (f *fields) ask(n *node) {
	if name, is := f.field(n); is {
		f.asked[name] = true
	}
}

func (f *fields) field(n *node) (string, bool) {
	if n.op != nodePath || n.variable != f.variable || len(n.names) == 0 {
		return "", false
	}
	return n.names[0], true
}
