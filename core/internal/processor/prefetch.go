package processor

import (
	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// readers is how many keys a batch reads at once ahead of its fold.
const readers = 16

// prefetch reads, side by side, the profiles and identities that the items
// will ask for and that are not in memory. It is there for speed alone: what it
// could not read the fold reads itself, and reports.
func (b *batch) prefetch(items []item) {
	profiles, keys := map[string]struct{}{}, map[bus.IdentityKey]struct{}{}
	for i := range items {
		c := &items[i].Command
		if c.Kind != record.KindEvent || c.Profile == "" {
			continue
		}
		if _, ok := b.documents.get(c.Profile); !ok {
			profiles[c.Profile] = struct{}{}
		}
		for _, id := range c.Event.IDs {
			if key := b.node.bus.IdentityKey(id.Kind, id.Value); !b.knows(key) {
				keys[key] = struct{}{}
			}
		}
		if c.Event.Session != "" {
			if key := b.node.bus.IdentityKey(record.KindSessionID, c.Event.Session); !b.knows(key) {
				keys[key] = struct{}{}
			}
		}
	}
	if len(profiles)+len(keys) < 2 {
		return
	}
	var group errgroup.Group
	group.SetLimit(readers)
	profileResults := make(chan profileRead, len(profiles))
	for profile := range profiles {
		group.Go(func() error {
			if e, err := b.node.readDocument(b.ctx, profile); err == nil {
				profileResults <- profileRead{profile, e}
			}
			return nil
		})
	}
	keyResults := make(chan keyRead, len(keys))
	for key := range keys {
		group.Go(func() error {
			if h, err := b.node.readIdentity(b.ctx, key); err == nil {
				keyResults <- keyRead{key, h}
			}
			return nil
		})
	}
	_ = group.Wait() // the functions above return no errors
	close(profileResults)
	close(keyResults)
	for r := range profileResults {
		b.documents.put(r.profile, r.entry)
	}
	for r := range keyResults {
		b.identities.put(string(r.key), r.holding)
	}
}

type profileRead struct {
	profile string
	entry   *entry
}

type keyRead struct {
	key     bus.IdentityKey
	holding holding
}

func (b *batch) knows(key bus.IdentityKey) bool {
	_, ok := b.identities.get(string(key))
	return ok
}
