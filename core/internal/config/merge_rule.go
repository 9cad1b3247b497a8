package config

import (
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk"
)

// A MergeRule says which value a field has when two profiles become one.
type MergeRule struct {
	ID string
	// Path is the field's, or with ".*" at the end that of all below it.
	Path     string
	Strategy profile.Strategy
}

var mergeStrategies = []string{
	string(profile.Last), string(profile.First), string(profile.Min), string(profile.Max), string(profile.Sum), string(profile.Union),
}

// mergeTargets are the sections of a profile whose merging can be chosen. Of two
// choices about a consent the later one counts, whatever else is wanted.
var mergeTargets = []string{"traits", "data", "counters", "interests"}

func compileMergeRule(f *form, id string) any {
	r := &MergeRule{ID: id, Strategy: profile.Strategy(f.choice("strategy", "strategy", mergeStrategies))}
	if f.get("strategy") == nil {
		f.fail(f.node, f.at("strategy"), "missing; want one of %s", strings.Join(mergeStrategies, ", "))
	}
	text := f.wantText("path")
	if text == "" {
		return r
	}
	field, below := strings.CutSuffix(text, ".*")
	path, err := sdk.ParsePath(field)
	switch {
	case err == nil && slices.Contains(path, "*"):
		f.fail(f.get("path"), f.at("path"), "a * stands for all fields below a place, at the end alone, such as traits.address.*")
	case err != nil:
		f.fail(f.get("path"), f.at("path"), "%v", err)
		return r
	case !contains(mergeTargets, path[0]):
		f.fail(f.get("path"), f.at("path"), "%q is merged by a fixed rule; want a path that begins with one of %s", path[0], strings.Join(mergeTargets, ", "))
	case len(path) == 1 && !below:
		f.fail(f.get("path"), f.at("path"), "names the whole of %s; want a field in it, such as %s.name, or %s.* for all of them", path[0], path[0], path[0])
	}
	if r.Path = path.String(); below {
		r.Path += ".*"
	}
	return r
}

// checkMergeRule reports two rules of one field.
func checkMergeRule(c *checker, compiled any, s *Set) {
	r := compiled.(*MergeRule)
	if other := s.mergeRules[r.Path]; other != nil && other.ID != r.ID {
		c.fail(nil, "spec.path", "is that of merge-rule/%s too; a field has one", other.ID)
	}
}
