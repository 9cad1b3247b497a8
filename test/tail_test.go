package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The log's file is cut behind its back, below what was committed of it, as by
// a restored copy or a disk that forgot. New events are not mistaken for those
// that had their numbers.
func TestTheLogsTailIsCut(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.apply(counting)
	sent := 0
	for round := range scale(3, 20) {
		sent += p.adds(fmt.Sprint("round-", round), 40)
		eventually(t, 20*time.Second, "the events to be folded", func() bool {
			n, _ := at(p.profile("user:u"), "counters", "events").(float64)
			return int(n) == sent
		})
		p.kill()
		cutTail(t, p.dir)
		p.start()
	}
	sent += p.adds("last", 40)
	p.counts("profiles", fmt.Sprintf("profile.counters.events == %d", sent), 1)
	p.counts("events", `event.type == "add"`, sent)
}

// cutTail cuts the newest block of INGEST to a third of its length and removes
// the server's index of it.
func cutTail(t *testing.T, dir string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "INGEST", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no blocks of INGEST: %v", err)
	}
	newest := slices.MaxFunc(blocks, func(a, b string) int { return number(a) - number(b) })
	info, err := os.Stat(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(newest, info.Size()/3); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(newest), "index.db")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func number(block string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(block), ".blk"))
	return n
}
