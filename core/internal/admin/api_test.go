package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/admin"
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/importer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/resources"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

const token = "secret-token"

// A rig is the API over a real bus, real resources and a real store.
type rig struct {
	t         *testing.T
	url       string
	bus       *bus.Bus
	store     *sqlite.Store
	api       *admin.API
	refused   atomic.Pointer[error] // why events are not accepted
	part      atomic.Pointer[client.Part]
	backfill  filling
	stores    fakeStores
	submitted int
	erasures  erasures
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	r := &rig{t: t}
	var err error
	if r.bus, err = bus.Open(ctx, bus.Options{Dir: dir, Durability: bus.DurabilityProcess, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.bus.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	registry, err := resources.Open(ctx, r.bus, config.Defaults(true), log)
	if err != nil {
		t.Fatal(err)
	}
	if r.store, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "store.db"), Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	imports := importer.New(importer.Options{
		Bus: r.bus, Set: registry.Current, Now: time.Now,
		Submit: func(_ context.Context, _ *config.Source, events []record.Event) ([]importer.Submission, error) {
			r.submitted += len(events)
			results := make([]importer.Submission, len(events))
			for i := range results {
				results[i].Status = record.StatusAccepted
			}
			return results, nil
		},
	})
	r.api = admin.New(admin.Options{
		Token: token, Resources: registry, Profiles: r.bus, Erasures: &r.erasures, Store: r.store, Backfills: &r.backfill, Imports: imports, Letters: r.bus, Plugins: &plugins{},
		Stores: &r.stores,
		Accepting: func() error {
			if err := r.refused.Load(); err != nil {
				return *err
			}
			return nil
		},
		Parts: func(context.Context) []client.Part {
			if p := r.part.Load(); p != nil {
				return []client.Part{{Name: "bus", State: "ok"}, *p}
			}
			return nil
		},
		Status:  func(context.Context) client.Status { return client.Status{Version: "test", Partitions: 2} },
		Metrics: []func(io.Writer){r.bus.Metrics},
		Log:     log,
	})
	server := httptest.NewServer(r.api.Handler())
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// call performs a request with the token and returns status, header and body.
func (r *rig) call(method, path, body string, header ...string) (int, http.Header, string) {
	r.t.Helper()
	request, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, response.Header, strings.TrimSpace(string(text))
}

// expect performs a request and holds the answer against what it should be.
func (r *rig) expect(method, path, body string, status int, answer string) {
	r.t.Helper()
	if got, _, text := r.call(method, path, body); got != status || text != answer {
		r.t.Errorf("%s %s gives %d\n%s\nwant %d\n%s", method, path, got, text, status, answer)
	}
}

// refuses performs a request that has to fail with a code and a message.
func (r *rig) refuses(method, path, body string, status int, code, message string) {
	r.t.Helper()
	got, _, text := r.call(method, path, body)
	if got != status || !strings.HasPrefix(text, `{"error":{"code":"`+code+`","message":"`) || !strings.Contains(text, message) {
		r.t.Errorf("%s %s %.80s gives %d %s, want %d %s …%s…", method, path, body, got, text, status, code, message)
	}
}

// profile puts a profile where the processor would.
func (r *rig) profile(id, user string) {
	r.t.Helper()
	ctx := context.Background()
	p := sdk.NewProfile(id, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
	p.Revision, p.Identities = 3, map[string][]string{"user": {user}}
	doc := record.Document{State: record.StateLive, C: 1, Profile: p}
	if _, err := r.bus.PutDocuments(ctx, []bus.DocumentPut{{Profile: id, Data: doc.AppendJSON(nil)}}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.bus.CreateIdentity(ctx, r.bus.IdentityKey("user", user), record.Identity{Profile: id}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) event(id, profile, eventTime string) {
	r.t.Helper()
	at, err := sdk.ParseTime(eventTime)
	if err != nil {
		r.t.Fatal(err)
	}
	e := sdk.Event{ID: id, Type: "order", Source: "dev", Profile: profile, Time: at, Received: at, Valid: true,
		Properties: sdk.NewObject(map[string]any{"n": id})}
	doc, err := store.NewDocument(store.Events, e.AppendJSON(nil))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.Apply(context.Background(), store.Batch{Put: []store.Document{doc}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestTokenIsWanted(t *testing.T) {
	r := newRig(t)
	for _, header := range []string{"", "Bearer wrong", "Bearer " + token + "x", "Basic " + token, token} {
		request, err := http.NewRequest(http.MethodGet, r.url+"/api/v1/source", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", header)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(string(text), `{"error":{"code":"unauthorized"`) {
			t.Errorf("Authorization %q gives %d %s", header, response.StatusCode, text)
		}
	}
	if !r.api.Admits(token) || r.api.Admits("") || r.api.Admits("wrong") {
		t.Error("Admits does not tell the token from others")
	}
}

func TestRoutes(t *testing.T) {
	r := newRig(t)
	r.refuses("GET", "/api/v1/nothing/at/all", "", 404, "not_found", "there is nothing at /api/v1/nothing/at/all")
	r.refuses("GET", "/api/v1/apply/x", "", 404, "not_found", "no kind of resource")
	r.refuses("DELETE", "/api/v1/apply", "", 405, "method_not_allowed", "allowed: ")
	r.refuses("GET", "/api/v1/segment", "", 404, "not_found", `no kind of resource \"segment\"; kinds: compliance, consent-type, event-type, flow, identification, import, merge-rule, redirect, source`)
}

func TestResources(t *testing.T) {
	r := newRig(t)
	const dev = `{"kind":"source","id":"dev","spec":{"keys":["dev"],"name":"Development","trusted":true},"revision":1}`
	r.expect("GET", "/api/v1/source", "", 200, `{"items":[`+dev+`]}`)
	r.expect("GET", "/api/v1/import", "", 200, `{"items":[]}`)
	r.expect("GET", "/api/v1/source/dev", "", 200, dev)
	r.refuses("GET", "/api/v1/source/shop", "", 404, "not_found", `there is no source \"shop\"`)

	r.expect("PUT", "/api/v1/source/shop", `{"spec":{"keys":["k"]}}`, 200,
		`{"revision":2,"differences":[{"kind":"source","id":"shop","action":"created"}]}`)
	r.expect("PUT", "/api/v1/source/shop", `{"kind":"source","id":"shop","spec":{"keys":["k"]}}`, 200,
		`{"revision":2,"differences":[{"kind":"source","id":"shop","action":"unchanged"}]}`)
	_, header, _ := r.call("GET", "/api/v1/source/shop", "")
	if header.Get("ETag") != `"2"` {
		t.Errorf("ETag %s, want \"2\"", header.Get("ETag"))
	}
	for _, test := range []struct {
		match  string
		status int
	}{{`"1"`, 412}, {`"0"`, 412}, {`x`, 400}, {`"2"`, 200}} {
		status, header, text := r.call("PUT", "/api/v1/source/shop", `{"spec":{"keys":["k2"]}}`, "If-Match", test.match)
		if status != test.status {
			t.Errorf("If-Match %s gives %d %s, want %d", test.match, status, text, test.status)
		}
		if status == 200 && header.Get("ETag") != `"3"` {
			t.Errorf("ETag %s after the change, want \"3\"", header.Get("ETag"))
		}
	}
	r.refuses("PUT", "/api/v1/source/shop", `{"id":"other","spec":{}}`, 400, "invalid", `id: is \"other\" in the body`)
	r.refuses("PUT", "/api/v1/source/shop", `{"spec":{"kys":["k"]}}`, 400, "invalid", "kys")
	r.refuses("PUT", "/api/v1/source/shop", `{"spec":{},"extra":1}`, 400, "invalid", "extra: no such field")
	r.refuses("PUT", "/api/v1/source/shop", `{"spec"`, 400, "malformed", "the body is not the JSON that is wanted")
	r.refuses("PUT", "/api/v1/source/shop", `[]`, 400, "malformed", "must be a JSON object")
	r.refuses("PUT", "/api/v1/source/shop", `{"spec":{"name":"`+strings.Repeat("x", 3<<20)+`"}}`, 413, "too_large", "")

	r.expect("DELETE", "/api/v1/source/shop", "", 200, `{"revision":4,"differences":[{"kind":"source","id":"shop","action":"deleted"}]}`)
	r.refuses("DELETE", "/api/v1/source/shop", "", 404, "not_found", `there is no source \"shop\"`)
}

// What is built in can be read, and listed where that is asked for. It is no
// resource: it has no revision, and cannot be deleted.
func TestWhatIsBuiltIn(t *testing.T) {
	r := newRig(t)
	r.expect("GET", "/api/v1/event-type", "", 200, `{"items":[]}`)
	r.expect("GET", "/api/v1/source?built-in=true", "", 200,
		`{"items":[{"kind":"source","id":"dev","spec":{"keys":["dev"],"name":"Development","trusted":true},"revision":1}]}`)
	r.refuses("GET", "/api/v1/event-type?built-in=1", "", 400, "invalid", "want true or false")
	status, header, text := r.call("GET", "/api/v1/event-type/basket-viewed", "")
	if status != 200 || header.Get("ETag") != `"0"` || !strings.HasPrefix(text, `{"kind":"event-type","id":"basket-viewed","spec":{`) || !strings.HasSuffix(text, `},"built_in":true}`) {
		t.Errorf("a built-in type is %d %s %s", status, header.Get("ETag"), text)
	}
	r.refuses("DELETE", "/api/v1/event-type/basket-viewed", "", 404, "not_found", `event-type \"basket-viewed\" is built in and cannot be deleted; a resource of that id replaces it`)
	listed := func() (text string) {
		_, _, text = r.call("GET", "/api/v1/event-type?built-in=true", "")
		return text
	}
	before := listed()
	if !strings.Contains(before, text) || strings.Index(before, `"id":"a`) > strings.Index(before, `"id":"basket-viewed"`) {
		t.Errorf("the list is %.2000s", before)
	}

	if status, _, text := r.call("PUT", "/api/v1/event-type/basket-viewed", `{"spec":{"tags":["mine"]},"built_in":true}`, "If-Match", `"0"`); status != 200 {
		t.Errorf("replacing gives %d %s", status, text)
	}
	const mine = `{"kind":"event-type","id":"basket-viewed","spec":{"tags":["mine"]},"revision":2}`
	r.expect("GET", "/api/v1/event-type/basket-viewed", "", 200, mine)
	r.expect("GET", "/api/v1/event-type", "", 200, `{"items":[`+mine+`]}`)
	if got := listed(); !strings.Contains(got, mine) || strings.Count(got, `"id":"basket-viewed"`) != 1 {
		t.Errorf("the list is %.2000s", got)
	}
	r.expect("DELETE", "/api/v1/event-type/basket-viewed", "", 200, `{"revision":3,"differences":[{"kind":"event-type","id":"basket-viewed","action":"deleted"}]}`)
	r.expect("GET", "/api/v1/event-type/basket-viewed", "", 200, text)
	if got := listed(); got != before {
		t.Errorf("the list is %.2000s", got)
	}
}

func TestApply(t *testing.T) {
	r := newRig(t)
	const two = `{"resources":[{"kind":"source","id":"a","spec":{"keys":["a"]}},{"kind":"source","id":"b","spec":{"keys":["b"]}}]}`
	const differences = `"differences":[{"kind":"source","id":"a","action":"created"},{"kind":"source","id":"b","action":"created"}]}`
	r.expect("POST", "/api/v1/apply?dry-run=true", two, 200, `{"revision":1,`+differences)
	r.refuses("GET", "/api/v1/source/a", "", 404, "not_found", "")
	r.expect("POST", "/api/v1/apply", two, 200, `{"revision":2,`+differences)
	// One wrong: none is applied, and all that is wrong is told.
	r.refuses("POST", "/api/v1/apply", `{"resources":[{"kind":"source","id":"c","spec":{"keys":["c"]}},{"kind":"source","id":"d","spec":{"keys":["a"]}}]}`,
		400, "invalid", `{"path":"source/d: spec.keys[0]","message":"is a write key of source a too`)
	r.refuses("GET", "/api/v1/source/c", "", 404, "not_found", "")
	r.refuses("POST", "/api/v1/apply", `{"resources":[]}`, 400, "invalid", "resources: is empty")
	r.refuses("POST", "/api/v1/apply?dry-run=maybe", two, 400, "invalid", "want true or false")
}

func TestProfiles(t *testing.T) {
	r := newRig(t)
	r.profile("p1", "17850")
	status, _, byID := r.call("GET", "/api/v1/profiles/p1", "")
	if status != 200 || !strings.HasPrefix(byID, `{"id":"p1"`) {
		t.Fatalf("profile gives %d %s", status, byID)
	}
	r.expect("GET", "/api/v1/profiles/user:17850", "", 200, byID)
	r.expect("GET", "/api/v1/profiles/user:%2017850", "", 200, byID) // as the gateway normalises it
	r.refuses("GET", "/api/v1/profiles/p2", "", 404, "not_found", `there is no profile \"p2\"; an identifier is written with its kind, such as user:p2`)
	r.refuses("GET", "/api/v1/profiles/0198c5a8-0000-8000-8000-000000000000", "", 404, "not_found", `there is no profile \"0198c5a8-0000-8000-8000-000000000000\""`)
	r.refuses("GET", "/api/v1/profiles/user:1", "", 404, "not_found", `there is no profile with user \"1\"`)
	r.refuses("GET", "/api/v1/profiles/card:1", "", 400, "invalid", `\"card\" is no kind of identifier`)

	for i := range 3 {
		r.event(fmt.Sprint("e", i), "p1", fmt.Sprintf("2026-01-0%d", i+1))
	}
	r.event("other", "p2", "2026-01-01")
	status, _, text := r.call("GET", "/api/v1/profiles/user:17850/events?limit=2", "")
	if status != 200 || strings.Count(text, `"profile":"p1"`) != 2 || strings.Index(text, `"e2"`) > strings.Index(text, `"e1"`) {
		t.Errorf("events give %d %s", status, text)
	}
	_, cursor, ok := strings.Cut(text, `"cursor":"`)
	if !ok {
		t.Fatalf("no cursor in %s", text)
	}
	status, _, text = r.call("GET", "/api/v1/profiles/p1/events?limit=2&cursor="+strings.TrimSuffix(cursor, `"}`), "")
	if status != 200 || !strings.Contains(text, `"e0"`) || strings.Contains(text, "cursor") {
		t.Errorf("the last page gives %d %s", status, text)
	}
	r.refuses("GET", "/api/v1/profiles/p1/events?limit=0", "", 400, "invalid", "want a whole number from 1")
	r.refuses("GET", "/api/v1/profiles/p1/events?max=1", "", 400, "invalid", "max: no such parameter")
}

func TestQueries(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.event(fmt.Sprint("e", i), "p1", fmt.Sprintf("2026-01-0%d", i+1))
	}
	r.expect("POST", "/api/v1/events/count", `{"filter":"event.properties.n == \"e3\""}`, 200, `{"count":1}`)
	r.expect("POST", "/api/v1/events/count", `{}`, 200, `{"count":5}`)
	r.expect("POST", "/api/v1/profiles/query", `{"filter":"profile.traits.x == 1","sort":"-updated","limit":10}`, 200, `{"items":[]}`)
	r.expect("POST", "/api/v1/sessions/query", `{}`, 200, `{"items":[]}`)
	status, _, text := r.call("POST", "/api/v1/events/query", `{"sort":"-time","limit":2}`)
	if status != 200 || !strings.Contains(text, `{"items":[{"id":"e4"`) || !strings.Contains(text, `"cursor":"`) {
		t.Errorf("query gives %d %s", status, text)
	}

	r.refuses("POST", "/api/v1/events/query", `{"filter":"event.foo == 1"}`, 400, "invalid", "filter: line 1, column")
	r.refuses("POST", "/api/v1/events/query", `{"filter":"event.type =="}`, 400, "invalid", "filter: line 1, column")
	r.refuses("POST", "/api/v1/profiles/query", `{"filter":"count(\"order\", \"7d\") > 3"}`, 422, "unsearchable", "window")
	r.refuses("POST", "/api/v1/events/query", `{"filtr":"true"}`, 400, "invalid", "filtr: no such field")
	r.refuses("POST", "/api/v1/events/count", `{"limit":1}`, 400, "invalid", "limit: no such field")
	r.refuses("POST", "/api/v1/profiles/query", `{"sort":"-stat.views"}`, 400, "invalid", `sort: profiles have no field \"stat\"; did you mean \"stats\"?`)
	r.refuses("POST", "/api/v1/events/query", `{"sort":"foo"}`, 400, "invalid", `sort: events have no field \"foo\"; want one of context, errors, id`)
	r.refuses("POST", "/api/v1/events/query", `{"sort":"a..b"}`, 400, "invalid", "sort: ")
	r.refuses("POST", "/api/v1/events/query", `{"limit":-1}`, 400, "invalid", "limit: is -1; want 1 to")
	r.refuses("POST", "/api/v1/events/query", `{"limit":"10"}`, 400, "invalid", "limit: a JSON string is not allowed here")
	r.refuses("POST", "/api/v1/events/query", `{"cursor":"rubbish"}`, 400, "invalid", "cursor")
	r.refuses("POST", "/api/v1/events/query", ``, 400, "malformed", "")

	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	status, header, text := r.call("POST", "/api/v1/events/query", `{}`)
	if status != 503 || header.Get("Retry-After") == "" || !strings.Contains(text, "the store is unavailable") {
		t.Errorf("without a store a query gives %d %v %s", status, header, text)
	}
}

func TestDeadLetters(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	for _, l := range []bus.DeadLetter{
		{Origin: "import", Reason: "bad row", Attempts: 1, Payload: []byte(`{"a":1}`), Details: map[string]any{"line": int64(3)}},
		{Origin: "indexer", Reason: "bad document", Attempts: 2, Payload: []byte("no JSON")},
	} {
		if err := r.bus.DeadLetter(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	arrived := make([]string, 2)
	for i := range arrived {
		l, err := r.bus.GetDeadLetter(ctx, uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		arrived[i] = sdk.FormatTime(l.Time)
	}
	first := `{"seq":1,"origin":"import","reason":"bad row","attempts":1,"time":"` + arrived[0] + `","details":{"line":3}`
	second := `{"seq":2,"origin":"indexer","reason":"bad document","attempts":2,"time":"` + arrived[1] + `"`
	r.expect("GET", "/api/v1/deadletters", "", 200, `{"items":[`+first+`},`+second+`}]}`)
	r.expect("GET", "/api/v1/deadletters?origin=import", "", 200, `{"items":[`+first+`}]}`)
	r.expect("GET", "/api/v1/deadletters?after=1&limit=1", "", 200, `{"items":[`+second+`}]}`)
	r.expect("GET", "/api/v1/deadletters/1", "", 200, first+`,"payload":{"a":1}}`)
	r.expect("GET", "/api/v1/deadletters/2", "", 200, second+`,"payload":"no JSON"}`)
	r.refuses("GET", "/api/v1/deadletters/9", "", 404, "not_found", "there is no dead letter 9")
	r.refuses("GET", "/api/v1/deadletters/x", "", 400, "invalid", "want the number of a dead letter")
	r.refuses("GET", "/api/v1/deadletters?since=1", "", 400, "invalid", "since: no such parameter")
	r.refuses("GET", "/api/v1/deadletters?limit=100000", "", 400, "invalid", "limit")
}

func TestImports(t *testing.T) {
	r := newRig(t)
	const hash = "3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed"
	r.refuses("GET", "/api/v1/import/orders/progress?file="+hash, "", 404, "not_found", `there is no import \"orders\"`)
	if status, _, text := r.call("PUT", "/api/v1/import/orders", `{"spec":{"source":"dev","event":{"type":"order","id":"row.n"}}}`); status != 200 {
		t.Fatalf("apply gives %d %s", status, text)
	}
	body := func(first int) string {
		return fmt.Sprintf(`{"file":%q,"name":"f.csv","first":%d,"rows":[{"line":2,"columns":{"n":"1"}},{"line":3,"error":"ragged","text":"x"}]}`, hash, first)
	}
	status, _, text := r.call("POST", "/api/v1/import/orders/rows?dry-run=true", body(1))
	if status != 200 || text != `{"rows":[{"line":2,"event":{"id":"1","type":"order"}},{"line":3,"error":"ragged"}]}` || r.submitted != 0 {
		t.Errorf("dry run gives %d %s, %d submitted", status, text, r.submitted)
	}
	status, _, text = r.call("POST", "/api/v1/import/orders/rows", body(1))
	if status != 200 || !strings.Contains(text, `"next":3,"accepted":1,"duplicates":0,"failed":1,"invalid":0,"finished":false`) || r.submitted != 1 {
		t.Errorf("rows give %d %s, %d submitted", status, text, r.submitted)
	}
	r.refuses("POST", "/api/v1/import/orders/rows", body(7), 409, "conflict", "want row 3")
	r.refuses("POST", "/api/v1/import/orders/rows", body(0), 400, "invalid", "rows are numbered from 1")
	r.refuses("GET", "/api/v1/import/orders/progress?file=x", "", 400, "invalid", "SHA-256")
	status, _, text = r.call("DELETE", "/api/v1/import/orders/progress?file="+hash, "")
	if status != 200 || !strings.Contains(text, `"next":1,`) {
		t.Errorf("restart gives %d %s", status, text)
	}
}

func TestReadiness(t *testing.T) {
	r := newRig(t)
	r.expect("GET", "/healthz", "", 200, `{"status":"ok"}`)
	r.expect("GET", "/readyz", "", 200, `{"status":"ok","parts":[]}`)
	r.part.Store(&client.Part{Name: "store", State: "down", Reason: "it is a directory"})
	const parts = `"parts":[{"name":"store","state":"down","reason":"it is a directory"}]}`
	r.expect("GET", "/readyz", "", 200, `{"status":"degraded",`+parts)
	full := errors.New("the ingest log is full")
	r.refused.Store(&full)
	r.expect("GET", "/readyz", "", 503, `{"status":"unavailable","reason":"the ingest log is full",`+parts)
	if _, header, _ := r.call("GET", "/readyz", ""); header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// Neither needs a token; metrics neither.
	response, err := http.Get(r.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), "tributary_") {
		t.Errorf("metrics give %d %.200s (%v)", response.StatusCode, text, err)
	}
}

func TestStatus(t *testing.T) {
	r := newRig(t)
	status, _, text := r.call("GET", "/api/v1/status", "")
	if status != 200 || !strings.HasPrefix(text, `{"version":"test","pid":0,`) || !strings.Contains(text, `"partitions":2`) {
		t.Errorf("status gives %d %s", status, text)
	}
}

func TestRebuildTellsItsProgress(t *testing.T) {
	r := newRig(t)
	r.stores.rebuild = func(_ context.Context, progress func(done, total uint64)) error {
		progress(0, 2)
		progress(1, 2)
		progress(2, 2)
		return nil
	}
	status, _, text := r.call("POST", "/api/v1/store/rebuild", "")
	lines := strings.Split(text, "\n")
	if status != 200 || lines[0] != `{"done":0,"total":2}` || lines[len(lines)-1] != `{"done":2,"total":2,"finished":true}` {
		t.Errorf("rebuild gives %d %s", status, text)
	}
	r.stores.rebuild = func(context.Context, func(done, total uint64)) error { return errors.New("disk full") }
	if _, _, text = r.call("POST", "/api/v1/store/rebuild", ""); text != `{"done":0,"total":0,"error":"disk full"}` {
		t.Errorf("a rebuild that fails gives %s", text)
	}
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	made, err := admin.Token(dir, "")
	if err != nil || len(made) < 32 {
		t.Fatalf("token %q (%v)", made, err)
	}
	info, err := os.Stat(filepath.Join(dir, admin.TokenFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	if kept, err := admin.Token(dir, ""); err != nil || kept != made {
		t.Errorf("the second start has token %q (%v), want %q", kept, err, made)
	}
	if given, err := admin.Token(dir, "given"); err != nil || given != "given" {
		t.Errorf("the given token is %q (%v)", given, err)
	}
	if kept, err := admin.ReadToken(dir); err != nil || kept != "given" {
		t.Errorf("the file holds %q (%v), want the given one", kept, err)
	}
	if _, err := admin.Token(dir, "two words"); err == nil {
		t.Error("a token that no header can carry is taken")
	}
}
