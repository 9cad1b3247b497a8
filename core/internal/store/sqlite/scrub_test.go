package sqlite

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
)

// TestWhatIsDeletedIsGoneFromTheFiles deletes a profile that changed often, small
// and larger than a page, and looks into the files.
func TestWhatIsDeletedIsGoneFromTheFiles(t *testing.T) {
	s := openStore(t)
	const marker = "Mnemosyne-7f3a"
	for revision := range uint64(60) {
		var batch store.Batch
		for _, id := range []string{"gone", "kept"} {
			doc := storetest.Profile(t, id, revision+1, func(p *sdk.Profile) {
				if id == "gone" {
					p.Traits["text"] = marker + strings.Repeat("x", int(revision*revision)*10)
				}
			})
			batch.Put = append(batch.Put, doc)
		}
		if _, err := s.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.Delete(t.Context(), store.Profiles, storetest.Filter(t, store.Profiles, `profile.id == "gone"`))
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.path, s.path + "-wal"} {
		text, err := os.ReadFile(path)
		if err != nil || bytes.Contains(text, []byte(marker)) || strings.HasSuffix(path, "wal") && len(text) > 0 {
			t.Errorf("%s has %d bytes, with what was deleted: %v; %v", path, len(text), bytes.Contains(text, []byte(marker)), err)
		}
	}
	if _, err := s.Get(t.Context(), store.Profiles, "kept"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a closed one: %v", err)
	}
}

// BenchmarkRenew replaces profiles of a common size, as their events do.
func BenchmarkRenew(b *testing.B) {
	s := openStore(b)
	doc := func(i int) store.Document {
		return storetest.Profile(b, "p-"+string(rune('a'+i%20))+string(rune('a'+i/20%50)), uint64(i/1000+1), func(p *sdk.Profile) {
			p.Traits["text"] = strings.Repeat("x", 1500+i%700)
		})
	}
	for i := 0; i < b.N; {
		var batch store.Batch
		b.StopTimer()
		for ; len(batch.Put) < 500 && i < b.N; i++ {
			batch.Put = append(batch.Put, doc(i))
		}
		b.StartTimer()
		if _, err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
