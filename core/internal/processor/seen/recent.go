package seen

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// table is a fixed-size hash table of ids: one goroutine adds, any number look up without a lock.
//
// ids grows only at its end. A slot holds a position in ids, plus one, and some bits of the hash; it is stored after its id, and loaded before it.
// Nearly every look-up of an absent id ends at one word of hints, a small Bloom filter: a branch on a slot could not be predicted.
type table struct {
	seed  [2]uint64 // keeps ids that were chosen to collide from colliding
	hints []atomic.Uint64
	slots []atomic.Uint32
	ids   []ID
	n     atomic.Int64
}

const (
	positionBits = 20
	positionMask = 1<<positionBits - 1
)

// newTable returns a table for up to capacity ids, fewer than 1<<positionBits.
func newTable(capacity int) *table {
	slots := 1 << bits.Len(uint(2*capacity-1))
	return &table{
		seed:  [2]uint64{rand.Uint64(), rand.Uint64()},
		hints: make([]atomic.Uint64, max(1, slots/8)), // 16 bits an id
		slots: make([]atomic.Uint32, slots),
		ids:   make([]ID, capacity),
	}
}

func (t *table) len() int64 { return t.n.Load() }

func (t *table) room() int { return len(t.ids) - int(t.n.Load()) }

func (t *table) has(id *ID) bool {
	h := t.hash(id)
	word, bits := t.hint(h)
	if word.Load()&bits != bits {
		return false
	}
	_, found := t.find(id, h)
	return found
}

// add adds id; the caller has seen to it that there is room.
func (t *table) add(id *ID) {
	h := t.hash(id)
	slot, found := t.find(id, h)
	if found {
		return
	}
	n := t.n.Load()
	t.ids[n] = *id
	t.slots[slot].Store(uint32(n+1) | tag(h))
	word, bits := t.hint(h)
	word.Or(bits)
	t.n.Store(n + 1)
}

// held returns the ids, in the order in which they were added.
func (t *table) held() []ID { return t.ids[:t.n.Load()] }

// reset empties the table. Nobody may be looking.
func (t *table) reset() {
	clear(t.hints)
	clear(t.slots)
	t.n.Store(0)
}

// find returns the slot of id, whose hash is h, or the empty one where it would go.
func (t *table) find(id *ID, h uint64) (slot uint64, found bool) {
	tag, mask := tag(h), uint64(len(t.slots)-1)
	for slot = h & mask; ; slot = (slot + 1) & mask {
		v := t.slots[slot].Load()
		if v == 0 {
			return slot, false
		}
		if v&^positionMask == tag && t.ids[v&positionMask-1] == *id {
			return slot, true
		}
	}
}

func (t *table) hash(id *ID) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^t.seed[0], binary.LittleEndian.Uint64(id[8:])^t.seed[1])
	return hi ^ lo
}

func tag(hash uint64) uint32 { return uint32(hash>>32) &^ positionMask }

// hint returns the word of hints for a hash, and the four bits of it that the id sets.
func (t *table) hint(h uint64) (word *atomic.Uint64, bits uint64) {
	word = &t.hints[h>>3&uint64(len(t.hints)-1)]
	return word, 1<<(h>>40&63) | 1<<(h>>46&63) | 1<<(h>>52&63) | 1<<(h>>58&63)
}
