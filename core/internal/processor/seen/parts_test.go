package seen

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTable(t *testing.T) {
	const n = 1000
	table := newTable(n)
	for range 2 {
		for i := range uint64(n) {
			id := idOf(i)
			if table.has(&id) {
				t.Fatalf("id %d is there before it was added", i)
			}
			table.add(&id)
			table.add(&id)
		}
		if table.len() != n || table.room() != 0 {
			t.Fatalf("len %d, room %d", table.len(), table.room())
		}
		if got := table.held(); !slices.Equal(got, idsOf(0, n)) {
			t.Fatal("held differs from what was added")
		}
		for i := range uint64(2 * n) {
			if id := idOf(i); table.has(&id) != (i < n) {
				t.Fatalf("has(id %d) = %v", i, i >= n)
			}
		}
		table.reset()
	}
}

func TestSorted(t *testing.T) {
	ids := append(idsOf(0, 3000), idsOf(1000, 2000)...)
	ids = append(ids, ID{}, ID{15: 1}, ID{15: 2}, ID{15: 1}, ID{0: 255, 1: 255, 15: 3})
	want := slices.Clone(ids)
	slices.SortFunc(want, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	want = slices.Compact(want)
	if got := sorted(ids); !slices.Equal(got, want) {
		t.Errorf("sorted differs: %d ids, want %d", len(got), len(want))
	}
}

func TestFilterRate(t *testing.T) {
	const n = 200_000
	blocks := make([]byte, filterBlocks(n)*filterBlock)
	block := func(i uint64) ([]byte, uint64) {
		id := idOf(i)
		prefix, rest := halves(&id)
		return blocks[share(prefix, filterBlocks(n))*filterBlock:], rest
	}
	for i := range uint64(n) {
		filterAdd(block(i))
	}
	passed := 0
	for i := range uint64(2 * n) {
		has := filterHas(block(i))
		if i < n && !has {
			t.Fatalf("id %d was added and does not pass", i)
		}
		if i >= n && has {
			passed++
		}
	}
	if rate := float64(passed) / n; rate > 0.007 {
		t.Errorf("%.2f %% of absent ids pass, want at most 0.7", 100*rate)
	}
}

func TestRun(t *testing.T) {
	for name, ids := range map[string][]ID{
		"one":          idsOf(0, 1),
		"a block":      idsOf(0, blockIDs),
		"and one":      idsOf(0, blockIDs+1),
		"many":         idsOf(0, 20_000),
		"extremes":     {{}, slices255()},
		"one prefix":   clustered(3000, 0x7f),
		"at the start": clustered(3000, 0),
		"at the end":   clustered(3000, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			g := &generation{dir: t.TempDir()}
			r, err := g.writeRun(sorted(ids), 7, noFsync)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.close(); err != nil {
					t.Error(err)
				}
			}()
			g.runs = []*run{r}
			has := func(id ID) bool {
				prefix, rest := halves(&id)
				found, err := g.has(&id, prefix, rest)
				if err != nil {
					t.Fatal(err)
				}
				if exact, err := r.has(&id, prefix); err != nil || exact != found {
					t.Fatalf("with the filter %v, without it %v, %v", found, exact, err)
				}
				return found
			}
			for i, id := range ids {
				if !has(id) {
					t.Fatalf("id %d is missing", i)
				}
			}
			for i := range uint64(1000) {
				if has(idOf(1<<40 + i)) {
					t.Fatalf("absent id %d is there", i)
				}
			}
			if r.count != int64(len(ids)) {
				t.Errorf("count %d, want %d", r.count, len(ids))
			}
		})
	}
}

func slices255() ID { return ID(bytes.Repeat([]byte{255}, 16)) }

// clustered returns n ids that share their leading bytes.
func clustered(n int, lead byte) []ID {
	ids := make([]ID, n)
	for i := range ids {
		copy(ids[i][:], bytes.Repeat([]byte{lead}, 12))
		binary.BigEndian.PutUint32(ids[i][12:], uint32(3*i))
	}
	return ids
}

func TestPairBoundsRunsSpaceAndWork(t *testing.T) {
	const table = 1 << 18
	var sizes []int64
	var held, written int64
	for n := int64(1); n <= 2000; n++ { // 524 million ids
		sizes = append(sizes, table)
		held += table
		for i, ok := pair(sizes, held, table); ok; i, ok = pair(sizes, held, table) {
			result := sizes[i] + sizes[i+1]
			if result > held/2 && result > smallMerge*table {
				t.Fatalf("a merge of %d of %d ids", result, held)
			}
			written += result
			sizes = slices.Replace(sizes, i, i+2, result)
		}
		if most := math.Log2(float64(n)) + 2; float64(len(sizes)) > most {
			t.Fatalf("%d runs of %d tables, want at most %.0f", len(sizes), n, most)
		}
		if n == 400 && len(sizes) > 9 {
			t.Fatalf("%d runs of 100 million ids", len(sizes))
		}
	}
	if times := float64(written) / float64(held); times > 10 {
		t.Errorf("each id is rewritten %.1f times, want at most 10", times)
	}
}

func TestReadJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), journalName(0))
	j, err := createJournal(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.remove(); err != nil {
			t.Error(err)
		}
	}()
	for i := range uint64(4) { // records of 1, 2, 3, 4 ids; the first two are durable by the third
		if err := j.append(idsOf(10*i, 10*i+i+1)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := j.sync(noFsync); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{0, 32, 80, 144, 224}
	for size := range len(whole) + 1 {
		ids, end, damaged := readJournal(whole[:size])
		records := 0
		for ends[records] < size && records < 4 && ends[records+1] <= size {
			records++
		}
		if int(end) != ends[records] || damaged || len(ids) != records*(records+1)/2 {
			t.Fatalf("cut to %d bytes: end %d, %d ids, damaged %v; want %d records", size, end, len(ids), damaged, records)
		}
	}
	for at := range whole {
		b := slices.Clone(whole)
		b[at] ^= 4
		_, end, damaged := readJournal(b)
		record := 0
		for ends[record+1] <= at {
			record++
		}
		if int(end) != ends[record] || damaged != (record < 2) {
			t.Fatalf("byte %d changed: end %d, damaged %v; it is in record %d", at, end, damaged, record)
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), journalName(0))
	j, err := createJournal(path, 0)
	if err != nil {
		f.Fatal(err)
	}
	for i := range uint64(3) {
		if err := j.append(idsOf(10*i, 10*i+i+1)); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := j.remove(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(whole)
	f.Add(whole[:100])
	f.Add(append(bytes.Repeat([]byte{0}, 64), whole...))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, end, _ := readJournal(data)
		if end < 0 || end > int64(len(data)) || end%recordHead != 0 {
			t.Fatalf("end %d of %d bytes", end, len(data))
		}
		again, sameEnd, damaged := readJournal(data[:end])
		if !slices.Equal(again, ids) || sameEnd != end || damaged {
			t.Fatal("what was kept of a journal reads differently")
		}
	})
}

func FuzzRunHeader(f *testing.F) {
	valid := header{count: 300, filterLen: 8, indexAt: 2 * page, blocksAt: 3 * page, blocks: 2}
	f.Add(valid.encode()[:headerSize], int64(5*page), false)
	f.Add(valid.encode()[:headerSize], int64(4*page), true)
	huge := valid
	huge.filterLen, huge.blocks = 1<<58, 1<<60
	f.Add(huge.encode()[:headerSize], int64(5*page), false)
	f.Add([]byte(headerMagic), int64(0), false)
	f.Fuzz(func(t *testing.T, b []byte, size int64, seal bool) {
		if seal && len(b) >= headerSize { // make the checksum right, so that the numbers are looked at
			var h header
			number := func(at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }
			h.count, h.filterLen, h.indexAt, h.blocksAt, h.blocks = number(8), number(16), number(24), number(32), number(40)
			b = h.encode()
		}
		size = max(size, 0)
		h, err := parseHeader(b, size)
		if err != nil {
			return
		}
		filterEnd, indexEnd := page+h.filterLen*filterBlock, h.indexAt+h.blocks*16
		if filterEnd <= page || filterEnd > h.indexAt || indexEnd > h.blocksAt || h.blocksAt+h.blocks*page != size || h.count > h.blocks*blockIDs {
			t.Fatalf("accepted %+v in %d bytes", h, size)
		}
	})
}

func TestNames(t *testing.T) {
	lo, hi, ok := parseRun(runName(3, 123_456_789))
	if lo != 3 || hi != 123_456_789 || !ok {
		t.Error(lo, hi, ok)
	}
	if seq, ok := parseJournal(journalName(42)); seq != 42 || !ok {
		t.Error(seq, ok)
	}
	began := newClock().read()
	if got, ok := parseGeneration(generationName(began)); !got.Equal(began) || !ok {
		t.Error(got, ok)
	}
	for _, name := range []string{"", "run", "run-1-2", "run-00000002-00000001", "run-00000001-00000002.tmp", "run-00000001-00000002x", "journal-1", "journal-00000001 ", "gen-5"} {
		_, _, run := parseRun(name)
		_, journal := parseJournal(name)
		_, gen := parseGeneration(name)
		if run || journal || gen {
			t.Errorf("%q was taken for a file of the set", name)
		}
	}
}
