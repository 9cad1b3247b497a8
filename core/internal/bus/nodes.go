package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// bucketNodes holds a key for each core node that is alive.
	bucketNodes = "nodes"
	// NodeTTL is how long a node counts as alive after it last said so.
	NodeTTL = 6 * time.Second
)

// A Membership says that this node is alive and which others are. It spreads
// work, and is no lock: who was thought dead may wake.
type Membership struct {
	b    *Bus
	node string
	kv   jetstream.KeyValue // nil: to be opened
}

// Membership is that of this bus's nodes. The node is a member from the first
// Renew on.
func (b *Bus) Membership() *Membership { return &Membership{b: b, node: encodeToken(b.node)} }

// Renew says that this node is alive, and returns the members in order. The
// bucket is in memory, so a server that was restarted has lost it; it is made
// anew.
func (m *Membership) Renew(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, NodeTTL/3)
	defer cancel()
	if m.kv == nil {
		kv, err := m.b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucketNodes, TTL: NodeTTL, History: 1, Storage: jetstream.MemoryStorage,
			Replicas: m.b.options.Replicas, MaxBytes: 1 << 20,
		})
		if err != nil {
			return nil, fmt.Errorf("open the bucket of nodes: %w", err)
		}
		m.kv = kv
	}
	if _, err := m.kv.Put(ctx, m.node, nil); err != nil {
		m.kv = nil
		return nil, fmt.Errorf("say that this node is alive: %w", err)
	}
	keys, err := m.kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, fmt.Errorf("list the nodes that are alive: %w", err)
	}
	slices.Sort(keys)
	return keys, nil
}

// Node is this node's name among the members.
func (m *Membership) Node() string { return m.node }

// Leave says that this node is going, so that others need not wait for it.
func (m *Membership) Leave(ctx context.Context) error {
	if m.kv == nil {
		return nil
	}
	if err := m.kv.Delete(ctx, m.node); err != nil {
		return fmt.Errorf("say that this node is going: %w", err)
	}
	return nil
}
