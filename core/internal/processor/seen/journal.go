package seen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"
)

// journal is the file that keeps the table in memory: records one after the other, one a batch of ids.
//
// A record is a head of 16 bytes and its ids. The head, little endian: CRC-32C of what follows it up to the record's end, a magic number,
// the count of ids, and how many bytes of the journal were known to be durable when the record was written.
type journal struct {
	seq    uint64
	file   *os.File
	end    atomic.Int64 // the next record goes here, over what a failed write may have left
	synced atomic.Int64 // bytes that are durable
	buffer []byte
}

const (
	recordHead  = 16
	recordMagic = 0x314e5353 // "SSN1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func createJournal(path string, seq uint64) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{seq: seq, file: file}, nil
}

// reopenJournal continues the journal at path after its first end bytes, and cuts off the rest.
func reopenJournal(path string, seq uint64, end int64) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(end); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j := &journal{seq: seq, file: file}
	j.end.Store(end)
	return j, nil
}

// append writes a record with ids, in one write. One goroutine appends at a time.
func (j *journal) append(ids []ID) error {
	if len(ids) == 0 {
		return nil
	}
	end := j.end.Load()
	b := append(j.buffer[:0], make([]byte, recordHead)...)
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	binary.LittleEndian.PutUint32(b[4:], recordMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(ids)))
	binary.LittleEndian.PutUint32(b[12:], uint32(j.synced.Load()))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	j.buffer = b
	if _, err := j.file.WriteAt(b, end); err != nil {
		return fmt.Errorf("append to the journal: %w", err)
	}
	j.end.Store(end + int64(len(b)))
	return nil
}

// sync makes durable what was appended before the call. The first sync makes the file's name durable too.
func (j *journal) sync(fsync func(*os.File) error) error {
	end, synced := j.end.Load(), j.synced.Load()
	if synced >= end {
		return nil
	}
	err := fsync(j.file)
	if err == nil && synced == 0 {
		err = syncDir(filepath.Dir(j.file.Name()), fsync)
	}
	if errors.Is(err, os.ErrClosed) { // its ids have become a run, which is durable
		return nil
	}
	if err != nil {
		return fmt.Errorf("fsync %s: %w", j.file.Name(), err)
	}
	for synced < end && !j.synced.CompareAndSwap(synced, end) {
		synced = j.synced.Load()
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }

func (j *journal) remove() error {
	return errors.Join(j.file.Close(), os.Remove(j.file.Name()))
}

// readJournal returns the ids of the records in data up to the first bad one, and where that begins.
// A power cut leaves a bad record only behind what was durable; damaged tells that a later record knows this one to have been so.
func readJournal(data []byte) (ids []ID, end int64, damaged bool) {
	at := 0
	for {
		record, _ := recordAt(data, at)
		if record == nil {
			break
		}
		for b := record[recordHead:]; len(b) > 0; b = b[16:] {
			ids = append(ids, ID(b))
		}
		at += len(record)
	}
	for next := at + recordHead; next < len(data); next += recordHead {
		if record, synced := recordAt(data, next); record != nil && int(synced) > at {
			return ids, int64(at), true
		}
	}
	return ids, int64(at), false
}

// recordAt returns the valid record that begins at data[at], or nil, and its note of how much was durable.
func recordAt(data []byte, at int) (record []byte, synced uint32) {
	b := data[at:]
	if len(b) < recordHead || binary.LittleEndian.Uint32(b[4:]) != recordMagic {
		return nil, 0
	}
	count := int(binary.LittleEndian.Uint32(b[8:]))
	if count == 0 || count > recordBatch || len(b) < recordHead+16*count {
		return nil, 0
	}
	b = b[:recordHead+16*count]
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, 0
	}
	return b, binary.LittleEndian.Uint32(b[12:])
}
