package processor

import (
	"fmt"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A holding is a key of the identities bucket as a node knows it. Only
// processors write the bucket, by create or compare-and-set, so a stale one is
// found out when it is written.
type holding struct {
	record.Identity
	revision uint64 // of the key, 0: nobody holds it
	renewed  time.Time
}

// holdings are what a node knows of the identities bucket, for all partitions.
// Where the node is the only one, every write passes through here, so that what
// it has is as good as what the bucket says.
type holdings struct {
	mu    sync.Mutex
	known *cache[holding]
	// forgot counts how often something was let go of: what was read before
	// may be older than what was known and is not any more.
	forgot int
}

// identityBudget bounds how many identities a node keeps.
const identityBudget = 48 << 10

func newHoldings() *holdings {
	return &holdings{known: newCache(identityBudget, func(holding) int { return 1 })}
}

func (h *holdings) get(key bus.IdentityKey) (holding, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known.get(string(key))
}

// wrote notes what the node has written.
func (h *holdings) wrote(key bus.IdentityKey, v holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.put(key, v)
}

// put keeps the newer one.
func (h *holdings) put(key bus.IdentityKey, v holding) {
	if old, ok := h.known.get(string(key)); ok && old.revision > v.revision {
		return
	}
	if h.known.put(string(key), v) {
		h.forgot++
	}
}

// before is called before the bucket is read, and its result given to learned.
func (h *holdings) before() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.forgot
}

// learned notes what was read of the bucket, unless it may be older than what
// was forgotten meanwhile.
func (h *holdings) learned(before int, keys []bus.IdentityKey, values []holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, key := range keys {
		if h.forgot != before {
			return
		}
		h.put(key, values[i])
	}
}

func (h *holdings) drop(key bus.IdentityKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known.drop(string(key))
	h.forgot++
}

func (h *holdings) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known.clear()
	h.forgot++
}

// known is what the node knows of a key, unless its time is up.
func (n *Processor) known(key bus.IdentityKey) (holding, bool) {
	h, ok := n.holdings.get(key)
	if ok && h.TTL > 0 && bus.Over(h.Identity, h.renewed, n.now()) {
		return holding{}, false
	}
	return h, ok
}

// holding is who holds a key, as the batch will leave it. Throughout a batch it
// is the same: an event is routed by what its keys are then taken by.
func (b *batch) holding(key bus.IdentityKey) (holding, error) {
	if h, ok := b.held[key]; ok {
		return h, nil
	}
	if h, ok := b.node.known(key); ok {
		b.held[key] = h
		return h, nil
	}
	if err := b.readIdentities([]bus.IdentityKey{key}); err != nil {
		return holding{}, err
	}
	return b.held[key], nil
}

// readIdentities asks the bucket. What it says stands for the batch, and for
// later ones as long as they may rely on it.
func (b *batch) readIdentities(keys []bus.IdentityKey) error {
	if len(keys) == 0 {
		return nil
	}
	before := b.node.holdings.before()
	found, err := b.node.bus.GetIdentities(b.ctx, keys)
	if err != nil {
		return fmt.Errorf("read %d identities: %w", len(keys), err)
	}
	values := make([]holding, len(keys))
	for i, id := range found {
		values[i] = holding{Identity: id.Identity, revision: id.Revision, renewed: id.Written}
		if bus.Over(id.Identity, id.Written, b.node.now()) {
			values[i].Profile = "" // the bucket is about to let go of it
		}
		b.held[keys[i]] = values[i]
	}
	b.node.holdings.learned(before, keys, values)
	return nil
}
