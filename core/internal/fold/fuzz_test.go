package fold

import (
	"bytes"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// FuzzBodies folds commands whose body is anything into profiles of every state: none
// makes the fold panic, and what it makes of a document can be read again.
func FuzzBodies(f *testing.F) {
	a, b := personOf("A", 0, "user:u", "email:m"), personOf("p1", 9, "anonymous:a")
	for kind, body := range map[record.Kind][]byte{
		record.KindMerge:    proposal(a, "p1", "anonymous:a").Body,
		record.KindAbsorb:   absorbed(a, "p1").Body,
		record.KindErase:    record.AppendErase(nil, &record.Erase{By: "x"}),
		record.KindPatch:    patched("run", enter("vip"), leave("vip")).Body,
		record.KindRedirect: record.AppendRedirect(nil, &record.Redirect{To: rankOf(a.Profile)}),
		record.KindBackfill: record.AppendBackfill(nil, &record.Backfill{Profile: "p1", Fill: record.Fill{Since: 7, Chunk: 1}}),
	} {
		f.Add(byte(kind), body)
	}
	f.Add(byte(record.KindDue), []byte{})
	text := b.AppendJSON(nil)
	r := compile(f, shop)
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		if k := record.Kind(kind); k == record.KindEvent || k == record.KindConfig {
			return
		}
		live, err := record.ParseDocument(bytes.Clone(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range []*record.Document{
			nil, live, {State: record.StateRedirect, To: "A", Rank: rankOf(a.Profile)}, {State: record.StateErased, ErasedAt: noon, IDs: []string{"p1"}},
		} {
			var fold Fold
			fold.Begin(Input{
				Rules: r, Command: &record.Command{Kind: record.Kind(kind), Profile: "p1", Received: noon, Body: bytes.Clone(body)}, Doc: doc,
				Derive: func(c Claim) string { return "derived " + c.Value },
			})
			var claims []Claim
			for i, id := range fold.Wants() {
				claims = append(claims, Claim{Identifier: id, Holder: []string{"p1", "A", "", "x"}[i%4]})
			}
			fold.Resolve(claims)
			result := fold.Apply(fold.Route())
			if result.Doc == nil {
				continue
			}
			written := result.Doc.AppendJSON(nil)
			if _, err := record.ParseDocument(written); err != nil {
				t.Errorf("kind %d: the document %s cannot be read again: %v", kind, written, err)
			}
		}
	})
}
