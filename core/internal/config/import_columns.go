package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// CheckColumns refuses a header that lacks columns which the mapping reads: the
// rows would have null there, and the events not what they should. A column that
// the expression itself asks for, such as by has(row.City), may be missing.
func (i *Import) CheckColumns(header []string) error {
	var problems []string
	told := map[string]bool{}
	i.Event.needs("row", func(path string, columns []string) {
		for _, column := range columns {
			if told[column] || slices.Contains(header, column) {
				continue
			}
			told[column] = true
			problems = append(problems, fmt.Sprintf("there is no column %q, which %s of import %s reads; %s",
				column, path, i.ID, meantColumn(column, header)))
		}
	})
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%s; has(row.X) asks for a column that may be missing", strings.Join(problems, "; "))
}

// shownColumns bounds how many columns a message lists.
const shownColumns = 20

func meantColumn(name string, header []string) string {
	if nearest(name, header) == "" && len(header) > shownColumns {
		return "there are " + strings.Join(header[:shownColumns], ", ") + " and others"
	}
	return Meant(name, header)
}

// needs tells for every leaf what it needs of a variable: see
// [condition.Program.Needs].
func (m *EventMapping) needs(variable string, tell func(path string, fields []string)) {
	program := func(path string, p *condition.Program) {
		if p != nil {
			tell(path, p.Needs(variable))
		}
	}
	for _, n := range []struct {
		path string
		*name
	}{{"event.type", m.typ}, {"event.source", m.source}} {
		if n.name != nil && n.template != nil {
			tell(n.path, n.template.Needs(variable))
		}
	}
	program("event.id", m.id)
	program("event.session", m.session)
	program("event.profile", m.profile)
	program("event.time", m.time)
	for _, id := range m.ids {
		program(below("event.ids", id.name), id.program)
	}
	var branches func(b *branch)
	branches = func(b *branch) {
		if b == nil {
			return
		}
		program(b.path, b.program)
		for _, item := range b.items {
			branches(item)
		}
	}
	for _, b := range []*branch{m.properties, m.traits, m.context, m.tags} {
		branches(b)
	}
}
