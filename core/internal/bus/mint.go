package bus

import (
	"fmt"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// A mint makes users of an account of an external NATS, which trusts whatever
// one of the account's signing keys has signed.
type mint struct {
	key     nkeys.KeyPair
	account string // empty: key is the account's own
}

// newMint takes the seed of a signing key, and the account from the credentials
// that the core itself logs in with.
func newMint(seed, creds string) (*mint, error) {
	key, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, fmt.Errorf("bus.signing_key: %w; want the seed of an account's signing key, SA…", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus.signing_key: %w", err)
	}
	if !nkeys.IsValidPublicAccountKey(public) {
		return nil, fmt.Errorf("bus.signing_key is the seed of another kind of key; want that of an account's signing key, SA…")
	}
	token, _, err := credentials(creds)
	if err != nil {
		return nil, fmt.Errorf("bus.signing_key: find out the account: %w", err)
	}
	if token == "" {
		return nil, fmt.Errorf("bus.signing_key needs bus.creds, whose user tells the account")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, fmt.Errorf("bus.signing_key: find out the account from %s: %w", creds, err)
	}
	m := &mint{key: key, account: claims.Issuer}
	if claims.IssuerAccount != "" {
		m.account = claims.IssuerAccount
	}
	if m.account == public {
		m.account = ""
	}
	return m, nil
}

// openMint finds out how plugins are to log in to an external NATS.
func (b *Bus) openMint() (err error) {
	switch {
	case b.options.SigningKey != "":
		b.mint, err = newMint(b.options.SigningKey, b.options.Creds)
	case b.options.ShareCredentials:
		b.log.Warn("every plugin gets the core's own credentials for NATS and may read and write everything there, since plugins.share_credentials is set; bus.signing_key would give each a user of its own")
	default:
		b.log.Info("only the plugins that are part of the product run: others need bus.signing_key on an external NATS")
	}
	return err
}

// user signs that the owner of a public key may do something until a time.
func (m *mint) user(key, name string, p *server.Permissions, until time.Time) (string, error) {
	claims := jwt.NewUserClaims(key)
	claims.Name, claims.IssuerAccount, claims.Expires = name, m.account, until.Unix()
	claims.Pub.Allow, claims.Sub.Allow = p.Publish.Allow, p.Subscribe.Allow
	claims.Resp = &jwt.ResponsePermission{MaxMsgs: p.Response.MaxMsgs, Expires: p.Response.Expires}
	claims.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}
	token, err := claims.Encode(m.key)
	if err != nil {
		return "", fmt.Errorf("sign a user with bus.signing_key: %w", err)
	}
	return token, nil
}

// credentials reads a credentials file; without one both are empty.
func credentials(path string) (token, seed string, err error) {
	if path == "" {
		return "", "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("read bus.creds: %w", err)
	}
	if token, err = nkeys.ParseDecoratedJWT(text); err != nil {
		return "", "", fmt.Errorf("read bus.creds %s: %w", path, err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return "", "", fmt.Errorf("read bus.creds %s: %w", path, err)
	}
	raw, err := pair.Seed()
	if err != nil {
		return "", "", fmt.Errorf("read bus.creds %s: %w", path, err)
	}
	return token, string(raw), nil
}
