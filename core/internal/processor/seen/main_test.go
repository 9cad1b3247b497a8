package seen

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain turns the test binary into the process that the crash test kills, where the environment says so.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		recordUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

const day = 24 * time.Hour

// idOf returns the n-th of a sequence of evenly spread ids.
func idOf(n uint64) ID {
	var id ID
	binary.LittleEndian.PutUint64(id[:8], mixed(2*n+1))
	binary.LittleEndian.PutUint64(id[8:], mixed(2*n+2))
	return id
}

func mixed(n uint64) uint64 {
	n *= 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func idsOf(from, to uint64) []ID {
	ids := make([]ID, 0, to-from)
	for n := from; n < to; n++ {
		ids = append(ids, idOf(n))
	}
	return ids
}

// clock is a time that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func noFsync(*os.File) error { return nil }

// small makes runs of 64 ids, so that few ids make many files.
func small() settings { return settings{recentIDs: 64, fsync: noFsync} }

func mustOpen(t testing.TB, dir string, now func() time.Time, with settings) *Set {
	t.Helper()
	s, err := open(dir, day, now, with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustRecord(t testing.TB, s *Set, ids ...ID) {
	t.Helper()
	if err := s.Record(ids); err != nil {
		t.Fatal(err)
	}
}

func mustHave(t testing.TB, s *Set, want bool, ids ...ID) {
	t.Helper()
	for i, id := range ids {
		if got, err := s.Has(id); err != nil || got != want {
			t.Fatalf("Has(id %d of %d) = %v, %v, want %v", i, len(ids), got, err, want)
		}
	}
}

// settle waits until the background goroutine has nothing left to do.
func settle(t testing.TB, s *Set) {
	t.Helper()
	idle := func() bool {
		s.mu.RLock()
		frozen := s.frozen
		s.mu.RUnlock()
		g, _ := s.choosePair()
		return frozen == nil && g == nil
	}
	await(t, "the background goroutine", idle)
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: still waiting after 30 s", what)
		}
	}
}

// find returns the only file that matches the pattern below dir.
func find(t testing.TB, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("files %s: %v, %v, want one", pattern, found, err)
	}
	return found[0]
}
