package access

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An issuer publishes keys at a URL.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	answer  http.HandlerFunc
	fetches int
}

func newIssuer(t *testing.T, answer http.HandlerFunc) *issuer {
	t.Helper()
	i := &issuer{answer: answer}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.fetches++
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) answers(answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

func publicSet(t *testing.T, id string, keys ...crypto.Signer) string {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: id})
	}
	out, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A key that takes the place of another one is found, also where neither the
// token nor the set gives it a name, or where it takes over the other one's.
func TestJWKSRotationWithoutNames(t *testing.T) {
	for name, id := range map[string]string{"no kid": "", "same kid": "main"} {
		now := testNow
		i := newIssuer(t, text(publicSet(t, id, rsaKey)))
		r, err := New(Options{JWKSURL: i.URL, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Grant(t.Context(), sign(t, jose.RS256, rsaKey, id, good())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		i.answers(text(publicSet(t, id, otherRSA)))
		now = now.Add(jwksPause)
		if _, err := r.Grant(t.Context(), sign(t, jose.RS256, otherRSA, id, good())); err != nil {
			t.Errorf("%s: the new key: %v", name, err)
		}
		if _, err := r.Grant(t.Context(), sign(t, jose.RS256, rsaKey, id, good())); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: the old key: %v", name, err)
		}
		if n := i.fetched(); n != 2 {
			t.Errorf("%s: %d fetches, want 2", name, n)
		}
	}
}

// A token of a key that came to be after the last fetch may be good: its holder
// comes back, and is let in once the pause is over. What names a key that there
// is, and is not signed with it, is unknown; nothing costs a fetch before.
func TestJWKSRotationDuringThePause(t *testing.T) {
	now := testNow
	i := newIssuer(t, text(publicSet(t, "a", rsaKey)))
	r, err := New(Options{JWKSURL: i.URL, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name, token string, want error, fetched int) {
		t.Helper()
		if _, err := r.Grant(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if n := i.fetched(); n != fetched {
			t.Errorf("%s: %d fetches, want %d", name, n, fetched)
		}
	}
	expect("a forged name", sign(t, jose.RS256, otherRSA, "x", good()), ErrUnknown, 1)
	now = now.Add(time.Second)
	i.answers(text(publicSet(t, "b", edKey)))
	now = now.Add(time.Second)
	next := sign(t, jose.EdDSA, edKey, "b", good())
	expect("the new key", next, ErrKeys, 1)
	expect("the new key without its name", sign(t, jose.EdDSA, edKey, "", good()), ErrKeys, 1)
	expect("a forged signature", sign(t, jose.RS256, otherRSA, "a", good()), ErrUnknown, 1)
	expect("of another algorithm", sign(t, jose.EdDSA, edKey, "a", good()), ErrUnknown, 1)
	for range 100 {
		expect("many forged names", sign(t, jose.EdDSA, otherEd, "y", good()), ErrKeys, 1)
	}
	now = now.Add(jwksPause)
	expect("the new key after the pause", next, nil, 2)
	now = now.Add(jwksPause)
	i.answers(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) })
	expect("a new name while the URL is down", sign(t, jose.RS256, rsaKey, "c", good()), ErrKeys, 3)
	expect("an old name while the URL is down", sign(t, jose.EdDSA, otherEd, "b", good()), ErrUnknown, 3)
}

// While the URL is slow to answer, tokens of the keys that are there are taken
// at once, also by who has it asked, and whoever waits for it may go away.
func TestJWKSSlow(t *testing.T) {
	now := testNow
	i := newIssuer(t, text(publicSet(t, "a", rsaKey)))
	r, err := New(Options{JWKSURL: i.URL, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := sign(t, jose.RS256, rsaKey, "a", with("exp", nil)), sign(t, jose.RS256, otherRSA, "b", with("exp", nil))
	if _, err := r.Grant(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	i.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(asked) // a second time would panic
		<-answer
		http.Error(w, "down", http.StatusBadGateway)
	})
	now = now.Add(jwksFresh)
	begun := time.Now()
	for range 100 {
		if _, err := r.Grant(t.Context(), known); err != nil {
			t.Error(err)
		}
	}
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.Grant(ctx, unknown); !errors.Is(err, ErrKeys) {
		t.Errorf("whoever goes away: %v", err)
	}
	if took := time.Since(begun); took > jwksWait/2 {
		t.Errorf("others wait for the fetch: %s", took)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Grant(t.Context(), unknown); !errors.Is(err, ErrKeys) {
			t.Errorf("whoever waits: %v", err)
		}
	})
	close(answer)
	wg.Wait()
	if n := i.fetched(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

// idle waits until nobody fetches.
func idle(r *Readers) {
	r.jwks.turn <- struct{}{}
	<-r.jwks.turn
}

// What is no set of keys takes the place of none.
func TestJWKSAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"another set":  {text(publicSet(t, "b", edKey)), ErrUnknown},
		"an empty set": {text(`{"keys":[]}`), ErrUnknown},
		"an error":     {text(`{"error":"try again"}`), nil},
		"null":         {text(`null`), nil},
		"no JSON":      {text(`<html>`), nil},
		"huge":         {text(`{"keys":[` + strings.Repeat(" ", jwksBytes) + `]}`), nil},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for line := []byte(strings.Repeat(" ", 64<<10)); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, nil},
		"many keys": {text(`{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`), nil},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/more", http.StatusFound) }, nil},
		"cut":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil},
	} {
		now := testNow
		i := newIssuer(t, text(publicSet(t, "a", rsaKey)))
		r, err := New(Options{JWKSURL: i.URL, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		token := sign(t, jose.RS256, rsaKey, "a", good())
		if _, err := r.Grant(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		i.answers(c.answer)
		now = now.Add(jwksFresh)
		if _, err := r.Grant(t.Context(), token); err != nil {
			t.Errorf("%s: while it is fetched: %v", name, err)
		}
		idle(r)
		if _, err := r.Grant(t.Context(), token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// However many tokens come that nobody has signed, and from however many at
// once, they cost a fetch each pause.
func TestJWKSStorm(t *testing.T) {
	i := newIssuer(t, text(publicSet(t, "a", rsaKey)))
	r, err := New(Options{JWKSURL: i.URL, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	unknown := []string{sign(t, jose.RS256, otherRSA, "a", good()), sign(t, jose.RS256, otherRSA, "x", good()), sign(t, jose.EdDSA, otherEd, "", good())}
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			if _, err := r.Grant(t.Context(), unknown[n%len(unknown)]); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := i.fetched(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}
