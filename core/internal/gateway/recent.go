package gateway

import (
	"hash/maphash"
	"sync"
)

// recent is a bounded map of what was used last. It has two generations: an
// entry of the older one moves up when it is asked for, and the rest of it
// goes when the younger one is full. So an entry is forgotten once it was not
// asked for while as many others came as a generation holds.
type recent[K comparable, V any] struct {
	seed   maphash.Seed
	room   int // entries of one generation of a shard
	shards [recentShards]struct {
		mu         sync.Mutex
		young, old map[K]V
	}
}

const recentShards = 16

// newRecent returns a map that keeps at least entries, and at most twice as many.
func newRecent[K comparable, V any](entries int) *recent[K, V] {
	r := &recent[K, V]{seed: maphash.MakeSeed(), room: max(entries/recentShards, 1)}
	for i := range r.shards {
		r.shards[i].young, r.shards[i].old = map[K]V{}, map[K]V{}
	}
	return r
}

func (r *recent[K, V]) get(key K) (V, bool) {
	s := &r.shards[maphash.Comparable(r.seed, key)%recentShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.young[key]; ok {
		return v, true
	}
	v, ok := s.old[key]
	if ok {
		r.insert(&s.young, &s.old, key, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, v V) {
	s := &r.shards[maphash.Comparable(r.seed, key)%recentShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	r.insert(&s.young, &s.old, key, v)
}

func (r *recent[K, V]) insert(young, old *map[K]V, key K, v V) {
	if len(*young) >= r.room {
		if _, ok := (*young)[key]; !ok {
			*young, *old = *old, *young
			clear(*young)
		}
	}
	(*young)[key] = v
}
