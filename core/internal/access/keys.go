package access

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// A key verifies the tokens of one algorithm.
type key struct {
	id        string // empty: it fits every id
	algorithm jose.SignatureAlgorithm
	value     any // []byte, *rsa.PublicKey or ed25519.PublicKey
}

func (k *key) fits(h jose.Header) bool {
	return string(k.algorithm) == h.Algorithm && (k.id == "" || h.KeyID == "" || k.id == h.KeyID)
}

const (
	minSecret = 32   // bytes, as RFC 7518 wants for HS256
	minRSA    = 2048 // bits, as RFC 7518 wants for RS256
	maxKeys   = 100  // of a set
)

// parseKeys reads keys as [Options] describes them. Its errors do not repeat
// any.
func parseKeys(text string) ([]key, error) {
	switch text = strings.TrimSpace(text); {
	case strings.Contains(text, "-----BEGIN "): // there may be words before it
		return parsePEM([]byte(text))
	case strings.HasPrefix(text, "{"):
		return parseJWKs([]byte(text), true)
	case notSecret.MatchString(text):
		// What everybody may know would let everybody sign.
		return nil, errors.New("this is no key: want a PEM block, a JWK or a set of them as {\"keys\":[…]}, or a secret for HS256; a file is named as file:PATH, and a URL is for auth.jwt.jwks_url")
	case len(text) < minSecret:
		return nil, fmt.Errorf("a secret of %d bytes is too short for HS256; want at least %d", len(text), minSecret)
	}
	return []key{{algorithm: jose.HS256, value: []byte(text)}}, nil
}

// notSecret matches what is meant to be something else than a secret: a list of
// keys, a public key of SSH, a path, a URL, text with a byte order mark.
var notSecret = regexp.MustCompile(`^(\[|ssh-|ecdsa-|[a-z]+://|/.*\.(pem|json|jwks?|key|pub|crt|cer|der)$|\x{FEFF})`)

func parsePEM(text []byte) (keys []key, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		var value any
		switch block.Type {
		case "PUBLIC KEY":
			value, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			value, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				value = c.PublicKey
			}
		default:
			err = errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE in the PEM; a private key is not needed here")
		}
		if err != nil {
			return nil, err
		}
		k, err := keyOf("", value)
		if err != nil {
			return nil, err
		}
		keys, text = append(keys, k), rest
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block can be read")
	}
	return keys, nil
}

// keyOf gives a key the one algorithm that it is for.
func keyOf(id string, value any) (key, error) {
	switch v := value.(type) {
	case *rsa.PublicKey:
		if v.N.BitLen() < minRSA {
			return key{}, fmt.Errorf("an RSA key of %d bits is too short; want at least %d", v.N.BitLen(), minRSA)
		}
		return key{id, jose.RS256, v}, nil
	case ed25519.PublicKey:
		return key{id, jose.EdDSA, v}, nil
	case []byte:
		if len(v) < minSecret {
			return key{}, fmt.Errorf("a secret of %d bytes is too short for HS256; want at least %d", len(v), minSecret)
		}
		return key{id, jose.HS256, v}, nil
	}
	return key{}, errors.New("want an RSA key, an Ed25519 key or a secret")
}

// parseJWKs reads a JWK or a JWK set. Where secrets are allowed, nothing may be
// wrong; else what is no public key for one of the algorithms is left out of a
// set, as those that are published hold keys for other purposes, too.
func parseJWKs(text []byte, secrets bool) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("no valid JSON")
	}
	alone := set.Keys == nil
	if alone {
		set.Keys = []json.RawMessage{text}
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys in one set; want at most %d", len(set.Keys), maxKeys)
	}
	var keys []key
	for i, one := range set.Keys {
		k, err := parseJWK(one, secrets)
		switch {
		case err == nil:
			keys = append(keys, k)
		case alone:
			return nil, err
		case secrets:
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
	}
	return keys, nil
}

func parseJWK(text []byte, secrets bool) (key, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		return key{}, errors.New("no JWK that can be read")
	}
	_, secret := jwk.Key.([]byte)
	switch {
	case jwk.Use != "" && jwk.Use != "sig":
		return key{}, errors.New("its use is not sig")
	case secret && !secrets:
		return key{}, errors.New("a secret that is published is none")
	case !secret && !jwk.IsPublic():
		return key{}, errors.New("a private key is not needed here; give the public one")
	}
	k, err := keyOf(jwk.KeyID, jwk.Key)
	if err == nil && jwk.Algorithm != "" && jwk.Algorithm != string(k.algorithm) {
		return key{}, fmt.Errorf("a key of its type is for %s here", k.algorithm)
	}
	return k, err
}
