package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Set is all resources of one revision, compiled. It never changes and is
// safe for concurrent use; what it returns is shared and must not be changed.
type Set struct {
	revision  uint64
	byKey     map[key]Resource
	resources []Resource

	sources         map[string]*Source
	writeKeys       map[string]*Source
	eventTypes      map[string]*EventType
	identifications []*Identification
	kinds           map[string]IdentifierKind
	imports         map[string]*Import
	redirects       map[string]*Redirect
	flows           map[string]*Flow
	flowList        []*Flow
	flowsOf         map[string][]*Flow // enabled ones, by the type that they run for
	aggregates      []condition.Aggregate
	kept            *profile.Aggregates
	limited         []IdentifierKind
	mergeRules      map[string]*MergeRule // by path
	strategies      profile.Strategies
	consentTypes    map[string]*ConsentType
	compliances     []*Compliance // enabled ones
	before          *Set          // while this one is assembled: that which it comes after; nil: none
}

// maxSet bounds the specs of a set, which travel in one message.
const maxSet = 6 << 20

// NewSet compiles resources and checks how they fit together. Resources
// without a revision get that of the set; what it has profiles keep, they keep from
// its revision on. The error is [Problems], all of them.
func NewSet(revision uint64, resources []Resource) (*Set, error) {
	return Restore(revision, resources, nil)
}

// Restore is [NewSet] for a set that was there before; since says from which
// revision on profiles keep the aggregates of which that is known.
func Restore(revision uint64, resources []Resource, since []profile.Aggregate) (*Set, error) {
	var problems Problems
	byKey := make(map[key]Resource, len(resources))
	for _, r := range resources {
		v, err := r.Validate()
		if err != nil {
			problems = append(problems, problemsOf(err)...)
			continue
		}
		if first, ok := byKey[v.key()]; ok {
			problems = append(problems, twice(v, first.Origin))
			continue
		}
		if v.Revision == 0 {
			v.Revision = revision
		}
		byKey[v.key()] = v
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return assemble(revision, byKey, nil, profile.NewAggregates(revision, since))
}

// Revision is what the set is known by. It grows by one with each change.
func (s *Set) Revision() uint64 { return s.revision }

// Resources lists all resources by kind and id.
func (s *Set) Resources() []Resource { return s.resources }

// Get returns a resource.
func (s *Set) Get(kind, id string) (Resource, bool) {
	r, ok := s.byKey[key{kind, id}]
	return r, ok
}

// Source returns a source by its id, disabled ones too.
func (s *Set) Source(id string) (*Source, bool) {
	source, ok := s.sources[id]
	return source, ok
}

// SourceByKey returns the source, disabled or not, that a write key belongs
// to. What follows a colon in the key does not count.
func (s *Set) SourceByKey(writeKey string) (*Source, bool) {
	writeKey, _, _ = strings.Cut(writeKey, ":")
	source, ok := s.writeKeys[writeKey]
	return source, ok
}

// EventType returns the rules of a type: those of its resource, or else those
// that are built in; nil where it has none.
func (s *Set) EventType(id string) *EventType {
	if t, ok := s.eventTypes[id]; ok {
		return t
	}
	if b, ok := builtIn().types[id]; ok {
		return b.Type
	}
	return nil
}

// EventTypes lists the types that resources give rules, sorted.
func (s *Set) EventTypes() []string { return slices.Sorted(maps.Keys(s.eventTypes)) }

// Identifications lists what identifies a person, the strongest first: by
// priority, then by id.
func (s *Set) Identifications() []*Identification { return s.identifications }

// Kind returns a kind of identifier that events may name in ids; false for an
// unknown one. The session, which identifies too, is not named there.
func (s *Set) Kind(name string) (IdentifierKind, bool) {
	k, ok := s.kinds[name]
	return k, ok
}

// LimitedKinds lists the kinds of identifier of which a profile may have only so
// many, by name.
func (s *Set) LimitedKinds() []IdentifierKind { return s.limited }

// Strategies say which value fields have when two profiles become one.
func (s *Set) Strategies() profile.Strategies { return s.strategies }

// Import returns an import mapping.
func (s *Set) Import(id string) (*Import, bool) {
	i, ok := s.imports[id]
	return i, ok
}

// Redirect returns a redirect.
func (s *Set) Redirect(id string) (*Redirect, bool) {
	r, ok := s.redirects[id]
	return r, ok
}

// Flow returns a flow by its id, disabled ones too.
func (s *Set) Flow(id string) (*Flow, bool) {
	flow, ok := s.flows[id]
	return flow, ok
}

// Flows lists all flows by id, disabled ones too.
func (s *Set) Flows() []*Flow { return s.flowList }

// FlowsOf lists the flows, but for disabled ones, that run for events of a
// type, by id.
func (s *Set) FlowsOf(eventType string) []*Flow { return s.flowsOf[eventType] }

// NamedTypes lists the types of event that resources name, sorted: those that
// have rules, those that flows run for and those of which fields are taken out.
func (s *Set) NamedTypes() []string {
	types := s.EventTypes()
	for _, flow := range s.flowList {
		types = append(types, flow.Trigger.Event)
	}
	for _, r := range s.compliances {
		if r.Event != AnyEvent {
			types = append(types, r.Event)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// Aggregates lists the windowed counts and the sums that stored conditions
// read, those of disabled flows too: each once, in an order that depends on
// nothing else. Lifetime counts are kept anyway.
func (s *Set) Aggregates() []condition.Aggregate { return s.aggregates }

// assemble builds the indices over validated resources. Before is the set that
// they come after; nil: none. Known are the aggregates that profiles keep already.
func assemble(revision uint64, byKey map[key]Resource, before *Set, known *profile.Aggregates) (*Set, error) {
	builtIn() // what no resource has to bring is there before anything works by the set
	s := &Set{
		revision: revision, byKey: byKey, before: before,
		sources: map[string]*Source{}, writeKeys: map[string]*Source{}, eventTypes: map[string]*EventType{},
		kinds: map[string]IdentifierKind{}, imports: map[string]*Import{}, redirects: map[string]*Redirect{},
		mergeRules: map[string]*MergeRule{}, strategies: profile.Strategies{},
		consentTypes: map[string]*ConsentType{},
		flows:        map[string]*Flow{}, flowsOf: map[string][]*Flow{},
	}
	for _, k := range builtInKinds {
		s.kinds[k.Name] = k
	}
	size := 0
	for _, r := range byKey {
		size += len(r.Spec)
		s.resources = append(s.resources, r)
	}
	slices.SortFunc(s.resources, func(a, b Resource) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	var problems Problems
	if size > maxSet {
		problems = append(problems, &Problem{Message: fmt.Sprintf(
			"all resources together have %d bytes of JSON; at most %d are allowed", size, maxSet)})
	}
	seen := map[condition.Aggregate]bool{}
	for _, r := range s.resources {
		c := s.checker(r)
		s.index(c, r)
		for _, a := range aggregatesOf(r.compiled) {
			if _, keeps := profile.KeptOf(a); keeps && !seen[a] {
				seen[a] = true
				s.aggregates = append(s.aggregates, a)
			}
		}
		problems = append(problems, c.problems...)
	}
	for _, r := range s.resources {
		c := s.checker(r)
		if check := kinds[r.Kind].check; check != nil {
			check(c, r.compiled, s)
		}
		problems = append(problems, c.problems...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	slices.SortFunc(s.identifications, func(a, b *Identification) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.ID, b.ID))
	})
	slices.SortFunc(s.aggregates, compareAggregates)
	s.kept = keep(revision, s.aggregates, known)
	for _, name := range s.kindNames() {
		if k := s.kinds[name]; k.Limit > 0 {
			s.limited = append(s.limited, k)
		}
	}
	s.before = nil
	return s, nil
}

// checker starts a list of problems with r. Only of what is new to this set is
// the origin told: the file of an older resource may be gone.
func (s *Set) checker(r Resource) *checker {
	c := &checker{kind: r.Kind, id: r.ID}
	if r.Revision == s.revision {
		c.origin = r.Origin
	}
	return c
}

// index files a resource under what it is looked up by.
func (s *Set) index(c *checker, r Resource) {
	switch v := r.compiled.(type) {
	case *Source:
		s.sources[v.ID] = v
		for i, k := range v.Keys {
			if other, ok := s.writeKeys[k]; ok {
				// The key may be a secret: it is not repeated.
				c.fail(nil, fmt.Sprintf("spec.keys[%d]", i), "is a write key of source %s too; a key belongs to one source", other.ID)
				continue
			}
			s.writeKeys[k] = v
		}
	case *EventType:
		s.eventTypes[v.ID] = v
	case *Identification:
		s.identifications = append(s.identifications, v)
		s.kinds[v.ID] = IdentifierKind{Name: v.ID, Limit: v.Limit, Normalise: v.Normalise, Blocked: v.Blocked}
	case *Import:
		s.imports[v.ID] = v
	case *Redirect:
		s.redirects[v.ID] = v
	case *MergeRule:
		if s.mergeRules[v.Path] == nil {
			s.mergeRules[v.Path] = v
		}
		s.strategies[v.Path] = v.Strategy
	case *ConsentType:
		s.consentTypes[v.ID] = v
	case *Compliance:
		if !v.Disabled {
			s.compliances = append(s.compliances, v)
		}
	case *Flow:
		s.flows[v.ID] = v
		s.flowList = append(s.flowList, v)
		if !v.Disabled {
			s.flowsOf[v.Trigger.Event] = append(s.flowsOf[v.Trigger.Event], v)
		}
	}
}

// aggregatesOf lists what a resource's conditions and templates read of a
// profile's past events; one may be there several times.
func aggregatesOf(compiled any) []condition.Aggregate {
	switch v := compiled.(type) {
	case *EventType:
		return v.aggregates()
	case *Compliance:
		if v.When != nil {
			return v.When.Aggregates()
		}
	case *Flow:
		return v.aggregates()
	}
	return nil
}

func compareAggregates(a, b condition.Aggregate) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), cmp.Compare(a.Window, b.Window),
		strings.Compare(a.Property, b.Property), cmp.Compare(a.Func, b.Func))
}

func (s *Set) kindNames() []string { return slices.Sorted(maps.Keys(s.kinds)) }

// deleted reports a resource that the set before had and this one has not, and
// that the checker's still needs. It is false where there was none.
func (s *Set) deleted(c *checker, kind, id string) bool {
	if s.before == nil {
		return false
	}
	if _, was := s.before.Get(kind, id); !was {
		return false
	}
	c.problems = append(c.problems, &Problem{
		Kind: kind, ID: id, Message: fmt.Sprintf("is still needed by %s/%s: delete that first", c.kind, c.id),
	})
	return true
}

// wantSource reports a source that is not in the set.
func (s *Set) wantSource(c *checker, path, id string) {
	if _, ok := s.sources[id]; !ok && !s.deleted(c, KindSource, id) {
		known := slices.Sorted(maps.Keys(s.sources))
		switch {
		case id == "":
		case len(known) == 0:
			c.fail(nil, path, "there is no source %q, nor any other; apply it first, or in the same call", id)
		default:
			c.fail(nil, path, "there is no source %q; %s", id, Meant(id, known))
		}
	}
}
