package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An EventMapping makes events of foreign records: rows of a file, messages of
// a queue. Every leaf of it is CEL, except type and source.
type EventMapping struct {
	typ, source                *name
	id, session, profile, time *condition.Program
	ids                        []leaf // by kind of identifier
	properties, traits         *branch
	context                    *branch
	tags                       *branch
}

// Mapped is what a mapping makes of one record.
type Mapped struct {
	Type   string
	Source string // empty: the resource's own
	ID     string // empty: the record has none
	// Session and Profile are empty where the record names none.
	Session, Profile string
	Time             time.Time // zero: unknown
	IDs              []Identifier
	Properties       map[string]any
	Traits, Context  map[string]any // nil where not mapped
	Tags             []string
}

// An Identifier is a value of a kind of identifier, as the record has it.
type Identifier struct{ Kind, Value string }

// name is a literal, or a template over the record.
type name struct {
	literal  string
	template *condition.Template
}

// leaf is a value with a name.
type leaf struct {
	name    string
	program *condition.Program
}

// branch is CEL, or a list or an object of branches.
type branch struct {
	path    string
	program *condition.Program
	items   []*branch
	names   []string // of items, where it is an object
	object  bool
}

// mapping reads the field that holds an event mapping.
func (f *form) mapping(field string, scope condition.Scope) *EventMapping {
	n := f.want(field)
	if n == nil {
		return nil
	}
	e, ok := f.form(n, f.at(field))
	if !ok {
		return nil
	}
	m := &EventMapping{
		typ: e.name("type", scope), source: e.name("source", scope),
		id: e.expression("id", scope), session: e.expression("session", scope),
		profile: e.expression("profile", scope), time: e.expression("time", scope),
	}
	if m.typ == nil && e.get("type") == nil {
		e.fail(n, e.at("type"), "missing; want the type of the events")
	}
	if ids := e.get("ids"); ids != nil {
		if kinds, ok := e.form(ids, e.at("ids")); ok {
			for _, k := range kinds.node.fields {
				m.ids = append(m.ids, leaf{k.name, e.compile(k.value, kinds.at(k.name), scope, condition.Compile)})
			}
		}
		slices.SortFunc(m.ids, func(a, b leaf) int { return strings.Compare(a.name, b.name) })
	}
	m.properties, m.traits = e.branch("properties", scope), e.branch("traits", scope)
	m.context, m.tags = e.branch("context", scope), e.branch("tags", scope)
	e.close()
	return m
}

// name reads a literal or a template.
func (f *form) name(field string, scope condition.Scope) *name {
	if f.get(field) == nil {
		return nil
	}
	text := f.wantText(field)
	if text == "" {
		return nil
	}
	t, err := condition.CompileTemplate(text, scope)
	switch {
	case err != nil:
		f.fail(f.get(field), f.at(field), "%v", err)
		return nil
	case !t.Literal():
		return &name{template: t}
	}
	if message := typeID(text); message != "" {
		f.fail(f.get(field), f.at(field), "%s", message)
	}
	return &name{literal: text}
}

func (f *form) branch(field string, scope condition.Scope) *branch {
	n := f.get(field)
	if n == nil {
		return nil
	}
	return f.branchOf(n, f.at(field), scope)
}

func (c *checker) branchOf(n *node, path string, scope condition.Scope) *branch {
	b := &branch{path: strings.TrimPrefix(path, "spec."), object: n.shape == object}
	switch n.shape {
	case object:
		for _, f := range n.fields {
			b.names = append(b.names, f.name)
			b.items = append(b.items, c.branchOf(f.value, below(path, f.name), scope))
		}
	case array:
		for i, item := range n.items {
			b.items = append(b.items, c.branchOf(item, fmt.Sprintf("%s[%d]", path, i), scope))
		}
	default:
		b.program = c.compile(n, path, scope, condition.Compile)
	}
	return b
}

// A FieldProblem is what went wrong with one field of a mapping for one record.
//
//nolint:errname // it is a finding, like Problem
type FieldProblem struct {
	Path string // such as event.properties.total
	Err  error
}

// Error implements error.
func (p *FieldProblem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap gives the cause.
func (p *FieldProblem) Unwrap() error { return p.Err }

// Map makes the event of one record. The error is all that went wrong, each a
// [FieldProblem]. A value that is null makes no field and no identifier.
func (m *EventMapping) Map(v *condition.Vars) (Mapped, error) {
	r := mapper{vars: v}
	out := Mapped{
		Type: r.name("event.type", m.typ), Source: r.name("event.source", m.source),
		ID: r.text("event.id", m.id), Session: r.text("event.session", m.session),
		Profile: r.text("event.profile", m.profile), Time: r.time("event.time", m.time),
	}
	if out.Type == "" {
		r.fail("event.type", errors.New("is empty; want the type of the event"))
	}
	for _, id := range m.ids {
		if value := r.text(below("event.ids", id.name), id.program); value != "" {
			out.IDs = append(out.IDs, Identifier{id.name, value})
		}
	}
	out.Properties, out.Traits = r.object(m.properties), r.object(m.traits)
	out.Context, out.Tags = r.object(m.context), r.texts(m.tags)
	if len(r.errs) > 0 {
		return Mapped{}, errors.Join(r.errs...)
	}
	return out, nil
}

// mapper evaluates the leaves over one record and collects what goes wrong.
type mapper struct {
	vars *condition.Vars
	errs []error
}

func (r *mapper) fail(path string, err error) { r.errs = append(r.errs, &FieldProblem{path, err}) }

func (r *mapper) value(path string, p *condition.Program) any {
	if p == nil {
		return nil
	}
	v, err := p.Value(r.vars)
	if err != nil {
		r.fail(path, err)
		return nil
	}
	return v
}

// text takes text, and numbers as decimal text.
func (r *mapper) text(path string, p *condition.Program) string {
	v := r.value(path, p)
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	if sdk.TypeName(v) == "a number" {
		return string(sdk.AppendValue(nil, v))
	}
	r.fail(path, fmt.Errorf("want text or a number, got %s", sdk.TypeName(v)))
	return ""
}

func (r *mapper) name(path string, n *name) string {
	if n == nil {
		return ""
	}
	if n.template == nil {
		return n.literal
	}
	v, err := n.template.Value(r.vars)
	if err != nil {
		r.fail(path, err)
		return ""
	}
	s, ok := v.(string)
	if !ok && v != nil {
		r.fail(path, fmt.Errorf("want text, got %s", sdk.TypeName(v)))
	}
	return s
}

// time takes times, and text that [sdk.ParseTime] reads.
func (r *mapper) time(path string, p *condition.Program) time.Time {
	switch v := r.value(path, p).(type) {
	case nil:
	case time.Time:
		return v
	case string:
		if v == "" {
			break
		}
		t, err := sdk.ParseTime(v)
		if err != nil {
			r.fail(path, err)
		}
		return t
	default:
		r.fail(path, fmt.Errorf("want a time as text, such as 2026-01-31T12:00:00Z, got %s", sdk.TypeName(v)))
	}
	return time.Time{}
}

func (r *mapper) object(b *branch) map[string]any {
	if b == nil {
		return nil
	}
	switch v := r.branch(b).(type) {
	case map[string]any:
		return v
	case nil:
	default:
		r.fail(b.path, fmt.Errorf("want an object, got %s", sdk.TypeName(v)))
	}
	return nil
}

func (r *mapper) texts(b *branch) []string {
	if b == nil {
		return nil
	}
	v := r.branch(b)
	list, ok := v.([]any)
	if !ok && v != nil {
		r.fail(b.path, fmt.Errorf("want a list of texts, got %s", sdk.TypeName(v)))
	}
	var out []string
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			r.fail(b.path, fmt.Errorf("want a list of texts, one is %s", sdk.TypeName(item)))
			break
		}
		out = append(out, s)
	}
	return out
}

func (r *mapper) branch(b *branch) any {
	switch {
	case b.program != nil:
		v := r.value(b.path, b.program)
		if t, ok := v.(time.Time); ok {
			return sdk.FormatTime(t)
		}
		return v
	case b.object:
		m := make(map[string]any, len(b.items))
		for i, item := range b.items {
			if v := r.branch(item); v != nil {
				m[b.names[i]] = v
			}
		}
		return m
	}
	list := make([]any, len(b.items))
	for i, item := range b.items {
		list[i] = r.branch(item)
	}
	return list
}
