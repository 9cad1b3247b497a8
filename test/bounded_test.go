package test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One person's many events, while nobody else's come: the log and the commits
// stay bounded, although the other partitions stand still.
func TestOneProfilesEventsLeaveTheLogsBounded(t *testing.T) {
	t.Parallel()
	p := launch(t, "--set", "durability=process")
	p.apply(counting2)
	total := scale(50_000, 1_000_000)
	const batch = 1000
	var most int64
	for i := 0; i < total; i += batch {
		var b strings.Builder
		for j := i; j < i+batch; j++ {
			fmt.Fprintf(&b, `{"id":"%d","type":"tick","ids":{"user":"one"},"properties":{"n":1,"text":"%064d"}}`+"\n", j, j)
		}
		if err := p.sendMany(b.String(), batch); err != nil {
			t.Fatal(err)
		}
		most = max(most, logBytes(t, p))
	}
	eventually(t, 10*time.Minute, "all events to be folded", func() bool {
		most = max(most, logBytes(t, p))
		n, _ := at(p.profile("user:one"), "counters", "events").(float64)
		return int(n) == total
	})
	// What is being worked on, and no more: the log is cut every second, the
	// commits every five.
	if bound := int64(scale(96, 512)) << 20; most > bound {
		t.Errorf("INGEST and COMMITS took %d MB at most, want at most %d MB", most>>20, bound>>20)
	}
	eventually(t, 30*time.Second, "INGEST and COMMITS to be cut", func() bool { return logBytes(t, p) < 24<<20 })
	p.counts("events", `event.type == "tick"`, total)
}

const counting2 = `
kind: event-type
id: tick
spec: {copy: [{to: counters.events, op: increment}]}
`

// sendMany sends a batch and insists until all of it is stored.
func (p *product) sendMany(body string, events int) error {
	for range 100 {
		a, err := p.post("/v1/events", body)
		if err != nil {
			return err
		}
		stored := 0
		for _, r := range a.results() {
			if r["status"] == "accepted" || r["status"] == "duplicate" {
				stored++
			}
		}
		if stored == events {
			return nil
		}
		if stored+len(a.results()) == 0 && a.status != 503 {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("%d events were not taken in after 100 attempts", events)
}

// logBytes is what the files of INGEST and COMMITS take.
func logBytes(t *testing.T, p *product) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".blk") || !strings.Contains(path, "/INGEST/") && !strings.Contains(path, "/COMMITS/") {
			return nil //nolint:nilerr // files come and go
		}
		if info, err := os.Stat(path); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
