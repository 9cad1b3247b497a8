package access

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const secret = "0123456789abcdef0123456789abcdef"

var (
	rsaKey, _     = rsa.GenerateKey(rand.Reader, 2048)
	otherRSA, _   = rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _   = ed25519.GenerateKey(rand.Reader)
	_, otherEd, _ = ed25519.GenerateKey(rand.Reader)
)

func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func good() map[string]any {
	return map[string]any{
		"sub": "ann", "iss": "issuer", "aud": []string{"other", "tributary"}, "exp": testNow.Add(time.Hour).Unix(),
		"nbf": testNow.Add(-time.Hour).Unix(), "channels": []string{"events", "profile:*"},
	}
}

func with(name string, value any) map[string]any {
	c := good()
	c[name] = value
	if value == nil {
		delete(c, name)
	}
	return c
}

// forged is a token with a header and a signature of one's own making.
func forged(t testing.TB, header, signature string) string {
	t.Helper()
	payload, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e(payload) + "." + signature
}

func TestGrant(t *testing.T) {
	r, err := New(Options{
		Admin: func(token string) bool { return token == "admin" }, Now: func() time.Time { return testNow },
		Keys: []string{secret, publicPEM(t, rsaKey), publicPEM(t, edKey)}, Issuer: "issuer", Audience: "tributary",
	})
	if err != nil {
		t.Fatal(err)
	}
	hs := func(c map[string]any) string { return sign(t, jose.HS256, []byte(secret), "", c) }
	valid := hs(good())
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"HS256": {valid, nil}, "RS256": {sign(t, jose.RS256, rsaKey, "any", good()), nil},
		"EdDSA": {sign(t, jose.EdDSA, edKey, "", good()), nil}, "admin": {"admin", nil},
		"without exp": {hs(with("exp", nil)), nil}, "one audience": {hs(with("aud", "tributary")), nil},
		"nobody": {"x", ErrUnknown}, "empty": {"", ErrUnknown}, "huge": {strings.Repeat("x", maxToken+1), ErrUnknown},
		"another secret":  {sign(t, jose.HS256, []byte(secret+"x"), "", good()), ErrUnknown},
		"another RSA":     {sign(t, jose.RS256, otherRSA, "", good()), ErrUnknown},
		"another Ed25519": {sign(t, jose.EdDSA, otherEd, "", good()), ErrUnknown},
		"HS512":           {sign(t, jose.HS512, []byte(secret+secret), "", good()), ErrUnknown},
		"PS256":           {sign(t, jose.PS256, rsaKey, "", good()), ErrUnknown},
		// The text of the public key, which everybody knows, as a secret.
		"RSA key as secret": {sign(t, jose.HS256, []byte(publicPEM(t, rsaKey)), "", good()), ErrUnknown},
		"Ed25519 as secret": {sign(t, jose.HS256, []byte(edKey.Public().(ed25519.PublicKey)), "", good()), ErrUnknown},
		"none":              {forged(t, `{"alg":"none"}`, ""), ErrUnknown},
		"None":              {forged(t, `{"alg":"None","typ":"JWT"}`, ""), ErrUnknown},
		"changed":           {valid[:len(valid)-4] + "AAAA", ErrUnknown},
		"key in the header": {forged(t, `{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`, strings.Split(valid, ".")[2]), ErrUnknown},
		"expired":           {hs(with("exp", testNow.Add(-10*time.Second).Unix())), ErrExpired},
		"not yet":           {hs(with("nbf", testNow.Add(10*time.Second).Unix())), ErrNotYet},
		"issuer":            {hs(with("iss", "mallory")), ErrIssuer}, "no issuer": {hs(with("iss", nil)), ErrIssuer},
		"audience":       {hs(with("aud", "else")), ErrAudience},
		"no audience":    {hs(with("aud", nil)), ErrAudience},
		"channels":       {hs(with("channels", "events")), ErrClaims},
		"many channels":  {hs(with("channels", make([]string, maxChannels+1))), ErrClaims},
		"numbers":        {hs(with("channels", []int{1})), ErrClaims},
		"exp is a text":  {hs(with("exp", "tomorrow")), ErrClaims},
		"no channels":    {hs(with("channels", nil)), nil},
		"three segments": {"a.b.c", ErrUnknown},
	} {
		if g, err := r.Grant(t.Context(), c.token); !errors.Is(err, c.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: %v %v, want %v", name, g, err, c.want)
		}
	}
	g, err := r.Grant(t.Context(), valid)
	if err != nil {
		t.Fatal(err)
	}
	if g.Subject != "ann" || !g.Expires.Equal(testNow.Add(time.Hour+leeway)) {
		t.Errorf("grant %+v", g)
	}
	for channel, want := range map[string]bool{"events": true, "profile:a": true, "profile:": true, "profile": false, "events2": false, "system": false, "segment:x": false} {
		if g.Reads(channel) != want {
			t.Errorf("%s: %v", channel, !want)
		}
	}
	if g, _ = r.Grant(t.Context(), "admin"); !g.Reads("system") || !g.Expires.IsZero() {
		t.Errorf("grant of an admin: %+v", g)
	}
	if none, _ := New(Options{}); none != nil {
		if _, err := none.Grant(t.Context(), valid); !errors.Is(err, ErrUnknown) {
			t.Errorf("without keys: %v", err)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	privateJWK, err := json.Marshal(jose.JSONWebKey{Key: rsaKey})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"short":                         "too short for HS256",
		publicPEM(t, short):             "RSA key of 1024 bits",
		string(private):                 "a private key is not needed",
		string(privateJWK):              "a private key is not needed",
		"-----BEGIN PUBLIC KEY-----\nx": "no PEM block",
		`{"keys":[{"kty":"x"}]}`:        "keys[0]: no JWK",
		`{"kty":"oct","k":"c2hvcnQ"}`:   "too short for HS256",
		`{"keys"`:                       "no valid JSON",
		"[" + string(privateJWK) + "]":  "this is no key",
		"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 somebody@example":                     "this is no key",
		"https://login.example/.well-known/jwks.json":                                   "this is no key",
		"/etc/tributary/keys/public-key-of-the-login.pem":                               "this is no key",
		"Certificate:\n  Data: x\n" + publicPEM(t, short):                               "RSA key of 1024 bits",
		`{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY","alg":"RS256"}`: "is for HS256",
	} {
		if _, err := New(Options{Keys: []string{text}}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "short\n") {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// The keys of a URL are fetched when they are needed, kept, and fetched again
// for a key that is new; what nobody has signed costs no fetch each.
func TestJWKS(t *testing.T) {
	var (
		mu      sync.Mutex
		set     jose.JSONWebKeySet
		down    atomic.Bool
		fetches atomic.Int64
		now     = testNow
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(set)
	}))
	defer server.Close()
	publish := func(keys ...jose.JSONWebKey) {
		mu.Lock()
		defer mu.Unlock()
		set.Keys = keys
	}
	publish(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "a"}, jose.JSONWebKey{Key: []byte(secret), KeyID: "s"})
	r, err := New(Options{JWKSURL: server.URL, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	a := sign(t, jose.RS256, rsaKey, "a", with("exp", nil))
	b := sign(t, jose.EdDSA, edKey, "b", with("exp", nil))
	expect := func(name, token string, want error, fetched int64) {
		t.Helper()
		if _, err := r.Grant(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		idle(r)
		if n := fetches.Load(); n != fetched {
			t.Errorf("%s: %d fetches, want %d", name, n, fetched)
		}
	}
	down.Store(true)
	expect("down", a, ErrKeys, 1)
	expect("down still", a, ErrKeys, 1)
	down.Store(false)
	now = now.Add(jwksPause)
	expect("first", a, nil, 2)
	expect("kept", a, nil, 2)
	expect("too soon", b, ErrUnknown, 2)
	expect("published secret", sign(t, jose.HS256, []byte(secret), "s", good()), ErrUnknown, 2)
	now = now.Add(jwksPause)
	publish(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "a"}, jose.JSONWebKey{Key: edKey.Public(), KeyID: "b"})
	expect("a new key", b, nil, 3)
	now = now.Add(jwksFresh)
	down.Store(true)
	expect("old keys", b, nil, 4)
	now = now.Add(jwksStale)
	expect("too old", b, ErrKeys, 5)
	down.Store(false)
	publish(jose.JSONWebKey{Key: edKey.Public(), KeyID: "b"})
	now = now.Add(jwksPause)
	expect("again", b, nil, 6)
	now = now.Add(jwksPause)
	expect("withdrawn", a, ErrUnknown, 7)
}

// FuzzGrant holds that nobody makes a good token of what others have, or of one that
// has expired.
func FuzzGrant(f *testing.F) {
	r, err := New(Options{Keys: []string{secret, publicPEM(f, rsaKey), publicPEM(f, edKey)}, Now: func() time.Time { return testNow }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(forged(f, `{"alg":"none"}`, ""))
	f.Add(forged(f, `{"alg":"HS256","typ":"JWT"}`, "c2lnbmF0dXJl"))
	f.Add(sign(f, jose.HS256, []byte(secret+"x"), "", good()))
	f.Add(sign(f, jose.RS256, otherRSA, "any", good()))
	f.Add(sign(f, jose.EdDSA, otherEd, "", good()))
	f.Add(sign(f, jose.HS256, []byte(secret), "", with("exp", testNow.Add(-time.Hour).Unix())))
	f.Add(sign(f, jose.EdDSA, edKey, "", with("channels", "events")))
	f.Fuzz(func(t *testing.T, token string) {
		if g, err := r.Grant(t.Context(), token); err == nil {
			t.Errorf("%q: %+v", token, g)
		}
	})
}

// FuzzKeys holds that keys are read as ones of an algorithm that tokens may have, or
// refused without being repeated, and that no secret is taken from a published set.
func FuzzKeys(f *testing.F) {
	var set jose.JSONWebKeySet
	for id, public := range map[string]any{"a": rsaKey.Public(), "b": edKey.Public()} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: id, Use: "sig"})
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: edKey, KeyID: "p"})
	if err != nil {
		f.Fatal(err)
	}
	shared, err := json.Marshal(jose.JSONWebKey{Key: []byte(secret), KeyID: "s"})
	if err != nil {
		f.Fatal(err)
	}
	published, err := json.Marshal(set)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{secret, publicPEM(f, rsaKey), publicPEM(f, edKey), publicPEM(f, rsaKey) + publicPEM(f, edKey), string(published), string(private), string(shared),
		`{"keys":[]}`, `{"keys":[{"kty":"EC","crv":"P-256"}]}`, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseKeys(text)
		if err != nil && len(text) >= minSecret/2 && strings.Contains(err.Error(), text) {
			t.Errorf("%q is repeated in %v", text, err)
		}
		if err == nil && len(keys) == 0 && !strings.HasPrefix(strings.TrimSpace(text), "{") {
			t.Errorf("%q has no keys", text)
		}
		remote, err := parseJWKs([]byte(text), false)
		for i, k := range append(keys, remote...) {
			ok := false
			switch v := k.value.(type) {
			case *rsa.PublicKey:
				ok = k.algorithm == jose.RS256 && v.N.BitLen() >= minRSA
			case ed25519.PublicKey:
				ok = k.algorithm == jose.EdDSA && len(v) == ed25519.PublicKeySize
			case []byte:
				ok = k.algorithm == jose.HS256 && len(v) >= minSecret && i < len(keys)
			}
			if !ok {
				t.Errorf("%q has the key %+v (%v)", text, k, err)
			}
		}
	})
}
