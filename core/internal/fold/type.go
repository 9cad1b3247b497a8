package fold

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/eventtype"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// What an event's type says of it is carried out here; what that is, is decided by
// package eventtype.

func (f *Fold) findType() {
	t, err := f.Rules.of(&f.event, f.vars())
	f.problem(err)
	f.eventType = t
}

// hold holds the event against its type, and makes it anew where the type says so.
// What the product says has happened, whatever is wanted of it.
func (f *Fold) hold() {
	t, system := f.eventType, f.event.Source == record.SourceSystem
	if t == nil {
		return
	}
	if !system && len(t.Validators) > 0 {
		faults, problems := eventtype.Check(t, &f.event, &f.scope)
		f.problems(problems)
		if len(faults) > 0 {
			f.invalid(faults)
			return
		}
	}
	if t.Reshape == nil {
		return
	}
	faults, problems := eventtype.Reshape(t, &f.event, &f.scope)
	f.problems(problems)
	if len(faults) > 0 && !system {
		f.invalid(faults)
		return
	}
	for _, part := range [...]*sdk.Object{&f.event.Properties, &f.event.Traits, &f.event.Context} {
		f.made += len(part.AppendJSON(nil))
	}
}

func (f *Fold) problems(list []error) {
	f.result.Problems = append(f.result.Problems, list...)
}

// annotate does to an event what its type says of the event itself.
func (f *Fold) annotate() {
	f.describe()
	f.journey()
}

// describe gives the event the traits and tags of its type.
func (f *Fold) describe() {
	if f.eventType != nil {
		f.problems(eventtype.Describe(f.eventType, &f.event))
	}
}

// journey gives the event the state of the customer's journey that it is a sign of;
// empty: of none.
func (f *Fold) journey() string {
	if f.eventType == nil || f.eventType.Journey == nil {
		return ""
	}
	state, err := eventtype.Journey(f.eventType, &f.event, f.vars())
	f.problem(err)
	return state
}

// Where a profile tells of the journey.
var (
	statePath = sdk.Path{"data", "journey", "state"}
	sincePath = sdk.Path{"data", "journey", "since"}
	stateText = statePath.String()
	sinceText = sincePath.String()
)

// move takes the profile to a state of the journey as of the event's time. One that
// something later has moved stays where it is.
func (f *Fold) move(state string) {
	if state == "" {
		return
	}
	p := f.Doc.Profile
	before, _ := statePath[1:].Get(p.Data)
	err := f.write(statePath, stateText, config.OpSet, state)
	if at, _ := statePath[1:].Get(p.Data); err == nil && at == state && before != state {
		err = f.write(sincePath, sinceText, config.OpSet, sdk.FormatTime(f.event.Time))
	}
	if err != nil {
		f.problem(fmt.Errorf("event type %s: journey: %w", f.eventType.ID, err))
	}
}

// copy carries out the copy rules of the event's type, in their order; a later
// one sees what an earlier one did. One that fails leaves the profile as it is.
func (f *Fold) copy() {
	if len(f.eventType.Copy) == 0 {
		return
	}
	vars := f.vars()
	for i := range f.eventType.Copy {
		rule := &f.eventType.Copy[i]
		to, operand, applies, err := eventtype.Copy(rule, vars)
		if err == nil && applies {
			text := rule.Text
			if rule.Name != nil {
				text = to.String()
			}
			err = f.write(to, text, rule.Op, operand)
		}
		if err != nil {
			f.problem(fmt.Errorf("event type %s: copy to %s: %w", f.eventType.ID, rule.To, err))
		}
	}
}
