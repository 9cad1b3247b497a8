package gateway

import (
	"fmt"
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// identifyProfiles takes the ids of profiles that a source with static ids names
// for identifiers that tell whom its events are about: whoever holds one is the
// profile, whatever the session and other identifiers say, and where nobody does a
// new profile comes to. What a link passes on is no such id and counts for nothing.
// An event that nothing identifies is refused.
func (b *batch) identifyProfiles(source *config.Source, rules *rules) {
	kind := rules.kinds[source.StaticIDs]
	if kind == nil {
		return
	}
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted || e.ProfileLess {
			continue
		}
		named := kind.Value(e.Profile)
		e.Profile, e.Passed, e.bySession = "", "", false
		switch {
		case named != "":
			e.lead(record.Identifier{Kind: kind.Name, Value: named})
		case len(e.IDs) == 0 && !e.orNobody:
			e.fail(fieldProblem(codeInvalid, "profile", fmt.Sprintf("an event of source %s has to name its profile; see its static_ids", source.ID)))
		}
	}
}

// lead makes an identifier the first of the event, which tells whom it is about.
func (e *event) lead(id record.Identifier) {
	others := slices.DeleteFunc(e.IDs, func(other record.Identifier) bool { return other == id })
	if len(others) == maxIDs {
		e.fail(fieldProblem(codeInvalid, "profile", fmt.Sprintf("is the %s beside %d other identifiers, which are all that are allowed", id.Kind, maxIDs)))
		return
	}
	e.IDs, e.Static = slices.Insert(others, 0, id), true
}
