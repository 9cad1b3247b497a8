package seen

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// disk knows what each fsync made durable: the content of a file, or the names in a directory.
// A power cut keeps, of what happened since, any part.
type disk struct {
	t     *testing.T
	root  string
	aside string // holds a link to every file that was synced, so that its inode is not used again

	mu      sync.Mutex
	random  *rand.Rand
	content map[uint64][]byte            // by inode, as of the last fsync
	names   map[string]map[string]uint64 // by directory
	images  []image
	synced  atomic.Uint64 // ids that were recorded before the last complete Sync
}

// image is a directory as a power cut left it, and the number of ids that must be found in it.
type image struct {
	dir    string
	synced uint64
}

func (d *disk) fsync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.random.IntN(12) == 0 {
		d.cut()
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		d.names[f.Name()] = d.list(f.Name())
		return nil
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	node := inode(info)
	d.content[node] = b
	if err := os.Link(f.Name(), d.linkOf(node)); err != nil && !os.IsExist(err) && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (d *disk) linkOf(node uint64) string {
	return filepath.Join(d.aside, strconv.FormatUint(node, 10))
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func (d *disk) list(dir string) map[string]uint64 {
	names := map[string]uint64{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.t.Error(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it was removed meanwhile
			names[e.Name()] = inode(info)
		}
	}
	return names
}

// cut writes an image of what a power cut at this moment may leave.
func (d *disk) cut() {
	im := image{dir: filepath.Join(d.aside, "cut-"+strconv.Itoa(len(d.images))), synced: d.synced.Load()}
	d.images = append(d.images, im)
	d.restore(d.root, im.dir)
}

func (d *disk) restore(from, to string) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		d.t.Error(err)
	}
	durable, current := d.names[from], d.list(from)
	names := map[string]bool{}
	for name := range durable {
		names[name] = true
	}
	for name := range current {
		names[name] = true
	}
	for name := range names {
		node, there := durable[name]
		if d.random.IntN(2) == 0 {
			node, there = current[name]
		}
		if !there {
			continue
		}
		path := filepath.Join(from, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			d.restore(path, filepath.Join(to, name))
			continue
		}
		if err := os.WriteFile(filepath.Join(to, name), d.contentOf(node, path), 0o600); err != nil {
			d.t.Error(err)
		}
	}
}

// contentOf returns what is durable of a file, and a part of what was written since, of which a stretch may be lost.
func (d *disk) contentOf(node uint64, path string) []byte {
	durable, known := d.content[node]
	if known {
		path = d.linkOf(node)
	}
	now, err := os.ReadFile(path)
	if err != nil || len(now) < len(durable) {
		now = durable
	}
	b := append([]byte{}, durable...)
	if loose := len(now) - len(durable); loose > 0 {
		b = append(b, now[len(durable):len(durable)+d.random.IntN(loose+1)]...)
		if lost := d.random.IntN(loose + 1); d.random.IntN(2) == 0 && len(durable)+lost < len(b) {
			clear(b[len(durable)+lost : min(len(b), len(durable)+lost+512)])
		}
	}
	return b
}

// TestPowerCut cuts the power at random fsyncs, half done, and looks for every id that was recorded before the last Sync that had returned.
func TestPowerCut(t *testing.T) {
	c := newClock()
	d := &disk{
		t: t, root: filepath.Join(t.TempDir(), "seen"), aside: t.TempDir(),
		random:  rand.New(rand.NewPCG(rand.Uint64(), 0)),
		content: map[uint64][]byte{}, names: map[string]map[string]uint64{},
	}
	s := mustOpen(t, d.root, c.read, settings{recentIDs: 64, fsync: d.fsync})
	rebuild(t, s, nil)
	var n uint64
	for i := range 600 {
		to := n + 1 + rand.Uint64N(20)
		mustRecord(t, s, idsOf(n, to)...)
		n = to
		if i%7 == 0 {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
			d.synced.Store(n)
		}
		if i == 300 {
			c.advance(day) // a second generation
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(d.images) < 20 {
		t.Fatalf("only %d power cuts", len(d.images))
	}
	for _, im := range d.images {
		s := mustOpen(t, im.dir, c.read, small())
		mustHave(t, s, true, idsOf(0, im.synced)...)
		mustHave(t, s, false, idsOf(n, n+300)...)
		mustRecord(t, s, idsOf(im.synced, im.synced+100)...)
		settle(t, s)
		mustHave(t, s, true, idsOf(0, im.synced+100)...)
	}
	t.Logf("%d power cuts", len(d.images))
}
