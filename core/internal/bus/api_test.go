package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestDocuments(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		if _, _, err := b.GetDocument(ctx, "x"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a document of nobody: %v", err)
		}
		const n = 500
		var puts []DocumentPut
		for i := range n {
			puts = append(puts, DocumentPut{Profile: fmt.Sprintf("pro.file %d", i), Data: fmt.Appendf(nil, "%d", i)})
		}
		results := must(b.PutDocuments(ctx, puts))
		for i, r := range results {
			if r.Conflict || r.Revision != uint64(i+1) {
				t.Fatalf("document %d: %+v", i, r)
			}
		}
		mixed := must(b.PutDocuments(ctx, []DocumentPut{
			{Profile: "pro.file 1", Data: []byte("new")}, {Profile: "pro.file 2", Data: []byte("new"), Expect: 3},
			{Profile: "pro.file 2", Data: []byte("newer"), Expect: 3}, {Profile: "other", Data: []byte("o"), Expect: 9},
		}))
		want := []PutResult{{Conflict: true}, {Revision: n + 1}, {Conflict: true}, {Conflict: true}}
		if fmt.Sprint(mixed) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", mixed, want)
		}
		data, revision, err := b.GetDocument(ctx, "pro.file 2")
		if string(data) != "new" || revision != n+1 || err != nil {
			t.Errorf("got %q at %d, %v", data, revision, err)
		}
		list := must(b.GetDocuments(ctx, []string{"pro.file 7", "nobody", "pro.file 9"}))
		if string(list[0].Data) != "7" || list[1].Seq != 0 || string(list[2].Data) != "9" {
			t.Errorf("got %+v", list)
		}

		r := must(b.ReadDocuments(ctx, n-1))
		defer r.Close()
		got := must(r.Next(ctx, 10, 0))
		for len(got) < 2 {
			got = append(got, must(r.Next(ctx, 10, 0))...)
		}
		if got[0].Profile != "pro.file 499" || got[0].Seq != n || got[1].Profile != "pro.file 2" || string(got[1].Data) != "new" || got[1].Deleted {
			t.Errorf("changes %+v", got)
		}
		if last := must(b.DocumentsLast(ctx)); last != n+1 {
			t.Errorf("the last change is at %d", last)
		}
		if got, err := r.Next(ctx, 10, 10*time.Millisecond); len(got) != 0 || err != nil {
			t.Errorf("at the end: %v, %v", got, err)
		}
		must(b.store(ctx, b.effects, streamProfiles, subjectDocument(b.Partition("pro.file 2"), "pro.file 2"), []field{{headerOperation, "DEL"}}, nil))
		if got := must(r.Next(ctx, 10, 0)); !got[0].Deleted || got[0].Profile != "pro.file 2" {
			t.Errorf("a deletion is read as %+v", got)
		}
		if _, _, err := b.GetDocument(ctx, "pro.file 2"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a deleted document: %v", err)
		}
	})
}

func TestDocumentTooLargeIsRefused(t *testing.T) {
	b := open(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := b.PutDocuments(ctx, []DocumentPut{{Profile: "a", Data: make([]byte, maxPayload+1)}})
	if err == nil || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
}

// A put whose answer was lost is recognised, where another's is not.
func TestPutsOutlastTheServer(t *testing.T) {
	b := open(t, Options{Durability: DurabilityProcess})
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			expect := make([]uint64, 20)
			for round := range 60 {
				var puts []DocumentPut
				for i := range expect {
					puts = append(puts, DocumentPut{Profile: fmt.Sprintf("%d-%d", w, i), Data: fmt.Appendf(nil, "%d", round), Expect: expect[i]})
				}
				results, err := b.PutDocuments(t.Context(), puts)
				if err != nil {
					t.Error(err)
					return
				}
				for i, r := range results {
					if r.Conflict {
						t.Errorf("round %d: a conflict, though nobody else writes", round)
						return
					}
					expect[i] = r.Revision
				}
			}
		})
	}
	for i := range 3 {
		eventually(t, 30*time.Second, "puts go on", func() bool {
			last, err := b.DocumentsLast(t.Context())
			return err == nil && last > uint64(1000*(i+1))
		})
		if err := b.server.restart(); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
}

func TestIdentities(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		key := b.IdentityKey("user", "17850")
		if strings.Contains(string(key), "17850") || key == b.IdentityKey("user", "17851") || key == b.IdentityKey("email", "17850") || key != b.IdentityKey("user", "17850") {
			t.Errorf("key %s", key)
		}
		if _, _, err := b.GetIdentity(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Fatalf("an identity of nobody: %v", err)
		}
		first := must(b.CreateIdentity(ctx, key, record.Identity{Profile: "p", Gen: 1}))
		if _, err := b.CreateIdentity(ctx, key, record.Identity{Profile: "q"}); !errors.Is(err, ErrExists) {
			t.Errorf("created twice: %v", err)
		}
		if _, err := b.UpdateIdentity(ctx, key, record.Identity{Profile: "q"}, first+1); !errors.Is(err, ErrConflict) {
			t.Errorf("updated at another revision: %v", err)
		}
		second := must(b.UpdateIdentity(ctx, key, record.Identity{Profile: "q", Gen: 2}, first))
		id, revision, err := b.GetIdentity(ctx, key)
		if id.Profile != "q" || id.Gen != 2 || revision != second || err != nil {
			t.Errorf("got %+v at %d, %v", id, revision, err)
		}
		var keys []IdentityKey
		var puts []IdentityPut
		for i := range 300 {
			keys = append(keys, b.IdentityKey("a b", fmt.Sprint(i)))
			puts = append(puts, IdentityPut{Key: keys[i], Identity: record.Identity{Profile: fmt.Sprint("p", i)}})
		}
		must(b.PutIdentities(ctx, puts))
		list := must(b.GetIdentities(ctx, append(keys, b.IdentityKey("a b", "nobody"))))
		for i := range keys {
			if list[i].Identity.Profile != fmt.Sprint("p", i) || list[i].Revision == 0 || time.Since(list[i].Written) > time.Minute {
				t.Fatalf("identity %d is %+v", i, list[i])
			}
		}
		if last := list[len(keys)]; last.Revision != 0 {
			t.Errorf("an identity of nobody is %+v", last)
		}

		session := b.IdentityKey(record.KindSessionID, "s")
		must(b.CreateIdentity(ctx, session, record.Identity{Profile: "p"}))
		m := must(b.last(ctx, streamIdentities, prefixIdentities+string(session)))
		if ttl := m.header.Get(headerTTL); ttl != sessionTTL {
			t.Errorf("a session's key is kept for %q", ttl)
		}
		look := b.IdentityKey(record.KindFingerprint, "shop/f")
		must(b.CreateIdentity(ctx, look, record.Identity{Profile: "p", TTL: 15 * time.Minute}))
		m = must(b.last(ctx, streamIdentities, prefixIdentities+string(look)))
		if ttl := m.header.Get(headerTTL); ttl != "15m0s" {
			t.Errorf("a fingerprint's key is kept for %q", ttl)
		}
		m = must(b.last(ctx, streamIdentities, prefixIdentities+string(key)))
		if ttl := m.header.Get(headerTTL); ttl != "" {
			t.Errorf("a user's key is kept for %q", ttl)
		}
	})
}

func TestIdentityThatExpiresCanBeCreatedAgain(t *testing.T) {
	b := open(t, Options{})
	key := b.IdentityKey(record.KindSessionID, "s")
	subject := prefixIdentities + string(key)
	must(b.store(t.Context(), b.effects, streamIdentities, subject, []field{{headerTTL, "1s"}}, record.AppendIdentity(nil, record.Identity{Profile: "p"})))
	eventually(t, 10*time.Second, "an expiry", func() bool {
		_, _, err := b.GetIdentity(t.Context(), key)
		return errors.Is(err, ErrNotFound)
	})
	if _, err := b.CreateIdentity(t.Context(), key, record.Identity{Profile: "q"}); err != nil {
		t.Error(err)
	}
}

func TestDerivedProfiles(t *testing.T) {
	b := open(t, Options{})
	id := b.DerivedProfile("user", "17850", 0)
	if len(id) != 36 || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Errorf("%s is no UUIDv8", id)
	}
	for _, other := range []string{b.DerivedProfile("user", "17850", 1), b.DerivedProfile("user", "17851", 0), b.DerivedProfile("email", "17850", 0), b.DerivedProfile("use", "r17850", 0)} {
		if other == id {
			t.Errorf("two persons have the profile %s", id)
		}
	}
	another := open(t, Options{})
	if another.DerivedProfile("user", "17850", 0) == id {
		t.Error("two installations derive the same profile")
	}
	for range 3 {
		if p := b.Partition(id); p < 0 || p >= b.Partitions() || p != b.Partition(id) {
			t.Errorf("partition %d", p)
		}
	}
}

func TestSeen(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		var ids []record.ID
		for i := range 2*idsPerMessage + 10 {
			ids = append(ids, record.EventID("s", fmt.Sprint(i)))
		}
		if err := b.PublishSeen(ctx, 1, nil); err != nil {
			t.Fatal(err)
		}
		for p, part := range [][]record.ID{ids[:3], ids[3:5], ids[5:]} {
			if err := b.PublishSeen(ctx, p, part); err != nil {
				t.Fatal(err)
			}
		}
		var got []record.ID
		var seqs []uint64
		read := func(after uint64) {
			got, seqs = nil, nil
			err := b.ReadSeen(ctx, after, func(seq uint64, at time.Time, ids []record.ID) error {
				if time.Since(at) > time.Minute {
					t.Errorf("noted at %v", at)
				}
				got, seqs = append(got, ids...), append(seqs, seq)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		read(0)
		if fmt.Sprint(got) != fmt.Sprint(ids) || len(seqs) != 5 {
			t.Errorf("read %d ids in %d messages, want %d in 5", len(got), len(seqs), len(ids))
		}
		if read(2); fmt.Sprint(got) != fmt.Sprint(ids[5:]) {
			t.Errorf("after 2: %d ids", len(got))
		}
		if read(5); got != nil {
			t.Errorf("at the end: %d ids", len(got))
		}
		stop := errors.New("stop")
		if err := b.ReadSeen(ctx, 0, func(uint64, time.Time, []record.ID) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

func TestConfigChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		r := must(b.FollowConfig(ctx, 0))
		defer r.Close()
		first := must(b.AppendConfig(ctx, []byte("one"), 0))
		for _, expect := range []uint64{0, first + 1} {
			if _, err := b.AppendConfig(ctx, []byte("one"), expect); !errors.Is(err, ErrConflict) {
				t.Errorf("appended on %d: %v", expect, err)
			}
		}
		second := must(b.AppendConfig(ctx, []byte("two"), first))
		for _, want := range []string{"one", "two"} {
			if c := must(r.Next(ctx)); string(c.Data) != want || time.Since(c.Time) > time.Minute {
				t.Errorf("followed to %+v, want %s", c, want)
			}
		}
		read := func(after uint64) (list []string) {
			if err := b.Configs(ctx, after, func(c StoredConfig) error {
				list = append(list, fmt.Sprintf("%d %s", c.Seq, c.Data))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return list
		}
		if got := read(0); fmt.Sprint(got) != fmt.Sprintf("[%d one %d two]", first, second) {
			t.Errorf("changes %v", got)
		}
		if err := b.PurgeConfig(ctx, second+100); err != nil {
			t.Fatal(err)
		}
		if got := read(0); fmt.Sprint(got) != fmt.Sprintf("[%d two]", second) {
			t.Errorf("after a purge of everything: %v", got)
		}
		if got := read(second); got != nil {
			t.Errorf("after the last: %v", got)
		}
	})
}

func TestResources(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		for _, r := range []Resource{{Kind: "source", ID: "shop", Data: []byte("old")}, {Kind: "source", ID: "a.b c", Data: []byte("1")}, {Kind: "event-type", ID: "x", Data: []byte("2")}, {Kind: "source", ID: "shop", Data: []byte("new")}} {
			if err := b.PutResource(ctx, r.Kind, r.ID, r.Data); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"x", "never"} {
			if err := b.DeleteResource(ctx, "event-type", id); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, r := range must(b.Resources(ctx)) {
			got = append(got, fmt.Sprintf("%s/%s=%s", r.Kind, r.ID, r.Data))
			if r.Revision == 0 {
				t.Errorf("%s has no revision", r.ID)
			}
		}
		if want := "[source/a.b c=1 source/shop=new]"; fmt.Sprint(got) != want {
			t.Errorf("resources %v, want %s", got, want)
		}
	})
}

// A dead letter is on the disk before what relies on it is.
func TestADeadLetterIsDurable(t *testing.T) {
	var mu sync.Mutex
	synced := ""
	b := open(t, Options{Synced: func(path string) {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(path, filepath.Join("streams", streamDeadLetters)) {
			mu.Lock()
			defer mu.Unlock()
			synced += string(data)
		}
	}})
	commits := uint64(0)
	for i, rely := range []func() error{
		func() (err error) { commits, err = b.Commit(t.Context(), 0, []byte("a"), commits); return err },
		func() error { return b.SyncRuns(t.Context()) },
		func() error { return b.Checkpoint(t.Context()) },
	} {
		reason := fmt.Sprintf("reason-%d", i)
		if err := b.DeadLetter(t.Context(), DeadLetter{Origin: "flow", Reason: reason, Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if err := rely(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if !strings.Contains(synced, reason) {
			t.Errorf("no file that has dead letter %d was made durable", i)
		}
		mu.Unlock()
	}
}

func TestDeadLetters(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		letter := DeadLetter{
			Origin: "import.orders", Reason: "line 7: \"é\"\nis no number\r\n", Attempts: 3, Payload: []byte{0, 1, 2, 255},
			Details: map[string]any{"line": int64(7), "file": "a.csv", "tags": []any{"x", nil, true, 1.5}},
		}
		for _, d := range []DeadLetter{letter, {Origin: "gateway", Reason: "r"}, {Origin: "import.orders"}, {}} {
			if err := b.DeadLetter(ctx, d); err != nil {
				t.Fatal(err)
			}
		}
		all := must(b.DeadLetters(ctx, "", 0, 100))
		if len(all) != 4 || all[1].Origin != "gateway" || all[3].Origin != "" {
			t.Fatalf("got %+v", all)
		}
		for _, got := range []DeadLetter{all[0], must(b.GetDeadLetter(ctx, all[0].Seq))} {
			letter.Seq, letter.Time = all[0].Seq, got.Time
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", letter) || time.Since(got.Time) > time.Minute {
				t.Errorf("got  %+v\nwant %+v", got, letter)
			}
		}
		if got := must(b.DeadLetters(ctx, "import.orders", all[0].Seq, 100)); len(got) != 1 || got[0].Seq != all[2].Seq {
			t.Errorf("of import.orders, after the first: %+v", got)
		}
		if got := must(b.DeadLetters(ctx, "", 0, 2)); len(got) != 2 {
			t.Errorf("of a limit of 2: %d", len(got))
		}
		if _, err := b.GetDeadLetter(ctx, 1000); !errors.Is(err, ErrNotFound) {
			t.Errorf("a dead letter that is not there: %v", err)
		}
	})
}

func TestJobs(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		if _, _, err := b.GetJob(ctx, "import/abc"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a job that is not there: %v", err)
		}
		first := must(b.PutJob(ctx, "import/abc", []byte("1"), 0))
		if _, err := b.PutJob(ctx, "import/abc", []byte("1"), 0); !errors.Is(err, ErrConflict) {
			t.Errorf("created twice: %v", err)
		}
		second := must(b.PutJob(ctx, "import/abc", []byte("2"), first))
		data, revision, err := b.GetJob(ctx, "import/abc")
		if string(data) != "2" || revision != second || err != nil {
			t.Errorf("got %q at %d, %v", data, revision, err)
		}
	})
}

func TestReplies(t *testing.T) {
	onBoth(t, func(t *testing.T, b *Bus) {
		type reply struct{ token, data string }
		replies := make(chan reply, 10)
		prefix, stop, err := b.Replies(func(token string, data []byte) { replies <- reply{token, string(data)} })
		if err != nil {
			t.Fatal(err)
		}
		other, stopOther, err := b.Replies(func(string, []byte) { t.Error("a reply to another waiter") })
		if err != nil {
			t.Fatal(err)
		}
		defer stopOther()
		if prefix == other {
			t.Error("two waiters have the same prefix")
		}
		for i := range 3 {
			if err := b.Respond(prefix+fmt.Sprint("t", i), fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.replies.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			select {
			case got := <-replies:
				if got != (reply{fmt.Sprint("t", i), fmt.Sprint(i)}) {
					t.Errorf("got %+v", got)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("no reply")
			}
		}
		stop()
		if err := b.Respond(prefix+"late", nil); err != nil {
			t.Fatal(err)
		}
		if err := b.replies.Flush(); err != nil {
			t.Fatal(err)
		}
		if len(replies) != 0 {
			t.Error("a reply after the end")
		}
	})
}
