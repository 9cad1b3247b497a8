package seen

import "sync"

// reservations are the ids that somebody is about to record, spread over shards so that claims rarely wait for each other.
type reservations struct {
	shards [64]struct {
		sync.Mutex
		ids map[ID]struct{}
		_   [40]byte // a cache line each
	}
}

// claim reserves id unless it is reserved or has tells that it was recorded. Both questions are asked under the shard's lock:
// whoever records an id does so before it drops the reservation, so one of the two is always seen.
func (r *reservations) claim(id ID, has func(ID) (bool, error)) (bool, error) {
	shard := &r.shards[id[15]%64]
	shard.Lock()
	defer shard.Unlock()
	if _, taken := shard.ids[id]; taken {
		return false, nil
	}
	found, err := has(id)
	if found || err != nil {
		return false, err
	}
	if shard.ids == nil {
		shard.ids = make(map[ID]struct{})
	}
	shard.ids[id] = struct{}{}
	return true, nil
}

func (r *reservations) drop(ids []ID) {
	for _, id := range ids {
		shard := &r.shards[id[15]%64]
		shard.Lock()
		delete(shard.ids, id)
		shard.Unlock()
	}
}
