package importer

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/eventtype"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A mapping is an import with what error messages need of it.
type mapping struct {
	*config.Import
	set  *config.Set
	spec []byte // as JSON, to find a field's expression
}

// An outcome is what becomes of one row.
type outcome struct {
	number uint64 // of the row, from 1
	line   int
	row    []byte // its columns as JSON, or its text
	source *config.Source
	event  record.Event
	// fault says why the row fails; nil where it does not.
	fault     *fault
	duplicate bool
}

// A fault is a reason to fail a row, and the column that is to blame where one is.
type fault struct{ column, value, reason string }

// translate maps rows to events. A row that cannot be mapped has a fault.
func (i *Importer) translate(m *mapping, hash string, first uint64, rows []client.Row) []outcome {
	now := i.o.Now()
	outcomes := make([]outcome, len(rows))
	for n := range rows {
		row, o := &rows[n], &outcomes[n]
		o.number, o.line, o.row = first+uint64(n), row.Line, []byte(row.Columns)
		if row.Error != "" {
			o.row, o.fault = []byte(row.Text), &fault{reason: row.Error}
			continue
		}
		columns, err := sdk.ParseObject(row.Columns)
		if err != nil {
			o.fault = &fault{reason: "columns: " + err.Error()}
			continue
		}
		mapped, err := m.Map(columns, now)
		if err != nil {
			o.fault = m.blame(err, columns)
			continue
		}
		source, ok := m.set.Source(mapped.Source)
		if !ok {
			o.fault = &fault{value: mapped.Source, reason: "there is no such source"}
			continue
		}
		if mapped.ID == "" {
			mapped.ID = hash[:32] + "-" + strconv.FormatUint(o.number, 10)
		}
		o.source, o.event = source, eventOf(&mapped)
	}
	return outcomes
}

func eventOf(m *config.Mapped) record.Event {
	e := record.Event{
		ID: m.ID, Type: m.Type, Session: m.Session, Profile: m.Profile, Time: m.Time, Tags: m.Tags,
		Properties: object(m.Properties), Traits: object(m.Traits), Context: object(m.Context),
	}
	for _, id := range m.IDs {
		e.IDs = append(e.IDs, record.Identifier{Kind: id.Kind, Value: id.Value})
	}
	return e
}

// violations is what breaks the validators of an event's type, as far as the event
// alone can tell: whether the type's rules hold may depend on the profile.
func (m *mapping) violations(o *outcome, received time.Time) []sdk.FieldError {
	t := m.set.EventType(o.event.Type)
	if t == nil || len(t.Validators) == 0 {
		return nil
	}
	public := o.event.Public(received)
	public.Source = o.source.ID
	return eventtype.CheckAlone(t, &public, &condition.Vars{Event: &public, Now: received})
}

func object(m map[string]any) []byte {
	if len(m) == 0 {
		return nil
	}
	return sdk.AppendValue(nil, m)
}

// preview is the event of a row as a client would send it.
func preview(o *outcome) []byte {
	e := client.Event{
		ID: o.event.ID, Type: o.event.Type, Session: o.event.Session, Profile: o.event.Profile, Time: o.event.Time,
		Tags: o.event.Tags,
	}
	for _, id := range o.event.IDs {
		if e.IDs == nil {
			e.IDs = map[string]string{}
		}
		e.IDs[id.Kind] = id.Value
	}
	properties, traits, context := sdk.RawObject(o.event.Properties), sdk.RawObject(o.event.Traits), sdk.RawObject(o.event.Context)
	e.Properties, e.Traits, e.Context = properties.Map(), traits.Map(), context.Map()
	text, err := e.MarshalJSON()
	if err != nil {
		return nil
	}
	return text
}

// blame finds the column behind what went wrong with a row: that which the
// field's expression reads, where it reads one alone.
func (m *mapping) blame(err error, row map[string]any) *fault {
	f := &fault{reason: strings.ReplaceAll(err.Error(), "\n", "; ")}
	var first *config.FieldProblem
	if !errors.As(err, &first) {
		return f
	}
	columns := columnsOf(m.expression(first.Path))
	if len(columns) != 1 {
		return f
	}
	f.column = columns[0]
	if v, ok := row[f.column]; ok {
		if text, isText := v.(string); isText {
			f.value = text
		} else {
			f.value = string(sdk.AppendValue(nil, v))
		}
	}
	return f
}

// expression returns the text of the mapping's field at a path.
func (m *mapping) expression(path string) string {
	spec, err := sdk.ParseObject(m.spec)
	if err != nil {
		return ""
	}
	at, err := sdk.ParsePath(path)
	if err != nil {
		return ""
	}
	v, _ := at.Get(spec)
	text, _ := v.(string)
	return text
}

var columnReference = regexp.MustCompile(`\brow(?:\.([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:"([^"]*)"|'([^']*)')\s*\])`)

// columnsOf lists the columns that an expression reads, each once.
func columnsOf(expression string) []string {
	var columns []string
	seen := map[string]bool{}
	for _, match := range columnReference.FindAllStringSubmatch(expression, -1) {
		if name := match[1] + match[2] + match[3]; !seen[name] {
			seen[name] = true
			columns = append(columns, name)
		}
	}
	return columns
}
