package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// changed puts an entry of a change log where the indexer would.
func (r *rig) changed(profile string, revision uint64, changes map[string]any) {
	r.t.Helper()
	p := sdk.NewProfile(profile, time.Time{})
	p.Revision = revision
	at := time.Date(2026, 1, 31, 12, 0, int(revision), 0, time.UTC)
	entry := record.Entry(p, at, record.Author{Kind: record.ByFlow, ID: "run", Name: "thanks"}, changes)
	doc, err := store.NewChange(&entry)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.Apply(context.Background(), store.Batch{Put: []store.Document{doc}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestProfileChanges(t *testing.T) {
	r := newRig(t)
	r.profile("p1", "17850")
	r.changed("p1", 1, map[string]any{"traits.name": "Ann", `traits["a.b"]`: int64(1)})
	r.changed("p1", 2, map[string]any{"traits.name": nil})
	r.changed("p2", 9, map[string]any{"traits.name": "Bob"})
	entry := func(n, changes string) string {
		at := "2026-01-31T12:00:0" + n + ".000Z"
		return `{"id":"` + at + "-" + n + `-run","profile":"p1","revision":` + n + `,"time":"` + at + `","received":"` + at + `","by":{"kind":"flow","id":"run","name":"thanks"},"changes":` + changes + `}`
	}
	second := entry("2", `{"traits.name":null}`)
	r.expect("GET", "/api/v1/profiles/p1/changes", "", 200, `{"items":[`+second+`,`+entry("1", `{"traits.name":"Ann","traits[\"a.b\"]":1}`)+`]}`)
	r.expect("GET", "/api/v1/profiles/user:17850/changes?path=traits%5B%22a.b%22%5D", "", 200, `{"items":[`+entry("1", `{"traits[\"a.b\"]":1}`)+`]}`)
	r.expect("GET", "/api/v1/profiles/p1/changes?path=profile.traits.name&from=2026-01-31T12:00:02Z", "", 200, `{"items":[`+second+`]}`)
	r.expect("GET", "/api/v1/profiles/p1/changes?before=2026-01-31", "", 200, `{"items":[]}`)
	status, _, text := r.call("GET", "/api/v1/profiles/p1/changes?limit=1", "")
	_, cursor, _ := strings.Cut(text, `"cursor":"`)
	if status != 200 || !strings.HasPrefix(text, `{"items":[`+second+`],`) || cursor == "" {
		t.Fatalf("%d %s", status, text)
	}
	r.expect("GET", "/api/v1/profiles/p1/changes?cursor="+strings.TrimSuffix(cursor, `"}`), "", 200, `{"items":[`+entry("1", `{"traits.name":"Ann","traits[\"a.b\"]":1}`)+`]}`)

	// Of one that was merged into another the log goes on there.
	merged := sdk.NewProfile("p2", time.Time{})
	merged.IDs, merged.Revision = []string{"p2", "p0"}, 1
	doc := record.Document{State: record.StateLive, C: 1, Profile: merged}
	if _, err := r.bus.PutDocuments(t.Context(), []bus.DocumentPut{{Profile: "p2", Data: doc.AppendJSON(nil)}}); err != nil {
		t.Fatal(err)
	}
	r.changed("p0", 3, map[string]any{"traits.name": "Bobby"})
	status, _, text = r.call("GET", "/api/v1/profiles/p2/changes", "")
	if status != 200 || strings.Count(text, `"id"`) != 4 || strings.Index(text, `"profile":"p2"`) > strings.Index(text, `"profile":"p0"`) {
		t.Errorf("of one that was merged: %d %s", status, text)
	}

	r.refuses("GET", "/api/v1/profiles/p1/changes?limit=0", "", 400, "invalid", "want a whole number from 1")
	r.refuses("GET", "/api/v1/profiles/p1/changes?since=1", "", 400, "invalid", "since: no such parameter; want path or from or before or limit or cursor")
	r.refuses("GET", "/api/v1/profiles/p1/changes?path=a..b", "", 400, "invalid", "path: ")
	r.refuses("GET", "/api/v1/profiles/p1/changes?path=trait.name", "", 400, "invalid", `did you mean \"traits\"`)
	r.refuses("GET", "/api/v1/profiles/p1/changes?from=noon", "", 400, "invalid", "from: ")
	r.refuses("GET", "/api/v1/profiles/p1/changes?cursor=x", "", 400, "invalid", "cursor")
	r.refuses("GET", "/api/v1/profiles/nobody/changes", "", 404, "not_found", "there is no profile")
}
