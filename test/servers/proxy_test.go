package servers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A behind is a server that tells of each request how much of its body came,
// and answers with 1,000 bytes: at /chunked without saying so first; at /empty
// with none.
type behind struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		b.mu.Lock()
		b.asked = append(b.asked, fmt.Sprintf("%s %s %d bytes, whole %t, %q %q", r.Method, r.URL.RequestURI(), len(body), err == nil, r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding")))
		b.mu.Unlock()
		w.Header().Set("X-Behind", "yes")
		switch r.URL.Path {
		case "/empty":
		case "/chunked":
			w.(http.Flusher).Flush()
			fallthrough
		default:
			fmt.Fprint(w, strings.Repeat("x", 1000))
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// saw is what the server was asked since the last look.
func (b *behind) saw() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.asked = nil }()
	return b.asked
}

// An asker sends requests through a proxy, on a connection for each: a
// transport that sends a request again when an idle one broke would hide a cut.
type asker struct {
	t    *testing.T
	http *http.Client
	url  string
	auth string
}

func ask(t *testing.T, p *Proxy) *asker {
	t.Helper()
	pool := x509.NewCertPool()
	if p.CA != nil && !pool.AppendCertsFromPEM(p.CA) {
		t.Fatalf("not PEM: %s", p.CA)
	}
	return &asker{t: t, url: p.URL, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}}
}

func (a *asker) post(path, body string) (status int, header http.Header, got string, err error) {
	a.t.Helper()
	return a.send(path, strings.NewReader(body))
}

// send posts a body; of a length that is not told where it is no [strings.Reader].
func (a *asker) send(path string, body io.Reader) (status int, header http.Header, got string, err error) {
	a.t.Helper()
	request, err := http.NewRequest(http.MethodPost, a.url+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.auth != "" {
		request.Header.Set("Authorization", a.auth)
	}
	answer, err := a.http.Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(text), err
}

// An endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'b'
	}
	return len(p), nil
}

// through holds that a request came through as it was.
func (a *asker) through() {
	a.t.Helper()
	status, header, got, err := a.post("/index/_bulk?refresh=true", "body")
	if err != nil || status != http.StatusOK || len(got) != 1000 || header.Get("X-Behind") != "yes" {
		a.t.Errorf("not passed on: %d %v, %d bytes, %v", status, header, len(got), err)
	}
}

func TestAProxyPassesOnWhatItIsAsked(t *testing.T) {
	b := newBehind(t)
	for name, p := range map[string]*Proxy{"https": NewProxy(t, b.URL), "http": NewPlainProxy(t, b.URL)} {
		if !strings.HasPrefix(p.URL, name+"://127.0.0.1:") {
			t.Errorf("%s proxy at %s", name, p.URL)
		}
		ask(t, p).through()
		if saw := fmt.Sprint(b.saw()); saw != `[POST /index/_bulk?refresh=true 4 bytes, whole true, "" ""]` {
			t.Errorf("%s: the server saw %s", name, saw)
		}
	}
}

func TestAProxyIsSignedByAnAuthorityOfItsOwn(t *testing.T) {
	b := newBehind(t)
	one, other := NewProxy(t, b.URL), NewProxy(t, b.URL)
	one.CA = other.CA
	if _, _, _, err := ask(t, one).post("/", ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with the authority of another: %v", err)
	}
	if saw := b.saw(); len(saw) > 0 {
		t.Errorf("it was asked all the same: %q", saw)
	}
}

func TestAProxyWantsCredentials(t *testing.T) {
	b := newBehind(t)
	p := NewProxy(t, b.URL)
	a := ask(t, p)
	refused := func(what, auth string) {
		t.Helper()
		a.auth = auth
		status, header, got, err := a.post("/x", "body")
		if err != nil || status != http.StatusUnauthorized || len(header.Values("WWW-Authenticate")) != 2 ||
			header.Get("X-Elastic-Product") != "Elasticsearch" || !strings.Contains(got, `"type":"security_exception"`) {
			t.Errorf("%s: %d %v %s, %v", what, status, header, got, err)
		}
		if saw := b.saw(); len(saw) > 0 {
			t.Errorf("%s: the server was asked: %q", what, saw)
		}
	}
	admitted := func(auth string) {
		t.Helper()
		a.auth = auth
		a.through()
		if saw := fmt.Sprint(b.saw()); !strings.HasSuffix(saw, `, "" ""]`) {
			t.Errorf("the server is given the proxy's credentials: %s", saw)
		}
	}
	admitted("")
	p.Basic("elastic", "secret")
	refused("without", "")
	refused("wrong password", "Basic ZWxhc3RpYzp3cm9uZw==")
	refused("wrong scheme", "Bearer ZWxhc3RpYzpzZWNyZXQ=")
	admitted("Basic ZWxhc3RpYzpzZWNyZXQ=")
	key := p.APIKey("id", "key")
	if key != "aWQ6a2V5" {
		t.Errorf("encoded key %s", key)
	}
	admitted("ApiKey " + key)
	admitted("Basic ZWxhc3RpYzpzZWNyZXQ=")
	p.Revoke()
	refused("revoked", "ApiKey "+key)
	refused("revoked, without", "")
	p.APIKey("id", "new")
	refused("the key before", "ApiKey "+key)
	admitted("ApiKey aWQ6bmV3")
}

func TestAProxyIsLate(t *testing.T) {
	p := NewProxy(t, newBehind(t).URL)
	a := ask(t, p)
	took := func() time.Duration {
		t.Helper()
		start := time.Now()
		a.through()
		return time.Since(start)
	}
	p.Latency(150 * time.Millisecond)
	if d := took(); d < 150*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	p.Inject(&Fault{Times: 1, Do: Late(150 * time.Millisecond)})
	if d := took(); d < 300*time.Millisecond {
		t.Errorf("later once: answered after %v", d)
	}
	p.Latency(0)
	start := time.Now()
	p.Inject(&Fault{Times: 1, Do: Late(time.Hour)})
	a.http.Timeout = 100 * time.Millisecond
	if _, _, _, err := a.post("/", ""); err == nil || time.Since(start) > time.Minute {
		t.Errorf("a client that gives up: %v after %v", err, time.Since(start))
	}
}

func TestAProxyAnswersInPlaceOfTheServer(t *testing.T) {
	b := newBehind(t)
	p := NewProxy(t, b.URL)
	a := ask(t, p)
	bulks := &Fault{
		Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/_bulk") },
		Times: 2,
		Do:    Answer(http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, ""),
	}
	p.Inject(bulks)
	all := &Fault{Do: Answer(http.StatusServiceUnavailable, nil, `{"own":"body"}`)}
	p.Inject(all)
	for i, want := range []struct {
		path   string
		status int
		body   string
	}{
		{"/_bulk", 429, `{"error":{"reason":"Too Many Requests","root_cause":[{"reason":"Too Many Requests","type":"test_exception"}],"type":"test_exception"},"status":429}`},
		{"/_search", 503, `{"own":"body"}`},
		{"/i/_bulk", 429, ""},
		{"/_bulk", 503, ""}, // the first fault is used up
	} {
		// More than any buffer on the way holds: it is read, as a server does.
		body := &io.LimitedReader{R: endless{}, N: 32 << 20}
		status, header, got, err := a.send(want.path, body)
		if err != nil || body.N != 0 || status != want.status || want.body != "" && got != want.body || (header.Get("Retry-After") == "1") != (want.status == 429) {
			t.Errorf("%d: %s: %d %v %s, %v, %d bytes of the body not read", i, want.path, status, header, got, err, body.N)
		}
	}
	if p.Hits(bulks) != 2 || p.Hits(all) != 2 {
		t.Errorf("done to %d and %d", p.Hits(bulks), p.Hits(all))
	}
	if saw := b.saw(); len(saw) > 0 {
		t.Errorf("the server was asked: %q", saw)
	}
	p.Remove(all)
	a.through()
}

func TestAProxyCutsRequests(t *testing.T) {
	for after, want := range map[int64]string{0: "[]", 1: "1 bytes, whole false", 5000: "5000 bytes, whole false"} {
		b := newBehind(t)
		p := NewProxy(t, b.URL)
		a := ask(t, p)
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat("b", 10000)), io.LimitReader(endless{}, 10000)} {
			p.Inject(&Fault{Times: 1, Do: CutRequest(after)})
			if status, _, got, err := a.send("/_bulk", body); err == nil {
				t.Errorf("after %d of %T: %d %s", after, body, status, got)
			}
			deadline := time.Now().Add(10 * time.Second)
			saw := fmt.Sprint(b.saw())
			for after > 0 && saw == "[]" && time.Now().Before(deadline) { // its handler still reads
				time.Sleep(time.Millisecond)
				saw = fmt.Sprint(b.saw())
			}
			if !strings.Contains(saw, want) {
				t.Errorf("after %d of %T: the server saw %s, want %s", after, body, saw, want)
			}
		}
		a.through()
		p.Inject(&Fault{Times: 1, Do: CutRequest(4)})
		a.through() // its body is not longer
	}
}

func TestAProxyCutsResponses(t *testing.T) {
	b := newBehind(t)
	p := NewProxy(t, b.URL)
	a := ask(t, p)
	for path, cuts := range map[string][]int64{"/_bulk": {0, 1, 999}, "/chunked": {0, 1, 999}, "/empty": {0}} {
		for _, after := range cuts {
			p.Inject(&Fault{Times: 1, Do: CutResponse(after)})
			status, _, got, err := a.post(path, strings.Repeat("b", 10000))
			if err == nil || int64(len(got)) != after || (status == http.StatusOK) != (after > 0) {
				t.Errorf("%s after %d: %d %s, %v", path, after, status, got, err)
			}
			if saw := fmt.Sprint(b.saw()); !strings.Contains(saw, "10000 bytes, whole true") {
				t.Errorf("%s after %d: the server saw %s", path, after, saw)
			}
			a.through()
			b.saw()
		}
	}
	p.Inject(&Fault{Times: 1, Do: CutResponse(1000)})
	a.through()
}

func TestAProxyBeforeAServerThatIsAwayGivesNoAnswer(t *testing.T) {
	b := newBehind(t)
	p := NewProxy(t, b.URL)
	b.Close()
	if status, _, got, err := ask(t, p).post("/", ""); err == nil {
		t.Errorf("%d %s", status, got)
	}
}

// All of it is set while requests come in, and none is done to more than it
// was meant for.
func TestAProxyIsChangedWhileItIsAsked(t *testing.T) {
	p := NewProxy(t, newBehind(t).URL)
	const times = 20
	refuse := &Fault{Times: times, Do: Answer(http.StatusTooManyRequests, nil, "")}
	var refused atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		a := ask(t, p)
		all.Go(func() {
			for range 25 {
				status, _, _, err := a.post("/", "body")
				if status == http.StatusTooManyRequests {
					refused.Add(1)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	p.Inject(refuse)
	for range 100 {
		p.Latency(time.Millisecond)
		p.Latency(0)
		late := &Fault{Do: Late(time.Millisecond)}
		p.Inject(late)
		p.Remove(late)
	}
	all.Wait()
	if int(refused.Load()) != times || p.Hits(refuse) != times {
		t.Errorf("refused %d, counted %d, want %d", refused.Load(), p.Hits(refuse), times)
	}
}
