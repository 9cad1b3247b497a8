package processor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// spoil makes each fsync of the open files whose path has the prefix fail, and
// what is written to them from now on get lost: /dev/null takes their place,
// which accepts any write and knows no fsync.
func spoil(t *testing.T, prefix string) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := 0
	for _, e := range entries {
		path, err := os.Readlink(filepath.Join(open, e.Name()))
		if err != nil || !strings.HasPrefix(path, prefix) {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		spoilt++
	}
	if spoilt == 0 {
		t.Fatalf("no open file below %s", prefix)
	}
}

// The fsync of the ids seen fails, and the journal has lost some: the processor
// ends, and says so. The commits that have those ids are still there, so the
// next one knows them.
func TestAFailedFsyncOfTheIDsSeenIsTheEnd(t *testing.T) {
	dir := t.TempDir()
	n, stopReplies := prepare(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.p.Run(ctx) }()
	n.configure()
	n.send(n.adds("1", "u", 5, "kept"))
	n.outcome("kept")
	spoil(t, filepath.Join(dir, "seen")+string(filepath.Separator))
	// A commit each, and all but the last are cut off by a checkpoint.
	for _, id := range []string{"2", "3", "4"} {
		n.send(n.adds(id, "u", 7, "lost-"+id))
		n.outcome("lost-" + id)
	}

	select {
	case err := <-ended:
		if !errors.Is(err, errLost) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("it ends with %v, want errLost and why", err)
		}
	case <-time.After(4 * checkpointEvery):
		t.Error("it goes on")
		cancel()
		<-ended
	}
	if err := n.p.Close(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("closing says %v", err)
	}
	stopReplies()
	if err := n.bus.Close(context.Background()); err != nil {
		t.Fatal(err)
	}

	n = start(t, dir)
	for _, id := range []string{"1", "2", "3", "4"} {
		n.send(n.adds(id, "u", 100, "again-"+id))
		if o := n.outcome("again-" + id); o.Status != record.StatusDuplicate {
			t.Errorf("event %s sent again: %+v", id, o)
		}
	}
	if got := n.document(n.adds("", "u", 0, "").Profile).Profile.Counters["sum"]; got != int64(26) {
		t.Errorf("sum = %v, want 26", got)
	}
}
