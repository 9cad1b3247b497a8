package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A jwks keeps the keys of a URL. They are fetched when somebody needs them:
// again after a while, and where none of them has signed a token; never more
// often than every few seconds, whatever tokens come. Who is known by the keys
// that there are waits for nobody's fetch.
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
	fetched time.Time
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

// verify looks for a key that has signed the token. Its error is [ErrUnknown],
// or [ErrKeys] where that cannot be told.
func (j *jwks) verify(ctx context.Context, token *jwt.JSONWebToken, h jose.Header) error {
	set, now := j.kept.Load(), j.o.Now()
	known := set.younger(jwksStale, now) && verify(set.list, token, h) == nil
	if known {
		if set.younger(jwksFresh, now) {
			return nil
		}
		select {
		case j.turn <- struct{}{}:
		default: // another one is at it
			return nil
		}
	} else {
		select {
		case j.turn <- struct{}{}:
		case <-ctx.Done():
			return ErrKeys
		}
	}
	defer func() { <-j.turn }()
	if set = j.renewed(ctx, set); !set.younger(jwksStale, j.o.Now()) {
		return ErrKeys
	}
	return verify(set.list, token, h)
}

// renewed fetches the keys, unless that was done since seen was looked at, or
// was tried just now. It returns those that count.
func (j *jwks) renewed(ctx context.Context, seen *keySet) *keySet {
	now := j.o.Now()
	if set := j.kept.Load(); set != seen || !j.tried.IsZero() && now.Sub(j.tried) < jwksPause {
		return set
	}
	j.tried = now
	list, err := j.fetch(ctx)
	if err != nil {
		old := 0
		if seen != nil {
			old = len(seen.list)
		}
		j.o.Log.Warn("the keys of auth.jwt.jwks_url cannot be fetched", "error", err, "old_keys", old)
		return seen
	}
	set := &keySet{list, now}
	j.kept.Store(set)
	return set
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
