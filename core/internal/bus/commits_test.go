package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func commits(t testing.TB, b *Bus, partition int) (list []string) {
	t.Helper()
	err := b.Commits(t.Context(), partition, func(data []byte, seq uint64) error {
		list = append(list, string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCommitFences(t *testing.T) {
	b := open(t, Options{})
	ctx := t.Context()
	if data, seq, err := b.LastCommit(ctx, 1); data != nil || seq != 0 || err != nil {
		t.Fatalf("the last commit of none: %q %d %v", data, seq, err)
	}
	first := must(b.Commit(ctx, 1, []byte("one"), 0))
	must(b.Commit(ctx, 2, []byte("other"), 0))
	if _, err := b.Commit(ctx, 1, []byte("two"), 0); !errors.Is(err, ErrNotOwner) {
		t.Errorf("a first commit where there is one: %v", err)
	}
	if _, err := b.Commit(ctx, 1, []byte("one"), 0); !errors.Is(err, ErrNotOwner) {
		t.Errorf("the same commit by another: %v", err)
	}
	second := must(b.Commit(ctx, 1, []byte("two"), first))
	if _, err := b.Commit(ctx, 1, []byte("three"), first); !errors.Is(err, ErrNotOwner) {
		t.Errorf("a commit on an old one: %v", err)
	}
	if data, seq, err := b.LastCommit(ctx, 1); string(data) != "two" || seq != second || err != nil {
		t.Errorf("last commit %q at %d, %v", data, seq, err)
	}
	if got := commits(t, b, 1); fmt.Sprint(got) != "[one two]" {
		t.Errorf("commits %v", got)
	}
	if got := commits(t, b, 3); got != nil {
		t.Errorf("commits of nobody: %v", got)
	}
}

// Two owners race for every commit of a partition; exactly one wins each.
func TestCommitHasOneWinner(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	var wins atomic.Int64
	var group sync.WaitGroup
	for owner := range 4 {
		group.Go(func() {
			for range 100 {
				_, last, err := b.LastCommit(t.Context(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = b.Commit(t.Context(), 0, fmt.Appendf(nil, "%d on %d", owner, last), last)
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, ErrNotOwner):
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	list := commits(t, b, 0)
	if int64(len(list)) != wins.Load() {
		t.Errorf("%d commits are stored, %d were told that they won", len(list), wins.Load())
	}
	seen := map[string]bool{}
	for _, c := range list {
		var owner, on int
		if _, err := fmt.Sscanf(c, "%d on %d", &owner, &on); err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprint(on); seen[key] {
			t.Errorf("two commits on %d", on)
		} else {
			seen[key] = true
		}
	}
}

func TestCommitSharesItsFsync(t *testing.T) {
	b := open(t, Options{Partitions: 16})
	var syncs atomic.Int64
	for _, s := range b.sync.syncers {
		if s.dir == b.server.streamDir(streamCommits) {
			plain := s.fsync
			s.fsync = func(f *os.File) error {
				syncs.Add(1)
				time.Sleep(20 * time.Millisecond) // a slow disk
				return plain(f)
			}
		}
	}
	must(b.Commit(t.Context(), 0, []byte("warm up"), 0))
	if syncs.Load() == 0 {
		t.Fatal("a commit is not synced")
	}
	syncs.Store(0)
	var group sync.WaitGroup
	for p := 1; p < 16; p++ {
		group.Go(func() {
			if _, err := b.Commit(t.Context(), p, []byte("x"), 0); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := syncs.Load(); n == 0 || n > 6 {
		t.Errorf("15 commits at once took %d syncs", n)
	}
}

func TestCommitOutlastsTheServer(t *testing.T) {
	b := open(t, Options{})
	var last uint64
	var committed atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for i := range int64(3) {
			eventually(t, 20*time.Second, "commits go on", func() bool { return committed.Load() > 20*i })
			if err := b.server.restart(); err != nil {
				t.Error(err)
			}
		}
		close(stop)
	})
	n := 0
	for done := false; !done; n++ {
		select {
		case <-stop:
			done = true
		default:
		}
		seq, err := b.Commit(t.Context(), 0, fmt.Appendf(nil, "%d", n), last)
		if err != nil {
			t.Fatalf("commit %d: %v", n, err)
		}
		last = seq
		committed.Add(1)
	}
	group.Wait()
	list := commits(t, b, 0)
	for i, c := range list {
		if c != fmt.Sprint(i) {
			t.Fatalf("commit %d is %s", i, c)
		}
	}
	if len(list) != n {
		t.Errorf("%d commits are stored of %d", len(list), n)
	}
}

func TestCommitEndsWithItsContext(t *testing.T) {
	b := open(t, Options{})
	b.server.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.Commit(ctx, 0, []byte("x"), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestPurgeCommitsKeepsTheLast(t *testing.T) {
	b := open(t, Options{})
	ctx := t.Context()
	var seqs []uint64
	last := uint64(0)
	for i := range 5 {
		last = must(b.Commit(ctx, 1, fmt.Appendf(nil, "%d", i), last))
		seqs = append(seqs, last)
		must(b.Commit(ctx, 2, []byte("other"), b.lastCommit[2].Load()))
	}
	if err := b.PurgeCommits(ctx, 1, seqs[3]); err != nil {
		t.Fatal(err)
	}
	if got := commits(t, b, 1); fmt.Sprint(got) != "[3 4]" {
		t.Errorf("after a purge: %v", got)
	}
	if err := b.PurgeCommits(ctx, 1, last+1000); err != nil {
		t.Fatal(err)
	}
	if got := commits(t, b, 1); fmt.Sprint(got) != "[4]" {
		t.Errorf("after a purge of everything: %v", got)
	}
	if got := commits(t, b, 2); len(got) != 5 {
		t.Errorf("another partition has %v", got)
	}
	if err := b.PurgeCommits(ctx, 3, 100); err != nil {
		t.Errorf("a partition without commits: %v", err)
	}
	if _, err := b.Commit(ctx, 1, []byte("5"), last); err != nil {
		t.Errorf("after the purge: %v", err)
	}
}
