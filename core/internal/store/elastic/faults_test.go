package elastic_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/elastic"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/test/servers"
)

func asking(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path) }
}

// behind opens a store through a proxy.
func behind(t *testing.T, o elastic.Options) (*elastic.Store, *servers.Proxy) {
	t.Helper()
	p := servers.NewPlainProxy(t, servers.SharedElasticsearch(t))
	o.URLs = []string{p.URL}
	return open(t, o), p
}

func events(t *testing.T, from, n int) store.Batch {
	b := store.Batch{Position: []byte(fmt.Sprint(from + n))}
	for i := range n {
		b.Put = append(b.Put, storetest.Event(t, from+i, nil))
	}
	return b
}

// wantEvents counts them, and reads the position.
func wantEvents(t *testing.T, s *elastic.Store, want uint64, position string) {
	t.Helper()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(t.Context(), store.Events, nil); err != nil || n != want {
		t.Errorf("%d events, %v, want %d", n, err, want)
	}
	if p, err := s.Position(t.Context()); err != nil || string(p) != position {
		t.Errorf("position %q, %v, want %q", p, err, position)
	}
}

func wantUnavailable(t *testing.T, what string, err error, text string) {
	t.Helper()
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want ErrUnavailable with %q", what, err, text)
	}
}

// A batch that did not arrive whole, or of which nothing is known, is applied again: no
// event is lost or twice, and the position never comes before the events.
func TestABatchIsAppliedAgainAfterAnyFault(t *testing.T) {
	s, p := behind(t, elastic.Options{Timeout: 20 * time.Second})
	at := 0
	for _, c := range []struct {
		name string
		path string
		do   servers.Effect
		text string
	}{
		{"too many requests", "/_bulk", servers.Answer(http.StatusTooManyRequests, nil, ""), "429"},
		{"cut in the middle of the bulk", "/_bulk", servers.CutRequest(100_000), "ask Elasticsearch"},
		{"done, and the answer cut", "/_bulk", servers.CutResponse(10), "ask Elasticsearch"},
		{"a gateway's error", "/_bulk", servers.Answer(http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, "<html>"), "502"},
		{"half a list of items", "/_bulk", servers.Answer(http.StatusOK, nil, `{"items":[]}`), "0 documents of"},
		{"an unavailable shard", "/_bulk", servers.Answer(http.StatusOK, nil, itemsOf(500, http.StatusServiceUnavailable, "unavailable_shards_exception")), "unavailable_shards"},
		{"the position is refused", "/_doc/position", servers.Answer(http.StatusServiceUnavailable, nil, ""), "503"},
	} {
		f := &servers.Fault{Match: asking(c.path), Do: c.do}
		p.Inject(f)
		b := events(t, at, 500)
		_, err := s.Apply(t.Context(), b)
		wantUnavailable(t, c.name, err, c.text)
		if got, err := s.Position(t.Context()); err != nil || string(got) != position(at) {
			t.Errorf("%s: the position is %q, %v: ahead of the events", c.name, got, err)
		}
		p.Remove(f)
		if _, err := s.Apply(t.Context(), b); err != nil {
			t.Errorf("%s: again: %v", c.name, err)
		}
		at += 500
		wantEvents(t, s, uint64(at), position(at))
	}
}

func position(at int) string {
	if at == 0 {
		return ""
	}
	return fmt.Sprint(at)
}

func itemsOf(n, status int, kind string) string {
	item := fmt.Sprintf(`{"index":{"status":%d,"error":{"type":%q,"reason":"by the test"}}}`, status, kind)
	return `{"items":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}`
}

// Items for which there was no room are sent again, within the same call.
func TestItemsWithoutRoomAreSentAgain(t *testing.T) {
	s, p := behind(t, elastic.Options{})
	f := &servers.Fault{Match: asking("/_bulk"), Times: 2, Do: servers.Answer(http.StatusOK, nil, itemsOf(50, http.StatusTooManyRequests, "es_rejected_execution_exception"))}
	p.Inject(f)
	if _, err := s.Apply(t.Context(), events(t, 0, 50)); err != nil {
		t.Fatal(err)
	}
	if n := p.Hits(f); n != 2 {
		t.Errorf("%d refusals, want 2", n)
	}
	wantEvents(t, s, 50, "50")
}

// A node that takes small requests only gets small ones.
func TestWhatIsTooLargeAtOnceIsSentInParts(t *testing.T) {
	s, p := behind(t, elastic.Options{})
	p.Inject(&servers.Fault{
		Match: func(r *http.Request) bool { return asking("/_bulk")(r) && r.ContentLength > 20_000 },
		Do:    servers.Answer(http.StatusRequestEntityTooLarge, nil, ""),
	})
	batch := events(t, 0, 200)
	batch.Put = append(batch.Put, storetest.Event(t, 999, func(e *sdk.Event) {
		e.Properties = sdk.NewObject(map[string]any{"text": strings.Repeat("x", 30_000)})
	}))
	refused, err := s.Apply(t.Context(), batch)
	if err != nil || len(refused) != 1 || !strings.Contains(refused[0].Reason, "more than the nodes take") {
		t.Errorf("refused %d, %v, want the one that is too large by itself", len(refused), err)
	}
	wantEvents(t, s, 200, "200")
}

// Of two nodes one is away, and nobody notices.
func TestOneOfTwoNodesIsAway(t *testing.T) {
	url := servers.SharedElasticsearch(t)
	away := servers.NewPlainProxy(t, url)
	away.Inject(&servers.Fault{Do: servers.CutRequest(0)})
	s := open(t, elastic.Options{URLs: []string{away.URL, url}})
	for i := range 5 {
		if _, err := s.Apply(t.Context(), events(t, 10*i, 10)); err != nil {
			t.Error(err)
		}
	}
	wantEvents(t, s, 50, "50")
}

func TestALateAnswerIsNotWaitedFor(t *testing.T) {
	s, p := behind(t, elastic.Options{Timeout: time.Second})
	f := &servers.Fault{Do: servers.Late(5 * time.Second)}
	p.Inject(f)
	began := time.Now()
	_, err := s.Count(t.Context(), store.Events, nil)
	wantUnavailable(t, "count", err, "within 1s")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	p.Remove(f)
	if _, err := s.Apply(t.Context(), events(t, 0, 5)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 5, "5")
}

// A store that is opened while nobody answers works once somebody does.
func TestAStoreIsOpenedWhileNobodyAnswers(t *testing.T) {
	p := servers.NewPlainProxy(t, servers.SharedElasticsearch(t))
	away := &servers.Fault{Do: servers.CutRequest(0)}
	p.Inject(away)
	s, err := opened(t, elastic.Options{URLs: []string{p.URL}})
	if s == nil {
		t.Fatal(err)
	}
	wantUnavailable(t, "open", err, "open store in Elasticsearch")
	wantUnavailable(t, "health", s.Health(t.Context()), "health")
	_, err = s.Apply(t.Context(), events(t, 0, 5))
	wantUnavailable(t, "apply", err, "apply")
	p.Remove(away)
	if _, err := s.Apply(t.Context(), events(t, 0, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(t.Context()); err != nil {
		t.Error(err)
	}
	wantEvents(t, s, 5, "5")
}

// Nodes of another version, and servers that are none, are told of.
func TestOtherVersionsAreRefused(t *testing.T) {
	p := servers.NewPlainProxy(t, servers.SharedElasticsearch(t))
	p.Inject(&servers.Fault{Match: asking("/_nodes"), Do: servers.Answer(http.StatusOK, nil, `{"nodes":{"a":{"name":"es-1","version":"8.19.0"},"b":{"name":"es-2","version":"7.17.4"}}}`)})
	s, err := opened(t, elastic.Options{URLs: []string{p.URL}})
	if s != nil || err == nil || !strings.Contains(err.Error(), "es-2 has version 7.17.4, want 8.x") {
		t.Errorf("version 7: %v", err)
	}
	other := servers.NewPlainProxy(t, servers.SharedElasticsearch(t))
	other.Inject(&servers.Fault{Do: servers.Answer(http.StatusOK, http.Header{"X-Elastic-Product": nil}, `{"nodes":{"a":{"version":"8.0.0"}}}`)})
	if _, err := opened(t, elastic.Options{URLs: []string{other.URL}}); err == nil || !strings.Contains(err.Error(), "not Elasticsearch") {
		t.Errorf("another product: %v", err)
	}
}

func TestOptionsThatAreWrongAreRefused(t *testing.T) {
	for what, o := range map[string]elastic.Options{
		"no URL":           {Prefix: "a"},
		"no URL at all":    {Prefix: "a", URLs: []string{"es:9200"}},
		"a hidden secret":  {Prefix: "a", URLs: []string{"http://me:hidden@es:port"}},
		"prefix":           {Prefix: "Upper", URLs: []string{"http://es"}},
		"wildcard":         {Prefix: "a*", URLs: []string{"http://es"}},
		"authority":        {Prefix: "a", URLs: []string{"https://es"}, CACert: "-----BEGIN CERTIFICATE-----"},
		"authority's file": {Prefix: "a", URLs: []string{"https://es"}, CACert: "/nowhere"},
		"two ways":         {Prefix: "a", URLs: []string{"https://es"}, Username: "me", APIKey: "key"},
		"shards":           {Prefix: "a", URLs: []string{"https://es"}, Shards: -1},
	} {
		s, err := elastic.Open(t.Context(), o)
		if s != nil || err == nil || errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The certificate must be of an authority that is named, in a text or a file; credentials
// are sent in each way, and never told.
func TestTLSAndCredentials(t *testing.T) {
	p := servers.NewProxy(t, servers.SharedElasticsearch(t))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, p.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := opened(t, elastic.Options{URLs: []string{p.URL}})
	wantUnavailable(t, "an unknown authority", err, "certificate")
	open(t, elastic.Options{URLs: []string{p.URL}, CACert: file})
	const secret = "hush-hush"
	key := p.APIKey("bus", secret)
	p.Basic("bus", secret)
	ca := string(p.CA)
	for what, o := range map[string]elastic.Options{
		"password":    {Username: "bus", Password: secret},
		"API key":     {APIKey: key},
		"in the URL":  {URLs: []string{strings.Replace(p.URL, "https://", "https://bus:"+secret+"@", 1)}},
		"compression": {APIKey: key, Compression: true},
	} {
		t.Run(what, func(t *testing.T) {
			if o.URLs == nil {
				o.URLs = []string{p.URL}
			}
			o.CACert = ca
			s := open(t, o)
			if _, err := s.Apply(t.Context(), events(t, 0, 100)); err != nil {
				t.Fatal(err)
			}
			wantEvents(t, s, 100, "100")
		})
	}
	for what, o := range map[string]elastic.Options{
		"none":     {},
		"password": {Username: "bus", Password: secret + "x"},
		"API key":  {APIKey: key + secret},
		"URL":      {URLs: []string{strings.Replace(p.URL, "https://", "https://bus:x"+secret+"@", 1)}},
	} {
		if o.URLs == nil {
			o.URLs = []string{p.URL}
		}
		o.CACert = ca
		s, err := opened(t, o)
		wantUnavailable(t, "wrong "+what, err, "does not take these credentials")
		if s == nil {
			continue
		}
		if text := fmt.Sprint(err, s.Health(t.Context())); strings.Contains(text, secret) || strings.Contains(text, key) {
			t.Errorf("wrong %s: the error tells the secret: %s", what, text)
		}
	}
	// The right ones are good again once they are taken.
	s := open(t, elastic.Options{URLs: []string{p.URL}, CACert: ca, APIKey: key})
	p.Revoke()
	p.Basic("another", "x")
	_, err = s.Count(t.Context(), store.Events, nil)
	wantUnavailable(t, "revoked", err, "credentials")
	p.APIKey("bus", secret)
	wantEvents(t, s, 0, "")
}

// A part of an answer is none.
func TestPartsOfAnswersAreNotGiven(t *testing.T) {
	prefix := newPrefix(t)
	s, p := behind(t, elastic.Options{Prefix: prefix})
	if _, err := s.Apply(t.Context(), events(t, 0, 5)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, s, 5, "5")
	for what, body := range map[string]string{
		"timed out":    `{"timed_out":true,"_shards":{"total":2,"failed":0},"hits":{"total":{"value":1},"hits":[]}}`,
		"a shard less": `{"timed_out":false,"_shards":{"total":2,"failed":1},"hits":{"total":{"value":1},"hits":[]}}`,
	} {
		f := &servers.Fault{Match: asking("/_search"), Do: servers.Answer(http.StatusOK, nil, body)}
		p.Inject(f)
		_, err := s.Count(t.Context(), store.Events, nil)
		wantUnavailable(t, what+": count", err, "")
		_, err = s.Query(t.Context(), store.Query{Kind: store.Events})
		wantUnavailable(t, what+": query", err, "")
		err = s.Scan(t.Context(), store.Events, nil, func(store.Document) error { return nil })
		wantUnavailable(t, what+": scan", err, "")
		p.Remove(f)
	}
	// With a shard that no node has, the node itself refuses.
	n := node{t, servers.SharedElasticsearch(t)}
	n.must("PUT", "/"+prefix+"-000001-events-2020.01?wait_for_active_shards=0", `{"aliases":{"`+prefix+`-events":{}},"settings":{"index.routing.allocation.require._name":"nobody"}}`)
	wantUnavailable(t, "health", s.Health(t.Context()), "red")
	_, err := s.Count(t.Context(), store.Events, nil)
	wantUnavailable(t, "count with a missing shard", err, "")
	if d, err := s.Get(t.Context(), store.Profiles, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what is elsewhere: %v, %v", d.ID, err)
	}
}
