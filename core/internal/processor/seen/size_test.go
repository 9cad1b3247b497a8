package seen

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestDiskBytesPerID bounds the space on disk, at its highest: beside a merge that has not removed its inputs yet.
// It looks from 28 tables on: of fewer ids the journals, which hold two tables at most, are a larger share.
func TestDiskBytesPerID(t *testing.T) {
	const table, tables, limit = 1 << 13, 48, 27
	dir := filepath.Join(t.TempDir(), "seen")
	var recorded atomic.Int64
	var peak atomic.Int64 // hundredths of bytes an id
	with := settings{recentIDs: table, fsync: func(*os.File) error {
		if n := recorded.Load(); n >= 28*table {
			if bytes := 100 * diskBytes(t, dir) / n; bytes > peak.Load() {
				peak.Store(bytes)
			}
		}
		return nil
	}}
	s := mustOpen(t, dir, time.Now, with)
	for n := uint64(0); n < tables*table; n += 64 {
		mustRecord(t, s, idsOf(n, n+64)...)
		recorded.Add(64)
	}
	settle(t, s)
	if err := s.Close(); err != nil { // the last merge has removed its inputs
		t.Fatal(err)
	}
	rest := float64(diskBytes(t, dir)) / float64(recorded.Load())
	t.Logf("%.2f bytes an id at rest, %.2f at most", rest, float64(peak.Load())/100)
	if rest > 19 {
		t.Errorf("%.2f bytes an id at rest, want at most 19", rest)
	}
	if peak.Load() == 0 || peak.Load() > 100*limit {
		t.Errorf("%.2f bytes an id, want at most %d", float64(peak.Load())/100, limit)
	}
}

// diskBytes returns the space that the files below dir take.
func diskBytes(t *testing.T, dir string) int64 {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return sum
}

// TestMemoryIsBounded samples the heap while tables of the real size are written and merged.
func TestMemoryIsBounded(t *testing.T) {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	with := settings{recentIDs: 1 << 18, fsync: func(*os.File) error {
		runtime.GC() // what is left is held
		runtime.ReadMemStats(&now)
		peak.Store(max(peak.Load(), now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc)))
		return nil
	}}
	s := mustOpen(t, t.TempDir(), time.Now, with)
	ids := make([]ID, 1024)
	for n := uint64(0); n < 6<<17; n += uint64(len(ids)) {
		for i := range ids {
			ids[i] = idOf(n + uint64(i))
		}
		mustRecord(t, s, ids...)
	}
	settle(t, s)
	t.Logf("%.1f MB at most", float64(peak.Load())/1e6)
	if peak.Load() > 32e6 {
		t.Errorf("%.1f MB of heap, want at most 32", float64(peak.Load())/1e6)
	}
}
