package seen

import (
	"encoding/binary"
	"math/bits"
)

// The filter of a run is a blocked Bloom filter: an id sets one bit in each of the eight words of one block, a cache line.
// The block follows from the id's leading bits, so a sorted run writes its filter from front to end, and needs no memory for it.
// With 12 bits an id about 0.5 % of absent ids pass.
const (
	filterBlock     = 64 // bytes
	filterBitsPerID = 12
)

// halves returns the leading half of id, which orders ids, and the other, which picks the bits in a block.
func halves(id *ID) (prefix, rest uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
}

func filterBlocks(ids int64) int64 {
	return max(1, (ids*filterBitsPerID+8*filterBlock-1)/(8*filterBlock))
}

// share maps prefix, monotonically, to one of n equal shares of the space of ids.
func share(prefix uint64, n int64) int64 {
	share, _ := bits.Mul64(prefix, uint64(n))
	return int64(share)
}

func filterAdd(block []byte, rest uint64) {
	for i := 0; i < filterBlock; i += 8 {
		word := binary.LittleEndian.Uint64(block[i:])
		binary.LittleEndian.PutUint64(block[i:], word|1<<(rest&63))
		rest >>= 6
	}
}

// filterHas reads all eight words without branching between them.
func filterHas(block []byte, rest uint64) bool {
	b := block[:filterBlock:filterBlock]
	all := binary.LittleEndian.Uint64(b[0:]) >> (rest & 63)
	all &= binary.LittleEndian.Uint64(b[8:]) >> (rest >> 6 & 63)
	all &= binary.LittleEndian.Uint64(b[16:]) >> (rest >> 12 & 63)
	all &= binary.LittleEndian.Uint64(b[24:]) >> (rest >> 18 & 63)
	all &= binary.LittleEndian.Uint64(b[32:]) >> (rest >> 24 & 63)
	all &= binary.LittleEndian.Uint64(b[40:]) >> (rest >> 30 & 63)
	all &= binary.LittleEndian.Uint64(b[48:]) >> (rest >> 36 & 63)
	all &= binary.LittleEndian.Uint64(b[56:]) >> (rest >> 42 & 63)
	return all&1 != 0
}
