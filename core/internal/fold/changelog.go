package fold

import (
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// Who changed what of a profile is told by EVENTS: an event carries what it changed.
// What a patch or a merge changes has no event of its own, and is sent by itself.

// logChange sends what the command changed, by path, with the values as they are now.
func (f *Fold) logChange(by record.Author, changes map[string]any) {
	if len(changes) == 0 {
		return
	}
	entry := record.Entry(f.Doc.Profile, f.Command.Received, by, changes)
	data := entry.AppendJSON(append(make([]byte, 0, 256+len(entry.Changes)), `{"change":`...))
	f.tellBeside(append(data, '}'))
}

// valuesAt is what stands at places of the profile, null where nothing does.
func (f *Fold) valuesAt(places []sdk.Path) map[string]any {
	values := make(map[string]any, len(places))
	for _, path := range places {
		if path[0] == "identities" {
			values[path.String()] = nil
			if ids := f.Doc.Profile.Identities[path[1]]; len(ids) > 0 {
				values[path.String()] = ids
			}
			continue
		}
		section, _ := f.Doc.Profile.Section(path[0])
		values[path.String()], _ = path[1:].Get(section)
	}
	return values
}

// mergeWith is who changes a profile that becomes one with another.
func mergeWith(other string) record.Author { return record.Author{Kind: record.ByMerge, ID: other} }
