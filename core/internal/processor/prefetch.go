package processor

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// prefetch reads the profiles and identities that the items will ask for and
// that are not in memory, all in one question each.
func (b *batch) prefetch(items []item) error {
	profiles, keys := map[string]struct{}{}, map[bus.IdentityKey]struct{}{}
	for i := range items {
		profile := items[i].Profile
		if profile == "" {
			continue
		}
		if _, ok := b.documents.get(profile); !ok {
			profiles[profile] = struct{}{}
		}
		for j, key := range items[i].keys {
			if !b.node.sole && record.Moves(items[i].claims[j].Kind) {
				// Another node may have moved it since.
				keys[key] = struct{}{}
				continue
			}
			if _, ok := b.node.known(key); !ok {
				keys[key] = struct{}{}
			}
		}
	}
	if err := b.readProfiles(names(profiles)); err != nil {
		return err
	}
	return b.readIdentities(names(keys))
}

func (b *batch) readProfiles(profiles []string) error {
	if len(profiles) == 0 {
		return nil
	}
	found, err := b.node.bus.GetDocuments(b.ctx, profiles)
	if err != nil {
		return fmt.Errorf("read %d profiles: %w", len(profiles), err)
	}
	for i, d := range found {
		e := &entry{revision: d.Seq, size: len(d.Data)}
		if d.Seq > 0 && !d.Deleted {
			if e.doc, err = record.ParseDocument(d.Data); err != nil {
				return fmt.Errorf("read profile %s: %w", profiles[i], err)
			}
		}
		b.documents.put(profiles[i], e)
	}
	return nil
}

func names[K comparable](set map[K]struct{}) []K {
	list := make([]K, 0, len(set))
	for name := range set {
		list = append(list, name)
	}
	return list
}
