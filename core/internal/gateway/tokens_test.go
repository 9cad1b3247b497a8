package gateway

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tributary-bus/tributary/core/internal/access"
)

// A keyPair signs tokens; its public key has a name in a set of keys.
type keyPair struct {
	algorithm jose.SignatureAlgorithm
	signer    crypto.Signer
	name      string
}

func newPair(t *testing.T, algorithm jose.SignatureAlgorithm, name string) keyPair {
	t.Helper()
	k := keyPair{algorithm: algorithm, name: name}
	var err error
	if algorithm == jose.RS256 {
		k.signer, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		_, k.signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k keyPair) pem(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (k keyPair) token(t *testing.T, after time.Duration, channels ...string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: k.signer}, (&jose.SignerOptions{}).WithHeader("kid", k.name))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{"sub": "ann", "exp": time.Now().Add(after).Unix(), "channels": channels}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// An issuer publishes the keys that it signs with.
type issuer struct {
	*httptest.Server
	keys atomic.Pointer[jose.JSONWebKeySet] // nil: it is down
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		keys := i.keys.Load()
		if keys == nil {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(keys)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(keys ...keyPair) {
	set := &jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.signer.Public(), KeyID: k.name, Use: "sig"})
	}
	i.keys.Store(set)
}

// opens tries a token at both doors: it opens its channel, and no other one.
func opens(t *testing.T, f *fixture, token, channel, other string) *client {
	t.Helper()
	c := f.dial(t, "?token="+token)
	c.send(`{"id":1,"subscribe":{"channel":"`+channel+`"}}`, `{"id":2,"subscribe":{"channel":"`+other+`"}}`)
	if line := c.line(); !strings.HasPrefix(line, `{"id":1,"subscribed":{"channel":"`+channel+`"`) {
		t.Errorf("%s: %s", channel, line)
	}
	if line := c.line(); !strings.Contains(line, `"code":"forbidden"`) {
		t.Errorf("%s: %s", other, line)
	}
	s := f.listen(t, "/sse/"+channel, "Authorization", "Bearer "+token)
	if s.status != http.StatusOK || s.event()["event"] != "subscribed" {
		t.Errorf("SSE %s: %d", channel, s.status)
	}
	if s := f.listen(t, "/sse/"+other+"?token="+token); s.status != http.StatusForbidden {
		t.Errorf("SSE %s: %d", other, s.status)
	}
	return c
}

// refused tries a token that opens nothing.
func refused(t *testing.T, f *fixture, token string, code, status int) {
	t.Helper()
	if got := f.dial(t, "?token="+token).closed(); got != code {
		t.Errorf("closed with %d, want %d", got, code)
	}
	if got := f.dial(t, "", "Authorization", "Bearer "+token).closed(); got != code {
		t.Errorf("with a header: closed with %d, want %d", got, code)
	}
	if s := f.listen(t, "/sse/events?token="+token); s.status != status {
		t.Errorf("SSE: %d, want %d", s.status, status)
	}
}

// Tokens of either kind of public key, which the configuration or a URL names,
// open their channels, until they expire and for as long as they are renewed.
func TestTokensOfPublicKeys(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.EdDSA} {
		for _, from := range []string{"keys", "jwks_url"} {
			t.Run(string(algorithm)+" "+from, func(t *testing.T) {
				key, stranger, i := newPair(t, algorithm, "a"), newPair(t, algorithm, "a"), newIssuer(t)
				i.publish(key)
				o := access.Options{Keys: []string{key.pem(t)}}
				if from == "jwks_url" {
					o = access.Options{JWKSURL: i.URL}
				}
				readers, err := access.New(o)
				if err != nil {
					t.Fatal(err)
				}
				f := newLiveFixture(t, func(o *Options) { o.Now, o.Readers = nil, readers })
				c := opens(t, f, key.token(t, time.Hour, "segment:*"), "segment:loyal", "events")
				c.send(`{"id":3,"refresh":{"token":"`+stranger.token(t, time.Hour, "events")+`"}}`, `{"id":4,"refresh":{"token":"`+key.token(t, time.Hour, "events")+`"}}`)
				if line := c.line(); !strings.HasPrefix(line, `{"id":3,"error":{"code":"unauthorized"`) {
					t.Error(line)
				}
				c.expect(`{"unsubscribed":{"channel":"segment:loyal"}}`, `{"id":4,"refreshed":{}}`)
				c.send(`{"id":5,"subscribe":{"channel":"events"}}`)
				if line := c.line(); !strings.HasPrefix(line, `{"id":5,"subscribed":{"channel":"events"`) {
					t.Error(line)
				}
				refused(t, f, stranger.token(t, time.Hour, "events"), 3500, 401)
				refused(t, f, key.token(t, -time.Minute, "events"), 3500, 401)

				short := key.token(t, -3*time.Second, "events") // within the leeway of 5 s
				ends, stream := f.dial(t, "?token="+short), f.listen(t, "/sse/events?token="+short)
				if code := ends.closed(); code != 3005 {
					t.Errorf("closed with %d, want 3005", code)
				}
				stream.event()
				if e := stream.event(); e["event"] != "closed" || !strings.Contains(e["data"], "3005") {
					t.Errorf("SSE: %v", e)
				}
			})
		}
	}
}

// An issuer's next key counts when it is used, its last one no more when it is
// withdrawn; what was opened stays open.
func TestTokensOfRotatedKeys(t *testing.T) {
	i := newIssuer(t)
	var ahead atomic.Int64
	readers, err := access.New(access.Options{JWKSURL: i.URL, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	f := newLiveFixture(t, func(o *Options) { o.Now, o.Readers = nil, readers })
	first, second := newPair(t, jose.RS256, "first"), newPair(t, jose.EdDSA, "second")
	// Whether a token is good cannot be told yet: come back.
	refused(t, f, first.token(t, time.Hour, "events"), 3014, 503)
	i.publish(first)
	ahead.Add(int64(time.Minute))
	c := opens(t, f, first.token(t, time.Hour, "events"), "events", "system")
	i.publish(first, second)
	ahead.Add(int64(time.Minute))
	opens(t, f, second.token(t, time.Hour, "events"), "events", "system")
	opens(t, f, first.token(t, time.Hour, "segment:a"), "segment:a", "segment:b")
	c.send(`{"id":3,"refresh":{"token":"` + second.token(t, time.Hour, "events") + `"}}`)
	c.expect(`{"id":3,"refreshed":{}}`)
	i.publish(second)
	ahead.Add(int64(time.Minute))
	if code := f.dial(t, "?token="+newPair(t, jose.RS256, "third").token(t, time.Hour, "events")).closed(); code != 3500 {
		t.Errorf("with a key that nobody knows: closed with %d, want 3500", code)
	}
	// That has fetched them; whoever comes before the next time is to come back.
	refused(t, f, first.token(t, time.Hour, "events"), 3014, 503)
	ahead.Add(int64(time.Minute))
	if s := f.listen(t, "/sse/events?token="+first.token(t, time.Hour, "events")); s.status != http.StatusUnauthorized {
		t.Errorf("with the key that was withdrawn: %d, want 401", s.status)
	}
	i.keys.Store(nil)
	ahead.Add(int64(20 * time.Minute))
	opens(t, f, second.token(t, time.Hour, "events"), "events", "system")
	f.publish(t, 0, 1, "still")
	if line := c.line(); !strings.Contains(line, `"id":"still-1-0"`) {
		t.Error(line)
	}
}

// A second connect gives a connection another token as refresh does: what that
// one does not cover is not pushed any more.
func TestTokenOfASecondConnect(t *testing.T) {
	f := newLiveFixture(t, func(o *Options) { o.Now = nil })
	c := f.dial(t, "?token="+webToken(t, time.Minute, "events"))
	c.send(`{"id":1,"subscribe":{"channel":"events"}}`)
	c.line()
	c.send(`{"id":2,"connect":{"token":"` + webToken(t, time.Hour, "segment:a") + `"}}`)
	c.expect(`{"unsubscribed":{"channel":"events"}}`, `{"id":2,"connected":{"session":null,`+connected)
	if n := f.options.Live.Count(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
