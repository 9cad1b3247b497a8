// Package access tells who may read the live channels: holders of a JSON Web
// Token that names channels, and holders of an admin token, who read all.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Grant is what a token allows.
type Grant struct {
	Subject  string
	Channels []string  // names; a trailing * stands for whatever follows
	Expires  time.Time // zero: never
}

// Reads tells whether the grant covers a channel.
func (g *Grant) Reads(channel string) bool {
	for _, c := range g.Channels {
		if prefix, ok := strings.CutSuffix(c, "*"); c == channel || ok && strings.HasPrefix(channel, prefix) {
			return true
		}
	}
	return false
}

// everything is the grant of an admin token.
var everything = &Grant{Channels: []string{"*"}}

// Options make Readers.
type Options struct {
	// Admin tells whether a token is an admin token.
	Admin func(token string) bool
	// Keys verify tokens, each of them one of
	//
	//	PEM, of public keys or certificates: RS256 with RSA, EdDSA with Ed25519
	//	a JWK or a JWK set, in JSON
	//	anything else: a secret of 32 bytes or more, HS256
	Keys []string
	// JWKSURL is where further public keys are, which may change.
	JWKSURL string
	// Issuer and Audience are those that a token has to name; empty: any.
	Issuer, Audience string

	Client *http.Client // of JWKSURL; nil: one that waits 5 s
	Log    *slog.Logger
	Now    func() time.Time
}

// Readers know who may read.
type Readers struct {
	o    Options
	keys []key
	jwks *jwks // nil: there is no URL
}

// New returns readers. Its error names what is wrong with the keys, and none of
// them.
func New(o Options) (*Readers, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Readers{o: o}
	for i, text := range o.Keys {
		keys, err := parseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.keys: key %d: %w", i+1, err)
		}
		r.keys = append(r.keys, keys...)
	}
	if o.JWKSURL != "" {
		r.jwks = newJWKS(&o)
	}
	return r, nil
}

// The reasons for which a token is refused. Their texts are for its holder.
var (
	ErrUnknown  = errors.New("unknown token")
	ErrExpired  = errors.New("the token has expired")
	ErrNotYet   = errors.New("the token is not valid yet")
	ErrIssuer   = errors.New("the token is of another issuer")
	ErrAudience = errors.New("the token is for another audience")
	ErrClaims   = errors.New("the token's claims have another form: channels is a list of texts, exp and nbf are numbers")
	// ErrKeys means that the keys cannot be had now: the token may be good.
	ErrKeys = errors.New("the keys that tokens are verified with cannot be read now")
)

// algorithms are those that a token may be signed with. Which of them a key is
// for follows from the key, never from the token.
var algorithms = []jose.SignatureAlgorithm{jose.HS256, jose.RS256, jose.EdDSA}

const (
	// leeway is how far the clocks of issuer and server may differ.
	leeway   = 5 * time.Second
	maxToken = 8 << 10
	// maxChannels and maxName bound what a token may name.
	maxChannels = 256
	maxName     = 512
)

// Grant returns what a token allows, or one of the errors above.
func (r *Readers) Grant(ctx context.Context, token string) (*Grant, error) {
	if token == "" || len(token) > maxToken {
		return nil, ErrUnknown
	}
	if r.o.Admin != nil && r.o.Admin(token) {
		return everything, nil
	}
	if len(r.keys) == 0 && r.jwks == nil {
		return nil, ErrUnknown
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return nil, ErrUnknown
	}
	payload, err := r.verified(ctx, parsed)
	if err != nil {
		return nil, err
	}
	return r.granted(payload)
}

// claims are what a token says.
type claims struct {
	jwt.Claims
	Channels []string `json:"channels"`
}

// verified returns the claims of a token that one of the keys has signed.
func (r *Readers) verified(ctx context.Context, token *jwt.JSONWebToken) (*claims, error) {
	header := token.Headers[0]
	err := verify(r.keys, token, header)
	if err != nil && r.jwks != nil {
		err = r.jwks.verify(ctx, token, header)
	}
	if err != nil {
		return nil, err
	}
	c := &claims{}
	// The signature was checked above.
	if err := token.UnsafeClaimsWithoutVerification(c); err != nil {
		return nil, ErrClaims
	}
	return c, nil
}

// verify looks for a key that has signed the token.
func verify(keys []key, token *jwt.JSONWebToken, header jose.Header) error {
	for _, k := range keys {
		if k.fits(header) && token.Claims(k.value) == nil {
			return nil
		}
	}
	return ErrUnknown
}

// granted checks the claims.
func (r *Readers) granted(c *claims) (*Grant, error) {
	expected := jwt.Expected{Issuer: r.o.Issuer, Time: r.o.Now()}
	if r.o.Audience != "" {
		expected.AnyAudience = jwt.Audience{r.o.Audience}
	}
	switch err := c.ValidateWithLeeway(expected, leeway); {
	case err == nil:
	case errors.Is(err, jwt.ErrExpired):
		return nil, ErrExpired
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return nil, ErrNotYet
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return nil, ErrIssuer
	case errors.Is(err, jwt.ErrInvalidAudience):
		return nil, ErrAudience
	default:
		return nil, ErrUnknown
	}
	g := &Grant{Subject: c.Subject, Channels: c.Channels}
	if len(g.Channels) > maxChannels {
		return nil, ErrClaims
	}
	for _, name := range g.Channels {
		if len(name) > maxName {
			return nil, ErrClaims
		}
	}
	if c.Expiry != nil {
		g.Expires = c.Expiry.Time().Add(leeway)
	}
	return g, nil
}
