package indexer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
)

func TestRebuild(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(3000)
	for i := range 300 {
		r.document(fmt.Sprintf("p-%d", i), document(fmt.Sprintf("p-%d", i), record.StateLive, 5))
	}
	r.settled()
	eventually(t, "profiles are indexed", func() bool { return r.count(store.Profiles) == 300 })
	// What does not belong there goes.
	stray, err := store.NewDocument(store.Events, processedEvent(t, 999_999))
	if err != nil {
		t.Fatal(err)
	}
	newer, err := store.NewDocument(store.Profiles, profile("p-1", 77).AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Apply(t.Context(), store.Batch{Put: []store.Document{stray, newer}}); err != nil {
		t.Fatal(err)
	}
	quiet := r.flow()
	var calls int
	var lastDone, lastTotal uint64
	err = r.x.Rebuild(t.Context(), func(done, total uint64) {
		if done < lastDone || done > total {
			t.Errorf("progress goes from %d to %d of %d", lastDone, done, total)
		}
		calls, lastDone, lastTotal = calls+1, done, total
	})
	if err != nil || calls < 2 || lastDone != lastTotal || lastTotal < 3300 {
		t.Errorf("%v after %d calls, %d of %d", err, calls, lastDone, lastTotal)
	}
	if n := r.count(store.Events); n < 3000 {
		t.Errorf("%d events when it was done", n)
	}
	quiet()
	r.settled()
	if d, err := r.store.Get(t.Context(), store.Profiles, "p-1"); err != nil || d.Version != 5 || r.count(store.Profiles) != 300 {
		t.Errorf("the profile is at %d, %v, among %d", d.Version, err, r.count(store.Profiles))
	}

	// One that is cut short goes on by itself, with the next indexer too.
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.x.Rebuild(ctx, func(uint64, uint64) { cancel() }); err == nil {
		// It may have been done at once; then there is nothing to go on with.
		t.Log("the rebuild was faster than its caller")
	}
	r.stop()
	r.run(0)
	r.settled()
	eventually(t, "profiles are indexed", func() bool { return r.count(store.Profiles) == 300 })
}

func processedEvent(t *testing.T, i int) []byte {
	t.Helper()
	docs, err := newSplitter().event(processed(i, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return docs[0].Body
}

// TestRebuildRepairs rebuilds a store that cannot be opened any more.
func TestRebuildRepairs(t *testing.T) {
	r := newRig(t)
	r.run(0)
	r.send(200)
	r.settled()
	if err := errors.Join(os.Remove(r.path), os.WriteFile(r.path, []byte("no store"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r.send(1)
	eventually(t, "it fails", func() bool { return r.x.metrics.failures.Get() > 0 })
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	r.settled()
}
