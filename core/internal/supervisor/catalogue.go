package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/sdk/control"
)

// A Catalogue is what the registered plugins offer. A plugin's actions stay in
// it while its process is away: flows that name them are none the worse.
type Catalogue struct {
	mu      sync.RWMutex
	actions map[string]config.ActionSpec
	of      map[string][]string // ids, by plugin
}

// CatalogueOf is a catalogue of plugins that are not run, by what they say of
// themselves.
func CatalogueOf(manifests ...*control.Manifest) (*Catalogue, error) {
	c := newCatalogue()
	for _, m := range manifests {
		specs, err := actionsOf(m)
		if err != nil {
			return nil, fmt.Errorf("plugin %s: %w", m.GetName(), err)
		}
		c.put(m.GetName(), specs)
	}
	return c, nil
}

var _ config.Actions = (*Catalogue)(nil)

func newCatalogue() *Catalogue {
	return &Catalogue{actions: map[string]config.ActionSpec{}, of: map[string][]string{}}
}

// Action implements config.Actions.
func (c *Catalogue) Action(id string) (config.ActionSpec, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	spec, ok := c.actions[id]
	return spec, ok
}

// ActionIDs implements config.Actions.
func (c *Catalogue) ActionIDs() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.actions))
}

// put replaces what a plugin offers.
func (c *Catalogue) put(plugin string, specs []config.ActionSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.of[plugin] {
		delete(c.actions, id)
	}
	ids := make([]string, len(specs))
	for i, spec := range specs {
		ids[i] = spec.ID
		c.actions[spec.ID] = spec
	}
	c.of[plugin] = ids
}
