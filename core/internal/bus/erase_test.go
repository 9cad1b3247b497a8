package bus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestErasedMessagesAreOverwritten erases some of each stream, again what is gone, and
// looks into the files.
func TestErasedMessagesAreOverwritten(t *testing.T) {
	var synced []string
	b := open(t, Options{Partitions: 2, Synced: func(path string) { synced = append(synced, path) }})
	const marker = "Mnemosyne-7f3a"
	for c := range uint64(6) {
		e := event(int(c%2), c+1, 1, "a")
		if c >= 3 {
			e.Data = []byte(`{"text":"` + marker + `"}`)
		}
		if err := b.PublishEvents(t.Context(), []EventMessage{e}); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"kept", marker} {
		if err := b.DeadLetter(t.Context(), DeadLetter{Origin: "x", Payload: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	block := func(stream string) []byte {
		return must(os.ReadFile(filepath.Join(b.server.streamDir(stream), "msgs", "1.blk")))
	}
	for _, stream := range []string{streamEvents, streamDeadLetters} {
		if !bytes.Contains(block(stream), []byte(marker)) {
			t.Fatalf("%s has no marker before", stream)
		}
	}
	synced = nil
	for range 2 {
		if err := errors.Join(b.EraseEvents(t.Context(), []uint64{4, 5, 6}), b.EraseDeadLetters(t.Context(), []uint64{2})); err != nil {
			t.Fatal(err)
		}
	}
	for _, stream := range []string{streamEvents, streamDeadLetters} {
		if bytes.Contains(block(stream), []byte(marker)) {
			t.Errorf("%s has the marker still", stream)
		}
		if !slices.Contains(synced, filepath.Join(b.server.streamDir(stream), "msgs", "1.blk")) {
			t.Errorf("the erasure in %s is not durable; synced: %q", stream, synced)
		}
	}
	var left []uint64
	for p := range 2 {
		err := b.EventsOf(t.Context(), p, func(e StoredEvent) error {
			if e.Partition != p {
				t.Errorf("partition %d has %+v", p, e)
			}
			left = append(left, e.Seq)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(left, []uint64{1, 3, 2}) {
		t.Errorf("events %v are left", left)
	}
	last, end := must(b.EventsLast(t.Context())), must(b.EventsEnd(t.Context()))
	if last != 3 || end != 6 {
		t.Errorf("the last event is %d, the end %d", last, end)
	}
}

func TestFirstCommitIsTheFirstThatIsKept(t *testing.T) {
	b := open(t, Options{Partitions: 2, Durability: DurabilityProcess})
	if seq := must(b.FirstCommit(t.Context(), 0)); seq != 0 {
		t.Errorf("none: %d", seq)
	}
	var last [2]uint64
	for i := range 6 {
		last[i%2] = must(b.Commit(t.Context(), i%2, []byte("c"), last[i%2]))
	}
	if seq := must(b.FirstCommit(t.Context(), 1)); seq != 2 {
		t.Errorf("all are kept: %d", seq)
	}
	if err := b.PurgeCommits(t.Context(), 1, last[1]); err != nil {
		t.Fatal(err)
	}
	if seq := must(b.FirstCommit(t.Context(), 1)); seq != last[1] {
		t.Errorf("one is kept: %d, want %d", seq, last[1])
	}
}

func TestJobsOfAPrefix(t *testing.T) {
	b := open(t, Options{})
	revision := must(b.PutJob(t.Context(), "erasure/a.b", []byte("1"), 0))
	must(b.PutJob(t.Context(), "other/a", []byte("no"), 0))
	must(b.PutJob(t.Context(), "erasure/c", []byte("2"), 0))
	read := func(after uint64) (list []string, last uint64) {
		last = must(b.Jobs(t.Context(), "erasure/", after, func(key string, data []byte, revision uint64) error {
			list = append(list, fmt.Sprint(key, "=", string(data), "@", revision))
			return nil
		}))
		return list, last
	}
	list, last := read(0)
	if !slices.Equal(list, []string{"erasure/a.b=1@1", "erasure/c=2@3"}) || last != 3 {
		t.Errorf("%q up to %d", list, last)
	}
	if list, last := read(last); list != nil || last != 3 {
		t.Errorf("nothing new: %q up to %d", list, last)
	}
	must(b.PutJob(t.Context(), "erasure/a.b", []byte("3"), revision))
	if list, last := read(last); !slices.Equal(list, []string{"erasure/a.b=3@4"}) || last != 4 {
		t.Errorf("what is new: %q up to %d", list, last)
	}
	if err := b.SyncJobs(); err != nil {
		t.Error(err)
	}
}
