package config

import (
	"cmp"
	"embed"
	"fmt"
	"path"
	"slices"
	"sync"
)

// The catalogue is the event types that every set has, whatever was applied:
// what the field calls the things that happen, and what they mean to a profile.
// It refuses no event. A resource of the same id replaces one of them whole, and
// when it is deleted, the built-in one is back.

//go:embed catalogue/*.yaml
var catalogueFiles embed.FS

// A BuiltIn is an event type of the catalogue.
type BuiltIn struct {
	Group    string // what it is about, such as ecommerce
	Resource Resource
	Type     *EventType
}

// builtInTypes are the built-in event types, by group and in the order of their
// files, and by id.
type builtInTypes struct {
	list  []*BuiltIn
	types map[string]*BuiltIn
}

// groups are the files of the catalogue, in the order in which people read them.
var groups = []string{
	"traffic", "ecommerce", "dispatch", "finance", "identity", "messaging", "marketing", "loyalty", "preferences", "satisfaction", "system",
}

// builtIn is read once, when it is first asked for: nothing but the core does.
var builtIn = sync.OnceValue(readCatalogue)

func readCatalogue() *builtInTypes {
	c := &builtInTypes{types: map[string]*BuiltIn{}}
	for _, group := range groups {
		name := path.Join("catalogue", group+".yaml")
		text, err := catalogueFiles.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("catalogue of event types: %v", err))
		}
		resources, err := Parse(name, text)
		if err != nil {
			panic(fmt.Sprintf("catalogue of event types: %v", err))
		}
		for _, r := range resources {
			r.written, r.Origin = nil, Origin{}
			t, ok := r.compiled.(*EventType)
			if !ok || c.types[r.ID] != nil {
				panic(fmt.Sprintf("catalogue of event types: %s: %s/%s is no event type, or is there twice", name, r.Kind, r.ID))
			}
			b := &BuiltIn{group, r, t}
			c.list = append(c.list, b)
			c.types[r.ID] = b
		}
	}
	return c
}

// Catalogue lists the built-in event types, those that are replaced too: by
// group, and within one as people read them.
func Catalogue() []*BuiltIn { return builtIn().list }

// BuiltIns lists what is built in of a kind and not replaced by a resource of
// this set, by id. The revision of each is 0.
func (s *Set) BuiltIns(kind string) []Resource {
	if kind != KindEventType {
		return nil
	}
	var list []Resource
	for _, b := range Catalogue() {
		if _, replaced := s.eventTypes[b.Resource.ID]; !replaced {
			list = append(list, b.Resource)
		}
	}
	slices.SortFunc(list, func(a, b Resource) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// BuiltIn returns what is built in by its kind and id, unless a resource of this
// set replaces it.
func (s *Set) BuiltIn(kind, id string) (Resource, bool) {
	b := builtIn().types[id]
	if kind != KindEventType || b == nil || s.eventTypes[id] != nil {
		return Resource{}, false
	}
	return b.Resource, true
}
