package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A blockDir plays the server's part: it writes block files.
type blockDir struct {
	t      testing.TB
	dir    string
	synced []string // names of what was synced since the last look
}

func newBlockDir(t testing.TB) (*blockDir, *syncer) {
	d := &blockDir{t: t, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(d.dir, "msgs"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newSyncer(d.dir, func(f *os.File) error {
		d.synced = append(d.synced, filepath.Base(f.Name()))
		return nil
	})
	t.Cleanup(s.stop)
	return d, s
}

func (d *blockDir) path(index int) string {
	return filepath.Join(d.dir, "msgs", fmt.Sprint(index, ".blk"))
}

func (d *blockDir) write(index int, text string) {
	d.t.Helper()
	f := must(os.OpenFile(d.path(index), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))
	defer f.Close()
	must(f.WriteString(text))
}

// replace is what a purge does to a block that it shortens.
func (d *blockDir) replace(index int, text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(index)+".tmp", []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.path(index)+".tmp", d.path(index)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *blockDir) remove(index int) {
	d.t.Helper()
	if err := os.Remove(d.path(index)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *blockDir) look() []string {
	names := slices.Clone(d.synced)
	d.synced = nil
	return names
}

// want checks that exactly these files were synced, in any order and number.
func (d *blockDir) want(what string, names ...string) {
	d.t.Helper()
	got := d.look()
	slices.Sort(got)
	got = slices.Compact(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		d.t.Errorf("%s: synced %v, want %v", what, got, names)
	}
}

func TestSyncerTail(t *testing.T) {
	d, s := newBlockDir(t)
	self := filepath.Base(d.dir)
	tail := func() {
		t.Helper()
		if err := s.tail(); err != nil {
			t.Fatal(err)
		}
	}
	tail()
	d.want("an empty stream", "msgs", self)
	d.write(1, "a")
	d.write(2, "b")
	tail()
	d.want("the first blocks", "1.blk", "2.blk", "msgs", self)
	d.write(2, "c")
	tail()
	d.want("the newest one", "2.blk")
	d.write(2, "d")
	d.write(3, "e")
	d.write(4, "f")
	tail()
	d.want("blocks that follow", "2.blk", "3.blk", "4.blk", "msgs", self)
	d.replace(4, "g")
	tail()
	if got := d.look(); !slices.Contains(got[1:], "4.blk") || !slices.Contains(got, "msgs") {
		t.Errorf("a block that was replaced: synced %v", got)
	}
	d.remove(4)
	d.write(9, "h")
	tail()
	d.want("a block that is gone", "4.blk", "9.blk", "msgs", self)
	d.write(9, "i")
	d.write(10, "j")
	d.remove(9)
	tail()
	if got := d.look(); !slices.Contains(got, "10.blk") || !slices.Contains(got, "msgs") {
		t.Errorf("the block behind one that is gone: synced %v", got)
	}
	if err := os.Rename(filepath.Join(d.dir, "msgs"), filepath.Join(d.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(d.dir, "msgs"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.write(11, "k")
	tail()
	if got := d.look(); !slices.Contains(got, "11.blk") || !slices.Contains(got, self) {
		t.Errorf("a directory that was replaced: synced %v", got)
	}
}

func TestSyncerAll(t *testing.T) {
	d, s := newBlockDir(t)
	self := filepath.Base(d.dir)
	all := func() {
		t.Helper()
		if err := s.all(); err != nil {
			t.Fatal(err)
		}
	}
	d.write(1, "a")
	d.write(2, "b")
	d.write(3, "c")
	if err := os.WriteFile(filepath.Join(d.dir, "msgs", "index.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	all()
	d.want("the first time", "1.blk", "2.blk", "3.blk", "msgs", self)
	all()
	d.want("nothing changed")
	d.write(2, "more")
	all()
	d.want("one grew", "2.blk")
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(d.path(1), later, later); err != nil {
		t.Fatal(err)
	}
	all()
	d.want("one was overwritten", "1.blk")
	d.replace(3, "c")
	all()
	d.want("one was replaced", "3.blk", "msgs", self)
	d.remove(1)
	all()
	d.want("one is gone", "msgs", self)
}

func TestSyncerFails(t *testing.T) {
	broken := errors.New("broken")
	d, s := newBlockDir(t)
	d.write(1, "a")
	s.fsync = func(*os.File) error { return broken }
	if err := s.tail(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := s.all(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := newSyncer(filepath.Join(d.dir, "nowhere"), nil).tail(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestSharedRunsAfterEveryCall(t *testing.T) {
	var written, synced atomic.Int64
	var runs atomic.Int64
	s := newShared(func() error {
		runs.Add(1)
		seen := written.Load()
		time.Sleep(time.Millisecond) // a slow disk
		synced.Store(seen)
		return nil
	})
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 20 {
				mine := written.Add(1)
				if err := s.do(); err != nil {
					t.Error(err)
				}
				if got := synced.Load(); got < mine {
					t.Errorf("returned with %d synced, wrote %d", got, mine)
				}
			}
		})
	}
	group.Wait()
	if n := runs.Load(); n > 200 {
		t.Errorf("640 calls took %d runs: they share none", n)
	}
	broken := errors.New("broken")
	s.f = func() error { return broken }
	if err := s.do(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A checkpoint covers what every stream of effects holds.
func TestCheckpointCoversTheEffects(t *testing.T) {
	b := open(t, Options{})
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	synced := map[string]bool{}
	for _, s := range b.sync.effects {
		plain := s.fsync
		s.fsync = func(f *os.File) error {
			synced[filepath.Base(s.dir)] = true
			return plain(f)
		}
	}
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(synced) != 0 {
		t.Errorf("a checkpoint of nothing new synced %v", synced)
	}
	for stream, subject := range map[string]string{
		streamEvents: "event.0.a", streamProfiles: prefixProfiles + "0.a", streamIdentities: prefixIdentities + "a.b",
		streamSeen: "seen.0", streamFlows: "flow.run.a", streamIngest: "ingest.0", streamDeadLetters: "deadletter.a",
		streamResources: prefixResources + "a.b", streamJobState: prefixJobState + "a",
	} {
		clear(synced)
		must(b.store(t.Context(), b.effects, stream, subject, nil, []byte("x")))
		if err := b.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(synced) != 1 || !synced[stream] {
			t.Errorf("after a write to %s a checkpoint synced %v", stream, synced)
		}
	}
}
