package seen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// runWriter writes a run from ids in ascending order, in one pass and in fixed memory.
// The file has a temporary name until finish has made it durable.
type runWriter struct {
	header
	path  string
	file  *os.File
	fsync func(*os.File) error

	filter, index, data stretch

	bits   [filterBlock]byte
	bitsAt int64 // the block of the filter that bits will be
	block  [page]byte
	filled int // ids in block
	loose  int64
}

const (
	temporary = ".tmp"

	// syncEvery bounds what one fsync of a run has to write, because the log of events waits for the same disk.
	syncEvery = 8 << 20
)

// newRunWriter begins a run of at most most ids at path.
func newRunWriter(path string, most int64, fsync func(*os.File) error) (*runWriter, error) {
	file, err := os.OpenFile(path+temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &runWriter{path: path, file: file, fsync: fsync}
	w.filterLen = filterBlocks(most)
	w.indexAt = roundUp(page + w.filterLen*filterBlock)
	w.blocksAt = roundUp(w.indexAt + (most+blockIDs-1)/blockIDs*16)
	w.filter = stretch{file: file, at: page}
	w.index = stretch{file: file, at: w.indexAt}
	w.data = stretch{file: file, at: w.blocksAt}
	return w, nil
}

func roundUp(n int64) int64 { return (n + page - 1) / page * page }

func (w *runWriter) add(id *ID) error {
	prefix, rest := halves(id)
	if err := w.filterUpTo(share(prefix, w.filterLen)); err != nil {
		return err
	}
	filterAdd(w.bits[:], rest)
	if w.filled == 0 {
		if err := w.index.write(id[:]); err != nil {
			return err
		}
	}
	copy(w.block[16*w.filled:], id[:])
	w.filled++
	w.count++
	if w.filled < blockIDs {
		return nil
	}
	return w.endBlock()
}

// finish makes the run durable under its name, and opens it.
func (w *runWriter) finish(lo, hi uint64) (*run, error) {
	if w.filled > 0 {
		if err := w.endBlock(); err != nil {
			return nil, err
		}
	}
	if err := w.filterUpTo(w.filterLen); err != nil {
		return nil, err
	}
	if err := errors.Join(w.filter.flush(), w.index.flush(), w.data.flush()); err != nil {
		return nil, err
	}
	w.filterSum, w.indexSum = w.filter.sum, w.index.sum
	if _, err := w.file.WriteAt(w.encode(), 0); err != nil {
		return nil, err
	}
	if err := w.fsync(w.file); err != nil {
		return nil, err
	}
	if err := os.Rename(w.path+temporary, w.path); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(w.path), w.fsync); err != nil {
		return nil, err
	}
	if err := w.file.Close(); err != nil {
		return nil, err
	}
	return openRun(w.path, lo, hi)
}

// abandon gives up a run that could not be finished, and returns why with what else went wrong.
func (w *runWriter) abandon(why error) error {
	_ = w.file.Close() // finish may have closed it
	if err := os.Remove(w.path + temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		why = errors.Join(why, err)
	}
	return fmt.Errorf("write %s: %w", w.path, why)
}

// filterUpTo writes the blocks of the filter that come before block n.
func (w *runWriter) filterUpTo(n int64) error {
	for ; w.bitsAt < n; w.bitsAt++ {
		if err := w.filter.write(w.bits[:]); err != nil {
			return err
		}
		clear(w.bits[:])
	}
	return nil
}

func (w *runWriter) endBlock() error {
	clear(w.block[16*w.filled:])
	binary.LittleEndian.PutUint32(w.block[blockCount:], uint32(w.filled))
	binary.LittleEndian.PutUint32(w.block[blockSum:], crc32.Checksum(w.block[:blockSum], castagnoli))
	w.filled = 0
	w.blocks++
	if err := w.data.write(w.block[:]); err != nil {
		return err
	}
	if w.loose += page; w.loose < syncEvery {
		return nil
	}
	w.loose = 0
	return w.fsync(w.file)
}

// stretch is a part of a file that is written from its start on, with the checksum of what was written.
type stretch struct {
	file   *os.File
	at     int64 // of the buffer
	buffer []byte
	sum    uint32
}

const stretchBuffer = 256 << 10

func (s *stretch) write(b []byte) error {
	s.sum = crc32.Update(s.sum, castagnoli, b)
	s.buffer = append(s.buffer, b...)
	if len(s.buffer) < stretchBuffer {
		return nil
	}
	return s.flush()
}

func (s *stretch) flush() error {
	if _, err := s.file.WriteAt(s.buffer, s.at); err != nil {
		return err
	}
	s.at += int64(len(s.buffer))
	s.buffer = s.buffer[:0]
	return nil
}
