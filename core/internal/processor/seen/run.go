package seen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
)

// run is an immutable sorted file of ids. It covers the journals with sequence numbers lo to hi.
//
// Its parts, each beginning at a multiple of a page: a header, the filter, the index (the first id of each block), the blocks.
// Header, filter and index are mapped into memory; a look-up that passes the filter reads one block.
// A block is a page of 255 ids, the count of those in use, and a CRC-32C.
type run struct {
	header
	lo, hi uint64
	file   *os.File
	mapped []byte
	filter []byte // part of mapped
	index  []byte // part of mapped
	bad    atomic.Bool
}

const (
	page        = 4096
	blockIDs    = 255
	blockCount  = page - 16 // where a block keeps the count of its ids
	blockSum    = page - 4  // and its checksum
	headerMagic = "seenrun1"
	headerSize  = 68
)

// header says where a run's parts are. The filter begins at the second page.
type header struct {
	count     int64 // ids
	filterLen int64 // blocks of the filter
	indexAt   int64 // bytes from the start of the file, as is blocksAt
	blocksAt  int64
	blocks    int64
	filterSum uint32
	indexSum  uint32
}

// openRun opens the run at path, after verifying header, filter and index. An error that is not ErrDamaged says nothing about the file's content.
func openRun(path string, lo, hi uint64) (*run, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &run{lo: lo, hi: hi, file: file}
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), file.Close())
	}
	return r, nil
}

func (r *run) load() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	first := make([]byte, page)
	if _, err := r.file.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if r.header, err = parseHeader(first, info.Size()); err != nil {
		return err
	}
	if err := r.verify("filter", page, r.filterLen*filterBlock, r.filterSum); err != nil {
		return err
	}
	if err := r.verify("index", r.indexAt, r.blocks*16, r.indexSum); err != nil {
		return err
	}
	r.mapped, err = syscall.Mmap(int(r.file.Fd()), 0, int(r.blocksAt), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map into memory: %w", err)
	}
	r.filter = r.mapped[page:][:r.filterLen*filterBlock]
	r.index = r.mapped[r.indexAt:][:r.blocks*16]
	return nil
}

func (r *run) verify(part string, at, size int64, want uint32) error {
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(r.file, at, size)); err != nil {
		return err
	}
	if sum.Sum32() != want {
		return fmt.Errorf("%w: checksum of the %s", ErrDamaged, part)
	}
	return nil
}

func (r *run) close() error {
	return errors.Join(syscall.Munmap(r.mapped), r.file.Close())
}

// mayHave asks the filter. False is certain.
func (r *run) mayHave(prefix, rest uint64) bool {
	return filterHas(r.filter[share(prefix, r.filterLen)*filterBlock:], rest)
}

var pages = sync.Pool{New: func() any { return new([page]byte) }}

// has tells whether the run holds id, whose leading half is prefix.
func (r *run) has(id *ID, prefix uint64) (bool, error) {
	n := r.blockOf(id, prefix)
	if n < 0 {
		return false, nil
	}
	block := pages.Get().(*[page]byte)
	defer pages.Put(block)
	if _, err := r.file.ReadAt(block[:], r.blocksAt+n*page); err != nil {
		return false, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	ids, err := openBlock(block[:])
	if err != nil {
		return false, fmt.Errorf("%w: block %d of %s", err, n, r.file.Name())
	}
	at := sort.Search(len(ids)/16, func(i int) bool { return bytes.Compare(ids[16*i:16*i+16], id[:]) >= 0 })
	return 16*at < len(ids) && ID(ids[16*at:]) == *id, nil
}

// blockOf returns the last block whose first id is not above id, or -1. Ids are spread evenly, so it looks near where id should be,
// and searches ever further off until it has id between two blocks.
func (r *run) blockOf(id *ID, prefix uint64) int64 {
	above := func(n int64) bool { return bytes.Compare(r.index[16*n:16*n+16], id[:]) > 0 }
	low := share(prefix, r.blocks) // becomes a block that is not above id, or -1
	high := low                    // becomes one that is, or blocks
	for step := int64(1); low >= 0 && above(low); step *= 2 {
		high = low
		low = max(low-step, -1)
	}
	if high == low {
		high++
		for step := int64(1); high < r.blocks && !above(high); step *= 2 {
			low = high
			high = min(high+step, r.blocks)
		}
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; above(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// openBlock returns the ids of a block, one after the other.
func openBlock(block []byte) ([]byte, error) {
	count := binary.LittleEndian.Uint32(block[blockCount:])
	if count > blockIDs || binary.LittleEndian.Uint32(block[blockSum:]) != crc32.Checksum(block[:blockSum], castagnoli) {
		return nil, ErrDamaged
	}
	return block[:16*count], nil
}

// parseHeader reads a run's first page. What it accepts lies within a file of size bytes.
func parseHeader(b []byte, size int64) (header, error) {
	if len(b) < headerSize || string(b[:8]) != headerMagic || binary.LittleEndian.Uint32(b[64:]) != crc32.Checksum(b[:64], castagnoli) {
		return header{}, fmt.Errorf("%w: header", ErrDamaged)
	}
	number := func(at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }
	h := header{
		count: number(8), filterLen: number(16), indexAt: number(24), blocksAt: number(32), blocks: number(40),
		filterSum: binary.LittleEndian.Uint32(b[48:]), indexSum: binary.LittleEndian.Uint32(b[52:]),
	}
	most := size / 16 // bounds the numbers before they are multiplied
	switch {
	case h.filterLen < 1 || h.filterLen > most || h.blocks < 1 || h.blocks > most || h.count < 1 || h.count > h.blocks*blockIDs,
		h.indexAt < page+h.filterLen*filterBlock, h.blocksAt%page != 0 || h.blocksAt > size,
		h.blocksAt < h.indexAt || h.blocksAt-h.indexAt < h.blocks*16, h.blocksAt+h.blocks*page != size:
		return header{}, fmt.Errorf("%w: the header does not fit the file", ErrDamaged)
	}
	return h, nil
}

func (h header) encode() []byte {
	b := make([]byte, page)
	copy(b, headerMagic)
	for i, v := range []int64{h.count, h.filterLen, h.indexAt, h.blocksAt, h.blocks} {
		binary.LittleEndian.PutUint64(b[8+8*i:], uint64(v))
	}
	binary.LittleEndian.PutUint32(b[48:], h.filterSum)
	binary.LittleEndian.PutUint32(b[52:], h.indexSum)
	binary.LittleEndian.PutUint32(b[64:], crc32.Checksum(b[:64], castagnoli))
	return b
}
