package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A jwks keeps the keys of a URL. They are fetched when somebody needs them:
// again after a while, and where a token names a key that is not among them;
// never more often than every few seconds, whatever tokens come.
type jwks struct {
	o      *Options
	client *http.Client
	turn   chan struct{} // one fetches at a time, the others wait for it

	// Of whose turn it is.
	list    []key
	fetched time.Time // the list
	tried   time.Time
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

// keys returns the keys that a token may have been signed with.
func (j *jwks) keys(ctx context.Context, h jose.Header) ([]key, error) {
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return nil, ErrKeys
	}
	now := j.o.Now()
	known := slices.ContainsFunc(j.list, func(k key) bool { return k.fits(h) })
	if (!known || now.Sub(j.fetched) >= jwksFresh) && (j.tried.IsZero() || now.Sub(j.tried) >= jwksPause) {
		j.tried = now
		list, err := j.fetch(ctx)
		if err == nil {
			j.list, j.fetched = list, now
		} else {
			j.o.Log.Warn("the keys of auth.jwt.jwks_url cannot be fetched", "error", err, "old_keys", len(j.list))
		}
	}
	if j.fetched.IsZero() || now.Sub(j.fetched) >= jwksStale {
		return nil, ErrKeys
	}
	return j.list, nil
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
