package consent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Mask is what stands for a text that was masked.
const Mask = "***"

// A Screening is an event of which fields may have to be taken out.
type Screening struct {
	Event *sdk.Event // is changed
	// Vars are what conditions see: the event as it was sent, and the profile.
	Vars *condition.Vars
	// Consents are those of the profile before the event; nil: it is about nobody.
	Consents map[string]any
	Now      time.Time
	// Hash is a keyed hash of a text: the same for the same text, and of no use
	// to whoever guesses texts.
	Hash func(text string) string
}

// Apply does what the resources ask for. Of two that name the same field the
// stricter one counts, dropping before masking before hashing. One whose condition
// fails on the event applies: what cannot be judged is not let through. A problem
// says nothing of what the event holds.
func (s *Screening) Apply(resources []*config.Compliance) (problems []error) {
	var fields []*config.ComplianceField
	for _, r := range resources {
		if r.When != nil {
			holds, err := r.When.Bool(s.Vars)
			if err != nil {
				problems = append(problems, fmt.Errorf("compliance %s: %w", r.ID, errWhen))
			} else if !holds {
				continue
			}
		}
		for i := range r.Fields {
			if !s.consented(r.Fields[i].Unless) {
				fields = append(fields, &r.Fields[i])
			}
		}
	}
	slices.SortStableFunc(fields, func(a, b *config.ComplianceField) int {
		return cmp.Or(cmp.Compare(strictness(a), strictness(b)), strings.Compare(a.Part, b.Part), slices.Compare(a.Path, b.Path))
	})
	for i, field := range fields {
		done := func(before *config.ComplianceField) bool {
			return before.Part == field.Part && slices.Equal(before.Path, field.Path)
		}
		if !slices.ContainsFunc(fields[:i], done) {
			s.take(field)
		}
	}
	return problems
}

var errWhen = errors.New("when failed on the event, whose fields were taken out")

func strictness(f *config.ComplianceField) int {
	return slices.Index([]string{config.ComplianceDrop, config.ComplianceMask, config.ComplianceHash}, f.Action)
}

func (s *Screening) consented(ids []string) bool {
	for _, id := range ids {
		if !sdk.Granted(s.Consents[id], s.Now) {
			return false
		}
	}
	return len(ids) > 0
}

// take does to one field of the event what is asked for.
func (s *Screening) take(f *config.ComplianceField) {
	part := &s.Event.Properties
	switch f.Part {
	case "traits":
		part = &s.Event.Traits
	case "context":
		part = &s.Event.Context
	}
	if s.within(part.View(), f.Path, f.Action) {
		part.Map() // its text is another one now
	}
}

// within goes along a path, through each element of a list on the way, and tells
// whether it found a value.
func (s *Screening) within(at any, path sdk.Path, action string) (found bool) {
	switch at := at.(type) {
	case []any:
		for _, e := range at {
			found = s.within(e, path, action) || found
		}
	case map[string]any:
		v, ok := at[path[0]]
		switch {
		case !ok || v == nil:
			return false
		case len(path) > 1:
			return s.within(v, path[1:], action)
		}
		if v = s.treated(v, action); v == nil {
			delete(at, path[0])
		} else {
			at[path[0]] = v
		}
		return true
	}
	return found
}

// treated is what is left of a value; nil: nothing. A list is treated element by
// element.
func (s *Screening) treated(v any, action string) any {
	if action == config.ComplianceDrop {
		return nil
	}
	text, isText := v.(string)
	list, isList := v.([]any)
	switch {
	case isList:
		left := make([]any, 0, len(list))
		for _, e := range list {
			if e = s.treated(e, action); e != nil {
				left = append(left, e)
			}
		}
		return left
	case v == nil, action == config.ComplianceMask && !isText:
		return nil
	case action == config.ComplianceMask:
		return Mask
	case !isText:
		text = string(sdk.AppendValue(nil, v)) // a number as it is written, a map as JSON
	}
	return s.Hash(text)
}
