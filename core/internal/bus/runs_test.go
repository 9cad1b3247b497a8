package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// allRuns reads the runs that are kept, by name, as data@revision.
func allRuns(t testing.TB, b *Bus) map[string]string {
	t.Helper()
	list := map[string]string{}
	if err := b.Runs(t.Context(), func(run string, data []byte, revision uint64) error {
		list[run] = fmt.Sprintf("%s@%d", data, revision)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFlowPositions(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		if _, _, err := b.FlowPosition(ctx, 3); !errors.Is(err, ErrNotFound) {
			t.Fatalf("before there is one: %v", err)
		}
		first := must(b.PutFlowPosition(ctx, 3, []byte("a"), 0))
		must(b.PutFlowPosition(ctx, 2, []byte("other"), 0))
		if _, err := b.PutFlowPosition(ctx, 3, []byte("b"), 0); !errors.Is(err, ErrConflict) {
			t.Errorf("made twice: %v", err)
		}
		second := must(b.PutFlowPosition(ctx, 3, []byte("b"), first))
		if _, err := b.PutFlowPosition(ctx, 3, []byte("c"), first); !errors.Is(err, ErrConflict) {
			t.Errorf("over a later one: %v", err)
		}
		if data, revision, err := b.FlowPosition(ctx, 3); string(data) != "b" || revision != second || err != nil {
			t.Errorf("got %q at %d, %v", data, revision, err)
		}
	})
}

func TestRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		if got := allRuns(t, b); len(got) != 0 {
			t.Fatalf("at first there are %v", got)
		}
		one := must(b.PutRun(ctx, "run.1", []byte("begun"), 0))
		two := must(b.PutRun(ctx, "run-2", []byte("begun"), 0))
		if _, err := b.PutRun(ctx, "run.1", []byte("again"), 0); !errors.Is(err, ErrConflict) {
			t.Errorf("begun twice: %v", err)
		}
		later := must(b.PutRun(ctx, "run.1", []byte("further"), one))
		if _, err := b.PutRun(ctx, "run.1", []byte("x"), one); !errors.Is(err, ErrConflict) {
			t.Errorf("over a later state: %v", err)
		}
		want := map[string]string{"run.1": fmt.Sprint("further@", later), "run-2": fmt.Sprint("begun@", two)}
		if got := allRuns(t, b); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if state := must(b.state(ctx, streamFlows)); state.Msgs != 2 {
			t.Errorf("the stream keeps %d messages of 2 runs", state.Msgs)
		}
		if err := b.DeleteRun(ctx, "run.1", one); !errors.Is(err, ErrConflict) {
			t.Errorf("deleted at an older state: %v", err)
		}
		if got := allRuns(t, b); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for range 2 { // the second time there is nothing
			if err := b.DeleteRun(ctx, "run.1", later); err != nil {
				t.Error(err)
			}
		}
		delete(want, "run.1")
		if got := allRuns(t, b); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		must(b.PutRun(ctx, "run.1", []byte("anew"), 0))
		stop := errors.New("enough")
		if err := b.Runs(ctx, func(string, []byte, uint64) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

// Of two that change a run at once one succeeds, each time.
func TestRunsAreChangedByOneAtATime(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	var mu sync.Mutex
	var wins int
	at := map[uint64]bool{}
	var group errgroup.Group
	for who := range 4 {
		group.Go(func() error {
			revision := uint64(0)
			for range 50 {
				next, err := b.PutRun(t.Context(), "r", fmt.Append(nil, who), revision)
				if errors.Is(err, ErrConflict) {
					m, err := b.last(t.Context(), streamFlows, subjectRun("r"))
					if err != nil {
						return err
					}
					revision = m.seq
					continue
				}
				if err != nil {
					return err
				}
				mu.Lock()
				wins++
				at[next] = true
				mu.Unlock()
				revision = next
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if wins != len(at) || wins == 0 || wins == 200 {
		t.Errorf("%d of 200 succeeded, at %d revisions", wins, len(at))
	}
}

// Whatever was acknowledged is there after the server was killed, and a change
// that the server was killed in happened once or not at all.
func TestRunsOutlastTheServer(t *testing.T) {
	e := startExternal(t)
	b := open(t, Options{Partitions: 1, URLs: []string{e.url()}})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var group errgroup.Group
	want := make([]map[string]string, 4)
	for w := range want {
		want[w] = map[string]string{}
		group.Go(func() error {
			for i := range 60 {
				run := fmt.Sprintf("run-%d-%d", w, i)
				revision, err := b.PutRun(ctx, run, []byte("0"), 0)
				for step := 1; step < 4 && err == nil; step++ {
					revision, err = b.PutRun(ctx, run, fmt.Append(nil, step), revision)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", run, err)
				}
				if i%3 == 0 {
					if err := b.DeleteRun(ctx, run, revision); err != nil {
						return err
					}
					continue
				}
				want[w][run] = fmt.Sprint("3@", revision)
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	for range 4 {
		time.Sleep(100 * time.Millisecond)
		e.kill()
		e.start()
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	e.kill()
	e.start()
	all := map[string]string{}
	for _, runs := range want {
		maps.Copy(all, runs)
	}
	if got := allRuns(t, b); !maps.Equal(got, all) {
		t.Errorf("%d runs are kept, want %d", len(got), len(all))
		for run, state := range got {
			if all[run] != state {
				t.Errorf("%s is %s, want %q", run, state, all[run])
			}
		}
	}
}

// What a rollup left behind as the server was killed is read before what
// replaced it, and goes with the next change.
func TestRunsAfterAHalfDoneChange(t *testing.T) {
	b := open(t, Options{})
	first := must(b.PutRun(t.Context(), "r", []byte("old"), 0))
	second := must(b.store(t.Context(), b.effects, streamFlows, subjectRun("r"), expecting(first), []byte("new")))
	var got []string
	if err := b.Runs(t.Context(), func(_ string, data []byte, revision uint64) error {
		got = append(got, fmt.Sprintf("%s@%d", data, revision))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{fmt.Sprint("old@", first), fmt.Sprint("new@", second)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	third := must(b.PutRun(t.Context(), "r", []byte("newer"), second))
	if state := must(b.state(t.Context(), streamFlows)); state.Msgs != 1 {
		t.Errorf("%d messages are left", state.Msgs)
	}
	if err := b.DeleteRun(t.Context(), "r", third); err != nil {
		t.Error(err)
	}
}

// SyncRuns fsyncs the file that has what was put before, and nothing where
// nothing was.
func TestSyncRuns(t *testing.T) {
	var mu sync.Mutex
	var synced []string
	b := open(t, Options{Synced: func(path string) {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(path, filepath.Join("streams", streamFlows)) {
			mu.Lock()
			defer mu.Unlock()
			synced = append(synced, string(data))
		}
	}})
	sync := func() (files []string) {
		t.Helper()
		mu.Lock()
		synced = nil
		mu.Unlock()
		if err := b.SyncRuns(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return synced
	}
	if files := sync(); len(files) != 0 {
		t.Errorf("before anything was put %d files are synced", len(files))
	}
	for i := range 3 {
		text := fmt.Sprintf("state-%d-%s", i, strings.Repeat("x", 100))
		revision := must(b.PutRun(t.Context(), fmt.Sprint("r", i), []byte(text), 0))
		files := sync()
		if !slices.ContainsFunc(files, func(data string) bool { return strings.Contains(data, text) }) {
			t.Errorf("of %d files synced none has what was put", len(files))
		}
		if files := sync(); len(files) != 0 {
			t.Errorf("a second time %d files are synced", len(files))
		}
		if err := b.DeleteRun(t.Context(), fmt.Sprint("r", i), revision); err != nil {
			t.Fatal(err)
		}
		if files := sync(); len(files) == 0 {
			t.Error("after a run was deleted nothing is synced")
		}
	}
	if err := open(t, Options{Durability: DurabilityProcess}).SyncRuns(t.Context()); err != nil {
		t.Error(err)
	}
}

// Near the bound new runs are refused first, and nothing is forgotten; what ends
// makes room.
func TestRunsStopBelowTheBound(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	ctx := t.Context()
	c := b.streams[streamFlows].CachedInfo().Config
	c.MaxBytes = 1 << 20
	must(b.js.UpdateStream(ctx, c))
	data := bytes.Repeat([]byte("x"), 10<<10)
	revisions := map[string]uint64{}
	var err error
	for i := 0; err == nil; i++ {
		if i > 200 {
			t.Fatal("more is taken than there is room for")
		}
		var revision uint64
		if revision, err = b.PutRun(ctx, fmt.Sprint("r", i), data, 0); err == nil {
			revisions[fmt.Sprint("r", i)] = revision
		}
	}
	if !errors.Is(err, ErrRunsFull) || len(revisions) < 80 {
		t.Fatalf("after %d runs: %v", len(revisions), err)
	}
	if h := b.Health(); h.State != HealthDegraded || !strings.Contains(h.Reason, "FLOWS is full") {
		t.Errorf("health %+v", h)
	}
	// Those under way go on, however often: each state takes the place of another.
	for range 20 {
		if revisions["r0"], err = b.PutRun(ctx, "r0", data, revisions["r0"]); err != nil {
			t.Fatalf("a run under way: %v", err)
		}
	}
	if got := allRuns(t, b); len(got) != len(revisions) {
		t.Errorf("%d of %d runs are kept", len(got), len(revisions))
	}
	for _, run := range []string{"r1", "r2"} {
		if err := b.DeleteRun(ctx, run, revisions[run]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.PutRun(ctx, "new", data, 0); err != nil {
		t.Errorf("with room again: %v", err)
	}
	// Many at once do not take it beyond what is allowed either.
	var group errgroup.Group
	for i := range 64 {
		group.Go(func() error {
			_, err := b.PutRun(ctx, fmt.Sprint("s", i), data, 0)
			if errors.Is(err, ErrRunsFull) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if state := must(b.state(ctx, streamFlows)); state.Bytes > 1<<20*newRunsPercent/100 {
		t.Errorf("the stream holds %d bytes", state.Bytes)
	}
}
