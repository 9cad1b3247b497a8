package processor

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// maxDocument is how large a profile's document may become, in bytes of JSON.
const maxDocument = 1 << 20

// An application is an event on its way into a profile: what the fold works
// with and what it gives back. It is a function of the document, the event,
// the claims and the rules alone: no clock, no I/O, so that the same log gives
// the same profiles wherever it is read.
type application struct {
	rules  *rules
	doc    *record.Document // nil: nobody has the profile's id yet
	event  sdk.Event
	source *record.Event
	// eventType holds the rules of the event's type, nil where there are none.
	eventType *config.EventType
	changes   map[string]any
	ended     *sdk.Session
	// unknown is true where the query store does not have the session that ended.
	unknown bool
	// ephemeral is true for an event that is folded and not kept.
	ephemeral bool
	problems  []error // rules that failed on this event: counted and logged

	scope   condition.Vars
	history profile.History
}

// examine prepares an event for a profile and tells whether it is valid. It
// changes nothing.
func examine(r *rules, doc *record.Document, c *record.Command) *application {
	a := &application{rules: r, doc: doc, source: c.Event, event: c.Event.Public(c.Received)}
	if c.Hops > 0 && c.Profile != "" && (doc == nil || doc.Session == nil || doc.Session.ID != a.event.Session) {
		a.event.Session = "" // what a flow sends opens no session and goes back to none
	}
	if a.ephemeral = r.ephemeral(c.Event); a.ephemeral {
		a.event.Session = ""
	}
	t, err := r.of(&a.event, a.vars())
	if err != nil {
		a.problems = append(a.problems, err)
	}
	a.eventType = t
	if c.Event.Source == record.SourceSystem {
		return a // what happened has happened, whatever a schema says
	}
	if errs := t.Violations(&a.event.Properties); len(errs) > 0 {
		a.refuse(errs)
	}
	return a
}

// refuse marks the event as not valid. It is about nobody then, but for a system
// event: that tells what has become of a profile.
func (a *application) refuse(errs []sdk.FieldError) {
	a.event.Valid, a.event.Errors = false, errs
	if a.doc == nil || a.source.Source != record.SourceSystem {
		a.event.Profile = ""
	}
}

// vars are what the rules' conditions see. Now is when the event was received.
func (a *application) vars() *condition.Vars {
	a.history = profile.History{Doc: a.doc, Now: a.event.Received}
	v := &a.scope
	*v = condition.Vars{Event: &a.event, Now: a.event.Received, History: &a.history}
	if a.doc != nil {
		v.Profile = a.doc.Profile
		if a.doc.Session != nil && a.doc.Session.ID == a.event.Session {
			v.Session = a.doc.Session
		}
	}
	return v
}

// apply folds a valid event into the profile and returns its document after
// it: the one given, changed, or a new one.
func (a *application) apply(id string, claims []claim) *record.Document {
	if a.doc == nil {
		a.doc = &record.Document{State: record.StateLive, Profile: sdk.NewProfile(id, a.event.Received)}
	}
	p := a.doc.Profile
	a.event.Profile = p.ID
	a.changes = map[string]any{}
	identify(p, claims, a.changes)
	profile.CountEvent(a.doc, &a.event, a.rules.aggregates[a.event.Type], a.event.Received)
	a.ended, a.unknown = visit(a.doc, &a.event, a.source.TransientSession)
	a.describe()
	if a.event.Type == "identify" {
		a.adoptTraits()
	}
	if a.eventType != nil {
		a.copy()
	}
	p.Revision++
	p.Updated = a.event.Received
	return a.doc
}

// annotate does what the rules of its type do to an event about nobody.
func (a *application) annotate() { a.describe() }

// identify enters the identifiers of an event into the profile.
func identify(p *sdk.Profile, claims []claim, changes map[string]any) {
	for _, c := range claims {
		if c.Kind == record.KindSessionID || has(p.Identities[c.Kind], c.Value) || c.holder != "" && c.holder != p.ID {
			continue
		}
		p.Identities[c.Kind] = append(p.Identities[c.Kind], c.Value)
		changes[sdk.Path{"identities", c.Kind}.String()] = p.Identities[c.Kind]
	}
}

func has(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// describe gives the event the traits and tags of its type.
func (a *application) describe() {
	t := a.eventType
	if t == nil {
		return
	}
	for _, tag := range t.Tags {
		if !has(a.event.Tags, tag) {
			a.event.Tags = append(a.event.Tags[:len(a.event.Tags):len(a.event.Tags)], tag)
		}
	}
	for _, rule := range t.Traits {
		v, ok := a.event.Properties.Get(rule.From)
		if !ok || v == nil {
			continue
		}
		if err := rule.To.Set(a.event.Traits.Map(), sdk.Clone(v)); err != nil {
			a.problems = append(a.problems, fmt.Errorf("event type %s: traits: %w", t.ID, err))
		}
	}
}

// adoptTraits sets an identify event's traits on the profile.
func (a *application) adoptTraits() {
	for name, v := range a.event.Traits.View() {
		a.doc.Profile.Traits[name] = sdk.Clone(v)
		a.changes[sdk.Path{"traits", name}.String()] = v
	}
}

// copy carries out the copy rules of the event's type, in their order; a later
// one sees what an earlier one did. One that fails leaves the profile as it is.
func (a *application) copy() {
	vars := a.vars()
	for i := range a.eventType.Copy {
		rule := &a.eventType.Copy[i]
		var v any
		var changed bool
		operand, err := copyOperand(rule, vars)
		if err == nil {
			v, changed, err = profile.Change(a.doc.Profile, rule.To, rule.Op, operand)
		}
		if err != nil {
			a.problems = append(a.problems, fmt.Errorf("event type %s: copy to %s: %w", a.eventType.ID, rule.To, err))
			continue
		}
		if changed {
			a.changes[rule.To.String()] = v
		}
	}
}

func copyOperand(rule *config.CopyRule, vars *condition.Vars) (any, error) {
	if rule.From == nil {
		return rule.By, nil
	}
	v, err := rule.From.Value(vars)
	if err != nil {
		return nil, err
	}
	// What the profile keeps must not be part of the event.
	return sdk.Clone(v), nil
}

// processed is what EVENTS carries of the event.
func (a *application) processed() *record.ProcessedEvent {
	out := &record.ProcessedEvent{Event: a.event, Config: a.rules.set.Revision(), Changes: a.changes, Ended: a.ended,
		Transient: a.source.Transient || a.ephemeral, TransientSession: a.source.TransientSession || a.source.TransientProfile || a.ephemeral,
		TransientEnded: a.ended != nil && a.unknown}
	if a.event.Profile != "" {
		out.Revision = a.doc.Profile.Revision
		if a.event.Session != "" {
			out.Session = a.doc.Session
		}
	}
	return out
}
