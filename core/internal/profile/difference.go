package profile

import (
	"reflect"
	"slices"

	"github.com/tributary-bus/tributary/sdk"
)

// A Snapshot is what stood in a profile's sections, its segments and its identities at
// some time.
type Snapshot struct {
	sections   map[string]map[string]any
	identities map[string][]string
}

// Remember takes a snapshot of a profile.
func Remember(p *sdk.Profile) Snapshot {
	s := Snapshot{sections: map[string]map[string]any{}, identities: map[string][]string{}}
	for _, name := range compared() {
		section, _ := p.Section(name)
		s.sections[name], _ = sdk.Clone(section).(map[string]any)
	}
	for kind, values := range p.Identities {
		s.identities[kind] = slices.Clone(values)
	}
	return s
}

// Changes tells what has another value since, by path: the value that it has, nil
// where there is none any more.
func (s Snapshot) Changes(p *sdk.Profile) map[string]any {
	changes := map[string]any{}
	for _, name := range compared() {
		section, _ := p.Section(name)
		compare(sdk.Path{name}, s.sections[name], section, changes)
	}
	for kind, values := range p.Identities {
		if !slices.Equal(values, s.identities[kind]) {
			changes[sdk.Path{"identities", kind}.String()] = values
		}
	}
	for kind := range s.identities {
		if _, there := p.Identities[kind]; !there {
			changes[sdk.Path{"identities", kind}.String()] = nil
		}
	}
	return changes
}

func compared() []string { return append(slices.Clip(sections), "segments") }

func compare(at sdk.Path, before, after, changes map[string]any) {
	for name := range before {
		if _, there := after[name]; !there {
			changes[append(at[:len(at):len(at)], name).String()] = nil
		}
	}
	for name, v := range after {
		path := append(at[:len(at):len(at)], name)
		old, had := before[name]
		x, wasObject := old.(map[string]any)
		y, isObject := v.(map[string]any)
		switch {
		case wasObject && isObject && len(y) > 0:
			compare(path, x, y, changes)
		case !had || !reflect.DeepEqual(old, v):
			changes[path.String()] = v
		}
	}
}
