package servers

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Proxy stands before an HTTP server and does to those who ask it what
// networks and clusters do: it wants credentials, speaks TLS with an authority
// that nobody knows, is late, breaks off, and refuses. All can be changed while
// requests are on their way, and counts for those that come after. What it does
// not touch it passes on byte by byte.
type Proxy struct {
	URL string // https, or http where it was asked for; without a slash at its end
	CA  []byte // the certificate of its authority, PEM; none with http

	mu          sync.Mutex // of what follows
	credentials []string   // whole values of Authorization, one of which is wanted; empty: none is
	delay       time.Duration
	faults      []*Fault
}

// A Fault is what a proxy does to requests, until it was done Times often or
// is removed. The fields are not changed once it is injected.
type Fault struct {
	// Match says of a request whether it is meant; nil: every request. It must
	// not read the body.
	Match func(*http.Request) bool
	// Times is how many requests it is for; 0: all.
	Times int
	// Do is what is done.
	Do Effect

	hits int // under the proxy's lock
}

// An Effect is what happens to a request: [Answer], [CutRequest], [CutResponse]
// or [Late].
type Effect struct {
	answer      *answered
	cutRequest  *cut
	cutResponse *cut
	late        time.Duration
}

type answered struct {
	status int
	header http.Header
	body   string
}

type cut struct{ after int64 }

// Answer answers with a status, further headers and a body, in place of the
// server. Without a body it is an error as Elasticsearch tells it.
func Answer(status int, header http.Header, body string) Effect {
	if body == "" {
		body = elasticError(status, "test_exception", http.StatusText(status))
	}
	return Effect{answer: &answered{status: status, header: header, body: body}}
}

// CutRequest closes both connections once so many bytes of the request's body
// were passed on; the server never has the whole of it. A shorter body goes
// through; after 0 the server is not asked at all.
func CutRequest(after int64) Effect { return Effect{cutRequest: &cut{after}} }

// CutResponse closes the connection once so many bytes of the response's body
// were passed on; the server has done what it was asked. After 0 not even the
// status arrives. A shorter body goes through.
func CutResponse(after int64) Effect { return Effect{cutResponse: &cut{after}} }

// Late waits before the request is passed on, beside the proxy's own latency.
func Late(by time.Duration) Effect { return Effect{late: by} }

// NewProxy starts a proxy with TLS before the server at a URL. It ends with the test.
func NewProxy(t testing.TB, server string) *Proxy { return newProxy(t, server, true) }

// NewPlainProxy starts a proxy without TLS.
func NewPlainProxy(t testing.TB, server string) *Proxy { return newProxy(t, server, false) }

func newProxy(t testing.TB, server string, secure bool) *Proxy {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatalf("proxy before %s: %v", server, err)
	}
	p := &Proxy{}
	transport := &http.Transport{DisableCompression: true}
	passing := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization") // the proxy's own
		},
		FlushInterval:  -1, // what has come goes on, also before a cut
		Transport:      transport,
		ModifyResponse: cutResponse,
		ErrorHandler:   unreachable,
		ErrorLog:       log.New(io.Discard, "", 0), // cuts are meant
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(passing, w, r) }))
	front.Config.ErrorLog = passing.ErrorLog
	if secure {
		certificate, authority, err := certify()
		if err != nil {
			t.Fatalf("certificate of a proxy: %v", err)
		}
		p.CA = authority
		front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		front.StartTLS()
	} else {
		front.Start()
	}
	p.URL = front.URL
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		transport.CloseIdleConnections()
	})
	return p
}

// Basic has requests need a user and a password, or what else was named so.
func (p *Proxy) Basic(user, password string) {
	p.admit("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// APIKey has requests need a key, or what else was named so. It returns the
// encoded form, which clients are given.
func (p *Proxy) APIKey(id, secret string) (encoded string) {
	encoded = base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
	p.admit("ApiKey " + encoded)
	return encoded
}

// Revoke forgets all credentials and keeps asking for some: nobody gets in
// until Basic or APIKey names new ones.
func (p *Proxy) Revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials = []string{""}
}

// Latency has each request wait before it is passed on.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Inject adds a fault. The first that matches a request and is not used up is
// what happens to it.
func (p *Proxy) Inject(f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
}

// Remove takes a fault away.
func (p *Proxy) Remove(f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(other *Fault) bool { return other == f })
}

// Hits is how many requests a fault was done to.
func (p *Proxy) Hits(f *Fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.hits
}

func (p *Proxy) admit(authorization string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials = append(p.credentials, authorization)
}

// decide is what happens to a request, by what was set when it came.
func (p *Proxy) decide(r *http.Request) (admitted bool, delay time.Duration, do Effect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if given := r.Header.Get("Authorization"); len(p.credentials) > 0 && (given == "" || !slices.Contains(p.credentials, given)) {
		return false, p.delay, Effect{}
	}
	for _, f := range p.faults {
		if (f.Times == 0 || f.hits < f.Times) && (f.Match == nil || f.Match(r)) {
			f.hits++
			return true, p.delay + f.Do.late, f.Do
		}
	}
	return true, p.delay, Effect{}
}

func (p *Proxy) serve(passing http.Handler, w http.ResponseWriter, r *http.Request) {
	admitted, delay, do := p.decide(r)
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case !admitted:
		challenge := http.Header{"Www-Authenticate": {`Basic realm="security" charset="UTF-8"`, "ApiKey"}}
		reason := fmt.Sprintf("unable to authenticate for REST request [%s]", r.URL.RequestURI())
		(&answered{http.StatusUnauthorized, challenge, elasticError(http.StatusUnauthorized, "security_exception", reason)}).write(w)
		return
	case do.answer != nil:
		_, _ = io.Copy(io.Discard, r.Body) // a server reads it all before it refuses
		do.answer.write(w)
		return
	case do.cutRequest != nil && do.cutRequest.after == 0:
		panic(http.ErrAbortHandler)
	case do.cutRequest != nil:
		r.Body = &cutReader{ReadCloser: r.Body, left: do.cutRequest.after}
	case do.cutResponse != nil:
		r = r.WithContext(context.WithValue(r.Context(), cut{}, do.cutResponse.after))
	}
	passing.ServeHTTP(w, r)
}

func (a *answered) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	for name, values := range a.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// elasticError is an error in the form in which Elasticsearch tells it.
func elasticError(status int, kind, reason string) string {
	cause := map[string]any{"type": kind, "reason": reason}
	body, err := json.Marshal(map[string]any{
		"error":  map[string]any{"root_cause": []any{cause}, "type": kind, "reason": reason},
		"status": status,
	})
	if err != nil {
		panic(err) // texts and a number
	}
	return string(body)
}

var errCut = errors.New("cut by the test")

// cutResponse puts the end that a fault wants on a response.
func cutResponse(r *http.Response) error {
	after, cutting := r.Request.Context().Value(cut{}).(int64)
	switch {
	case !cutting:
	case after == 0:
		return errCut
	default:
		r.Body = &cutReader{ReadCloser: r.Body, left: after}
	}
	return nil
}

// unreachable is what happens where the server gave no answer: what was cut
// ends without one, and a server that is away is as away as without a proxy.
func unreachable(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }

// A cutReader fails where more than so many bytes are there.
type cutReader struct {
	io.ReadCloser
	left int64
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		if n, err := io.ReadFull(c.ReadCloser, make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errCut
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
