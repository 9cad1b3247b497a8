package elastic_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/elastic"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/test/servers"
)

// shared opens a store on the shared node, and gives that node.
func shared(t *testing.T) (*elastic.Store, node, string) {
	t.Helper()
	n := node{t, servers.SharedElasticsearch(t)}
	prefix := newPrefix(t)
	return open(t, elastic.Options{URLs: []string{n.url}, Prefix: prefix}), n, prefix
}

// While an operator, or a full disk, blocks writing, reading goes on.
func TestWritingIsBlocked(t *testing.T) {
	s, n, prefix := shared(t)
	if _, err := s.Apply(t.Context(), events(t, 0, 10)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 10, "10")
	for _, block := range []string{"index.blocks.write", "index.blocks.read_only_allow_delete", "index.blocks.read_only"} {
		n.must("PUT", "/"+prefix+"-*/_settings", `{"`+block+`":true}`)
		began := time.Now()
		_, err := s.Apply(t.Context(), events(t, 0, 20))
		wantUnavailable(t, block, err, "cluster_block_exception")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s", block, took)
		}
		wantEvents(t, s, 10, "10")
		n.must("PUT", "/"+prefix+"-*/_settings", `{"`+block+`":null}`)
	}
	if _, err := s.Apply(t.Context(), events(t, 0, 20)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 20, "20")
}

// A document that the node does not take is refused with its reason, and the others stand.
func TestWhatANodeDoesNotTakeIsRefused(t *testing.T) {
	s, _, _ := shared(t)
	deep := strings.Repeat(`{"a":`, 1100) + "1" + strings.Repeat("}", 1100)
	batch := events(t, 0, 10)
	batch.Put = append(batch.Put, storetest.Event(t, 100, func(e *sdk.Event) { e.Type = strings.Repeat("t", 40_000) }))
	for i, properties := range []string{`{"a":1,"a":2}`, deep, `{"n":1` + strings.Repeat("0", 1200) + `}`} {
		body := strings.Replace(string(storetest.Event(t, 200+i, nil).Body), fmt.Sprintf(`{"total":%d}`, 200+i), properties, 1)
		d, err := store.NewDocument(store.Events, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		batch.Put = append(batch.Put, d)
	}
	batch.Put = append(batch.Put, storetest.Event(t, 300, nil))
	refused, err := s.Apply(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if len(refused) != 4 {
		t.Errorf("%d are refused, want 4", len(refused))
	}
	for _, r := range refused {
		if r.Reason == "" || len(r.Reason) > 700 {
			t.Errorf("%s: the reason is %q", r.Document.ID, r.Reason)
		}
	}
	wantEvents(t, s, 11, "10")
}

// Names that senders think of add no field to any index, and can be asked for.
func TestTenThousandPropertyNames(t *testing.T) {
	s, n, prefix := shared(t)
	fields := func() string { return n.must("GET", "/"+prefix+"-*/_mapping?filter_path=*.mappings", "") }
	if _, err := s.Apply(t.Context(), events(t, 0, 1)); err != nil {
		t.Fatal(err)
	}
	before := fields()
	var batch store.Batch
	for i := range 1000 {
		batch.Put = append(batch.Put, storetest.Event(t, i+1, func(e *sdk.Event) {
			properties := map[string]any{}
			for j := range 10 {
				properties[fmt.Sprintf("name-%d", 10*i+j)] = []any{int64(j), "text", true, map[string]any{"x": "y"}}[j%4]
			}
			e.Properties = sdk.NewObject(properties)
		}))
	}
	if refused, err := s.Apply(t.Context(), batch); err != nil || len(refused) > 0 {
		t.Fatalf("%d refused, %v", len(refused), err)
	}
	if after := fields(); after != before {
		t.Errorf("the mapping has changed from\n%s to\n%s", before, after)
	}
	wantEvents(t, s, 1001, "1")
	for _, c := range []struct{ source, want string }{
		{`event.properties["name-9990"] == 0`, "shop/e-001000"},
		{`event.properties["name-5001"] == "text"`, "shop/e-000501"},
		{`event.properties["name-43"].x == "y"`, "shop/e-000005"},
	} {
		page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, c.source)})
		if err != nil || len(page.Documents) != 1 || page.Documents[0].ID != c.want {
			t.Errorf("%s finds %d, %v, want %s", c.source, len(page.Documents), err, c.want)
		}
	}
}

// Texts in conditions are texts, whatever they mean to query languages.
func TestQueryLanguagesInTexts(t *testing.T) {
	s, _, _ := shared(t)
	texts := []string{
		"*", "?", `"`, "OR", "a OR b", "a AND NOT b", `{"match_all":{}}`, `"},"match_all":{}`, "_exists_:id", "[* TO *]", "/.*/", ".*", "a~2", "id:*",
		`\`, `\*`, "&&", "||", "@", "#", "<1-9>", "", "null", "true", "events.total:n", "properties.text:s=*", `properties\.text`,
	}
	var batch store.Batch
	for i, text := range texts {
		batch.Put = append(batch.Put, storetest.Event(t, i, func(e *sdk.Event) {
			e.Properties = sdk.NewObject(map[string]any{"text": text, "list": []any{text}, "within": "a " + text + " z", text + "x": int64(1)})
			e.Type, e.Session = "t-"+text, text
		}))
	}
	if refused, err := s.Apply(t.Context(), batch); err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		quoted := string(sdk.AppendString(nil, text))
		typed := string(sdk.AppendString(nil, "t-"+text))
		within := string(sdk.AppendString(nil, "a "+text+" z"))
		named := string(sdk.AppendString(nil, text+"x"))
		for _, source := range []string{
			"event.properties.text == " + quoted, quoted + " in event.properties.list", "event.properties.within.startsWith(" + within + ")",
			"event.properties.within.contains(" + within + ")", "event.properties.within.endsWith(" + within + ")", "event.type == " + typed,
			"event.type in [" + typed + `, "x"]`, "event.type.startsWith(" + typed + ") && event.type.endsWith(" + typed + ")", "has(event.properties[" + named + "])",
		} {
			page, err := s.Query(t.Context(), store.Query{Kind: store.Events, Filter: storetest.Filter(t, store.Events, source)})
			if err != nil {
				t.Errorf("%s: %v", source, err)
				continue
			}
			found := 0
			for _, d := range page.Documents {
				if d.ID == fmt.Sprintf("shop/e-%06d", i) {
					found++
				}
			}
			if found != 1 || len(page.Documents) != 1 {
				t.Errorf("%s finds %d events, want that one", source, len(page.Documents))
			}
		}
	}
}

// What was deleted does not come back by a write that was under way, nor by a batch that
// is applied again; what is newer does.
func TestALateWriteDoesNotBringBackWhatWasDeleted(t *testing.T) {
	s, n, prefix := shared(t)
	batch := store.Batch{Put: []store.Document{storetest.Event(t, 1, nil), storetest.Event(t, 2, nil), storetest.Profile(t, "p", 5, nil), storetest.Profile(t, "q", 5, nil)}}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var late strings.Builder
	index := prefix + "-000001-events-2026.01"
	for _, id := range []string{"shop/e-000001", "shop/e-000002"} {
		source := n.must("GET", "/"+index+"/_source/"+strings.ReplaceAll(id, "/", "%2F"), "")
		fmt.Fprintf(&late, `{"index":{"_index":%q,"_id":%q,"version":1,"version_type":"external"}}`+"\n%s\n", index, id, source)
	}
	if n, err := s.Delete(t.Context(), store.Events, storetest.Filter(t, store.Events, `event.id == "e-000001"`)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n, err := s.Delete(t.Context(), store.Profiles, storetest.Filter(t, store.Profiles, `profile.id == "q"`)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := s.Apply(t.Context(), store.Batch{Delete: []store.Deletion{{Kind: store.Events, ID: "shop/e-000002"}, {Kind: store.Profiles, ID: "p"}}}); err != nil {
		t.Fatal(err)
	}
	answer := n.must("POST", "/_bulk", late.String())
	if strings.Count(answer, "version_conflict_engine_exception") != 2 {
		t.Errorf("the late write is taken: %s", answer)
	}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 0, "")
	if n, err := s.Count(t.Context(), store.Profiles, nil); err != nil || n != 0 {
		t.Errorf("%d profiles are back, %v", n, err)
	}
	if _, err := s.Apply(t.Context(), store.Batch{Put: []store.Document{storetest.Profile(t, "p", 6, nil), storetest.Profile(t, "q", 6, nil)}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"p", "q"} {
		if d, err := s.Get(t.Context(), store.Profiles, id); err != nil || d.Version != 6 {
			t.Errorf("the profile %s is at %d, %v, want the newer version", id, d.Version, err)
		}
	}
}

// Whole months go, with their indices; the month of the day stays, and the alias.
func TestExpireDropsTheIndicesOfMonths(t *testing.T) {
	s, n, prefix := shared(t)
	var batch store.Batch
	for i, day := range []string{"2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2026-02-28"} {
		batch.Put = append(batch.Put, storetest.Event(t, i, func(e *sdk.Event) {
			e.Received, _ = sdk.ParseTime(day)
		}))
	}
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	months := func() string {
		var list []string
		for _, name := range n.indices(t.Context(), prefix) {
			if rest, ok := strings.CutPrefix(name, prefix+"-000001-events-"); ok {
				list = append(list, rest)
			}
		}
		return strings.Join(list, " ")
	}
	if got := months(); got != "2025.12 2026.01 2026.02 2026.03" {
		t.Fatalf("there are indices of %s", got)
	}
	for _, c := range []struct {
		before string
		want   uint64
		left   string
	}{
		{"2026-01-01T00:00:00Z", 1, "2026.01 2026.02 2026.03"},
		{"2026-02-28T23:00:00Z", 2, "2026.02 2026.03"},
		{"2026-02-28T23:00:00Z", 0, "2026.02 2026.03"},
		{"2027-01-15T00:00:00Z", 2, "2027.01"},
	} {
		before, _ := sdk.ParseTime(c.before)
		if n, err := s.Expire(t.Context(), before); err != nil || n != c.want || months() != c.left {
			t.Errorf("before %s: %d, %v, left are %s; want %d and %s", c.before, n, err, months(), c.want, c.left)
		}
	}
	wantEvents(t, s, 0, "")
	if _, err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 5, "")
}

// Indices that a crash, or a write that came late, left of other generations are not
// seen, and go when the store is opened. Those of other prefixes are left alone.
func TestLeftoversAreRemovedAtOpen(t *testing.T) {
	s, n, prefix := shared(t)
	other := open(t, elastic.Options{URLs: []string{n.url}, Prefix: prefix + "-000001-events"})
	if _, err := other.Apply(t.Context(), events(t, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), events(t, 0, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.must("POST", "/_bulk?refresh=true", `{"index":{"_index":"`+prefix+`-000001-events-2026.01","_id":"late","version":1,"version_type":"external"}}`+"\n{}\n")
	wantEvents(t, s, 0, "")
	reopened := open(t, elastic.Options{URLs: []string{n.url}, Prefix: prefix})
	wantEvents(t, reopened, 0, "")
	if list := n.indices(t.Context(), prefix+"-000001"); slices.ContainsFunc(list, func(name string) bool { return !strings.HasPrefix(name, prefix+"-000001-events-00") }) {
		t.Errorf("left are %v", list)
	}
	wantEvents(t, other, 3, "3")
	// All of its indices gone: they are made anew.
	for _, name := range n.indices(t.Context(), prefix+"-000002") {
		n.must("DELETE", "/"+name, "")
	}
	if _, err := s.Apply(t.Context(), events(t, 0, 5)); err != nil {
		wantUnavailable(t, "apply without indices", err, "anew")
		_, err = s.Apply(t.Context(), events(t, 0, 5))
		if err != nil {
			t.Fatal(err)
		}
	}
	wantEvents(t, s, 5, "5")
}

// Callers that wait at the same time share a refresh, which begins after they came.
func TestRefreshesAreShared(t *testing.T) {
	s, p := behind(t, elastic.Options{})
	f := &servers.Fault{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/_refresh") }, Do: servers.Late(300 * time.Millisecond)}
	p.Inject(f)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := s.Apply(t.Context(), events(t, 10*i, 10)); err != nil {
				t.Error(err)
			}
			if err := s.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			filter := storetest.Filter(t, store.Events, fmt.Sprintf("event.properties.total >= %d && event.properties.total < %d", 10*i, 10*i+10))
			if n, err := s.Count(t.Context(), store.Events, filter); err != nil || n != 10 {
				t.Errorf("after its refresh a caller sees %d, %v, want 10", n, err)
			}
		})
	}
	wg.Wait()
	if n := p.Hits(f); n > 15 {
		t.Errorf("20 callers made %d refreshes", n)
	}
}
