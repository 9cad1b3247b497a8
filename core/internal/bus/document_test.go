package bus

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// What this node wrote is read without the server; what it cannot be sure of is
// asked for.
func TestDocumentIsTheLatest(t *testing.T) {
	b := open(t, Options{})
	ctx := t.Context()
	put := func(data string, expect uint64) uint64 {
		t.Helper()
		r := must(b.PutDocuments(ctx, []DocumentPut{{Profile: "p", Data: []byte(data), Expect: expect}}))
		if r[0].Conflict {
			t.Fatalf("%s: a conflict", data)
		}
		return r[0].Revision
	}
	is := func(name, data string, revision uint64, inMemory bool) {
		t.Helper()
		if _, ok := b.newChanges.last("p"); ok != inMemory {
			t.Errorf("%s: in memory %t, want %t", name, ok, inMemory)
		}
		got, at, err := b.Document(ctx, "p")
		if string(got) != data || at != revision || err != nil {
			t.Errorf("%s: %q at %d, %v; want %q at %d", name, got, at, err, data, revision)
		}
	}
	if _, _, err := b.Document(ctx, "p"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before it is there: %v", err)
	}
	seq := put("1", 0)
	is("nobody reads along", "1", seq, false)
	r := must(b.ReadDocuments(ctx, 0))
	seq = put("2", seq)
	is("written here", "2", seq, true)
	seq = put("3", seq)
	is("written again", "3", seq, true)

	// Another owner, who writes what this node does not hear of until it is
	// refused.
	seq = must(b.store(ctx, b.effects, streamProfiles, subjectDocument(b.Partition("p"), "p"), expecting(seq), []byte("4")))
	if r := must(b.PutDocuments(ctx, []DocumentPut{{Profile: "p", Data: []byte("x"), Expect: seq - 1}})); !r[0].Conflict {
		t.Fatal("no conflict")
	}
	is("after a conflict", "4", seq, false)
	seq = put("5", seq)
	is("written over it", "5", seq, true)
	if _, err := b.PutDocuments(ctx, []DocumentPut{{Profile: "p", Data: make([]byte, maxPayload+1), Expect: seq}}); err == nil {
		t.Fatal("a document beyond measure is put")
	}
	is("after a failure", "5", seq, false)
	seq = put("6", seq)
	is("once more", "6", seq, true)
	r.Close()
	is("nobody reads along any more", "6", seq, false)
}

// Where other nodes write too, memory is not asked.
func TestDocumentOfAnotherNode(t *testing.T) {
	e := startExternal(t)
	a, b := open(t, Options{URLs: []string{e.url()}}), open(t, Options{URLs: []string{e.url()}})
	r := must(a.ReadDocuments(t.Context(), 0))
	defer r.Close()
	first := must(a.PutDocuments(t.Context(), []DocumentPut{{Profile: "p", Data: []byte("a")}}))[0].Revision
	second := must(b.PutDocuments(t.Context(), []DocumentPut{{Profile: "p", Data: []byte("b"), Expect: first}}))[0].Revision
	if got, at, err := a.Document(t.Context(), "p"); string(got) != "b" || at != second || err != nil {
		t.Errorf("got %q at %d, %v", got, at, err)
	}
}

// The tail forgets what it drops, and only that.
func TestTailLast(t *testing.T) {
	tl := newTail(8*(tailCost+1), func(d *StoredDocument) string { return d.Profile })
	tl.readers.Add(1)
	is := func(profile string, want uint64) {
		t.Helper()
		if d, ok := tl.last(profile); d.Seq != want || ok != (want > 0) {
			t.Errorf("%s is at %d, want %d", profile, d.Seq, want)
		}
	}
	add := func(seq uint64, profile string) {
		tl.add(seq, 1, StoredDocument{Seq: seq, Profile: profile, Time: time.Now()})
	}
	add(1, "a")
	tl.forget("a")
	is("a", 0)
	add(3, "a")
	add(2, "b")
	is("a", 3)
	for seq := uint64(4); seq <= 9; seq++ { // 1 is dropped
		add(seq, fmt.Sprint(seq))
	}
	is("a", 3)
	is("b", 2)
	add(10, "10")
	add(11, "11")
	is("a", 0)
	is("b", 0)
	is("11", 11)
}
