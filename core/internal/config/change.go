package config

import (
	"fmt"
	"maps"
)

// A Change creates or replaces a resource, or deletes the one of its kind and id.
type Change struct {
	Resource Resource // of a deletion, Kind and ID
	Delete   bool
}

// An Action is what a change did.
type Action string

// The actions.
const (
	Created   Action = "created"
	Changed   Action = "changed"
	Unchanged Action = "unchanged"
	Deleted   Action = "deleted"
)

// A Difference says what one change did to a set.
type Difference struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Action Action `json:"action"`
}

// Puts makes changes that create or replace resources.
func Puts(resources []Resource) []Change {
	changes := make([]Change, len(resources))
	for i, r := range resources {
		changes[i] = Change{Resource: r}
	}
	return changes
}

// Apply makes the set after all of the changes, and says what each of them
// did; s stays as it is. Where nothing differs it returns s itself. A deletion
// of what is not there changes nothing. The error is [Problems], all of them.
func (s *Set) Apply(changes []Change) (*Set, []Difference, error) {
	var problems Problems
	next := maps.Clone(s.byKey)
	seen := make(map[key]Origin, len(changes))
	differences := make([]Difference, 0, len(changes))
	differ := false
	for _, change := range changes {
		r := change.Resource
		if !change.Delete {
			var err error
			if r, err = r.Validate(); err != nil {
				problems = append(problems, problemsOf(err)...)
				continue
			}
		}
		k := r.key()
		if first, ok := seen[k]; ok {
			problems = append(problems, twice(r, first))
			continue
		}
		seen[k] = r.Origin
		old, exists := next[k]
		action := Unchanged
		switch {
		case change.Delete && exists:
			action = Deleted
			delete(next, k)
		case change.Delete:
		case !exists:
			action = Created
		case !old.same(r):
			action = Changed
		}
		if action == Created || action == Changed {
			r.Revision = s.revision + 1
			next[k] = r
		}
		differ = differ || action != Unchanged
		differences = append(differences, Difference{r.Kind, r.ID, action})
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	if !differ {
		return s, differences, nil
	}
	set, err := assemble(s.revision+1, next, s, s.kept)
	if err != nil {
		return nil, nil, err
	}
	return set, differences, nil
}

// Defaults are the resources of a fresh data directory. One that listens on
// loopback alone has a source to try things with.
func Defaults(loopback bool) []Resource {
	if !loopback {
		return nil
	}
	dev, err := New(KindSource, "dev", []byte(`{"keys":["dev"],"name":"Development","trusted":true}`))
	if err != nil {
		panic(fmt.Sprintf("default source: %v", err))
	}
	return []Resource{dev}
}
