package gateway

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// identifyProfiles takes the ids of profiles that a source with static ids names
// for identifiers: whoever holds one is the profile, whatever the session says,
// and where nobody does a new profile comes to. An event that names nobody is
// refused.
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
		named := e.Profile
		e.Profile, e.bySession = "", false
		switch {
		case !e.identify(kind, named):
			e.fail(fieldProblem(codeInvalid, "profile", fmt.Sprintf("is the %s beside %d other identifiers, which are all that are allowed", kind.Name, maxIDs)))
		case len(e.IDs) == 0 && !e.orNobody:
			e.fail(fieldProblem(codeInvalid, "profile", fmt.Sprintf("an event of source %s has to name its profile; see its static_ids", source.ID)))
		}
	}
}
