package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A jwks keeps the keys of a URL. They are fetched when somebody needs them:
// again after a while, and where none of them has signed a token; never more
// often than every few seconds, whatever tokens come. Who is known by the keys
// that there are waits for no fetch.
type jwks struct {
	o      *Options
	client *http.Client
	kept   atomic.Pointer[keySet] // nil: none were ever fetched
	turn   chan struct{}          // one fetches at a time
	tried  time.Time              // of whose turn it is
}

// A keySet is what was fetched at once.
type keySet struct {
	list    []key
	fetched time.Time // when that began
}

// younger is false for a set that there is not.
func (s *keySet) younger(age time.Duration, now time.Time) bool {
	return s != nil && now.Sub(s.fetched) < age
}

const (
	jwksFresh = 15 * time.Minute // then it is fetched anew
	jwksStale = 24 * time.Hour   // the longest that old keys count while the URL does not answer
	jwksPause = 10 * time.Second // between two fetches
	jwksBytes = 1 << 20
	jwksWait  = 5 * time.Second
)

func newJWKS(o *Options) *jwks {
	j := &jwks{o: o, client: o.Client, turn: make(chan struct{}, 1)}
	if j.client == nil {
		j.client = &http.Client{Timeout: jwksWait, CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("redirects are not followed")
		}}
	}
	return j
}

// names tells whether a key has the name that a token says it is signed with.
func (s *keySet) names(h jose.Header) bool {
	return h.KeyID != "" && slices.ContainsFunc(s.list, func(k key) bool { return k.id == h.KeyID })
}

// verify looks for a key that has signed the token. Its error is [ErrUnknown],
// or [ErrKeys] where that cannot be told: the key that the token names may have
// come to be since the keys were fetched.
func (j *jwks) verify(ctx context.Context, token *jwt.JSONWebToken, h jose.Header) error {
	set, came := j.kept.Load(), j.o.Now()
	if set.younger(jwksStale, came) && verify(set.list, token, h) == nil {
		if !set.younger(jwksFresh, came) {
			j.renewAside(ctx, set)
		}
		return nil
	}
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return ErrKeys
	}
	defer func() { <-j.turn }()
	now := j.o.Now()
	if j.due(set, now) {
		j.renew(ctx, now)
	}
	set = j.kept.Load()
	switch {
	case !set.younger(jwksStale, j.o.Now()):
		return ErrKeys
	case verify(set.list, token, h) == nil:
		return nil
	case set.fetched.Before(came) && !set.names(h):
		return ErrKeys
	}
	return ErrUnknown
}

// renewAside fetches the keys while nobody waits, unless another one is at it.
// What it starts ends within jwksWait.
func (j *jwks) renewAside(ctx context.Context, seen *keySet) {
	select {
	case j.turn <- struct{}{}:
	default:
		return
	}
	now := j.o.Now()
	if !j.due(seen, now) {
		<-j.turn
		return
	}
	go func() {
		defer func() { <-j.turn }()
		j.renew(ctx, now)
	}()
}

// due is false where the keys were fetched since seen was looked at, or that was
// tried just now.
func (j *jwks) due(seen *keySet, now time.Time) bool {
	return j.kept.Load() == seen && (j.tried.IsZero() || now.Sub(j.tried) >= jwksPause)
}

// renew fetches the keys. Where that fails, the old ones stay.
func (j *jwks) renew(ctx context.Context, now time.Time) {
	j.tried = now
	list, err := j.fetch(ctx)
	if err != nil {
		old := 0
		if set := j.kept.Load(); set != nil {
			old = len(set.list)
		}
		j.o.Log.Warn("the keys of auth.jwt.jwks_url cannot be fetched", "error", err, "old_keys", old)
		return
	}
	j.kept.Store(&keySet{list, now})
}

func (j *jwks) fetch(ctx context.Context) ([]key, error) {
	// Whoever waits for the keys may go away: others need them, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jwksWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.o.JWKSURL, nil)
	if err != nil {
		return nil, err
	}
	response, err := j.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, jwksBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > jwksBytes {
		return nil, fmt.Errorf("the answer is larger than %d bytes", jwksBytes)
	}
	return parseJWKs(text, false)
}
