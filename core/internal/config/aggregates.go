package config

import (
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Kept are the windows and sums that profiles keep by this set: those that its
// conditions read, each with the revision from which on it has been kept without
// interruption. So every node, at every start, knows the same of them.
func (s *Set) Kept() *profile.Aggregates { return s.kept }

// KeptFor lists those of them that a resource's conditions and templates read.
func (s *Set) KeptFor(kind, id string) []profile.Aggregate {
	r, ok := s.byKey[key{kind, id}]
	if !ok {
		return nil
	}
	var list []profile.Aggregate
	for _, a := range aggregatesOf(r.compiled) {
		if one, keeps := profile.KeptOf(a); keeps {
			one.Since = s.kept.Since(one)
			list = append(list, one)
		}
	}
	return list
}

// keep says from when on the aggregates are kept: those that are known already, as
// before, others from this revision on.
func keep(revision uint64, read []condition.Aggregate, known *profile.Aggregates) *profile.Aggregates {
	list := make([]profile.Aggregate, 0, len(read))
	for _, a := range read {
		one, _ := profile.KeptOf(a)
		if one.Since = known.Since(one); one.Since == 0 {
			one.Since = revision
		}
		list = append(list, one)
	}
	return profile.NewAggregates(revision, list)
}
