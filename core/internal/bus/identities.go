package bus

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An IdentityKey names an identity in its bucket: its kind, and a hash of its
// value under the installation's key.
type IdentityKey string

// sessionTTL is how long the key of a session is kept after it was written.
const sessionTTL = "48h"

// IdentityKey is the key of an identity.
func (b *Bus) IdentityKey(kind, value string) IdentityKey {
	sum := b.keyed("identity", kind, value, 0)
	var room [64]byte
	text := append(append(room[:0], encodeToken(kind)...), '.')
	return IdentityKey(hex.AppendEncode(text, sum[:16]))
}

// DerivedProfile is the id of the profile that an identity makes where nobody
// holds it: a UUIDv8 that every node derives alike, and that tells nothing.
func (b *Bus) DerivedProfile(kind, value string, gen uint64) string {
	sum := b.keyed("profile", kind, value, gen)
	var id uuid.UUID
	copy(id[:], sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// Pseudonym is a hash of a value under the installation's key, 64 hexadecimal digits:
// the same for the same value, and no use to whoever guesses values without the key.
func (b *Bus) Pseudonym(value string) string {
	sum := b.keyed("pseudonym", "", value, 0)
	return hex.EncodeToString(sum[:])
}

func (b *Bus) keyed(space, kind, value string, gen uint64) [sha256.Size]byte {
	var room [128]byte
	text := room[:0]
	for _, s := range [...]string{space, kind, value} {
		text = binary.AppendUvarint(text, uint64(len(s)))
		text = append(text, s...)
	}
	text = binary.AppendUvarint(text, gen)
	mac, _ := b.macs.Get().(hash.Hash)
	if mac == nil {
		mac = hmac.New(sha256.New, b.key)
	}
	defer b.macs.Put(mac)
	mac.Reset()
	mac.Write(text)
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	return sum
}

// A StoredIdentity is an identity as the bucket has it; Revision is 0 where
// there is none.
type StoredIdentity struct {
	Identity record.Identity
	Revision uint64
	Written  time.Time // a session's key is kept for 48 h from then on
}

// Over tells whether the time of an identity that was written then is up: it counts
// for nothing, also where the bucket still has it.
func Over(id record.Identity, written, now time.Time) bool {
	return id.TTL > 0 && !now.Before(written.Add(id.TTL))
}

// GetIdentity returns an identity and its revision, or ErrNotFound.
func (b *Bus) GetIdentity(ctx context.Context, key IdentityKey) (record.Identity, uint64, error) {
	list, err := b.GetIdentities(ctx, []IdentityKey{key})
	if err != nil {
		return record.Identity{}, 0, err
	}
	if list[0].Revision == 0 {
		return record.Identity{}, 0, fmt.Errorf("identity %s: %w", key, ErrNotFound)
	}
	return list[0].Identity, list[0].Revision, nil
}

// GetIdentities returns many identities at once.
func (b *Bus) GetIdentities(ctx context.Context, keys []IdentityKey) ([]StoredIdentity, error) {
	subjects := make([]string, len(keys))
	for i, key := range keys {
		subjects[i] = prefixIdentities + string(key)
	}
	list, err := b.lastOf(ctx, streamIdentities, subjects)
	if err != nil {
		return nil, fmt.Errorf("get identities: %w", err)
	}
	out := make([]StoredIdentity, len(list))
	for i, m := range list {
		if m.seq == 0 || m.deleted() {
			continue
		}
		id, err := record.ParseIdentity(m.data)
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", keys[i], err)
		}
		out[i] = StoredIdentity{Identity: id, Revision: m.seq, Written: m.time}
	}
	return out, nil
}

// CreateIdentity writes an identity that nobody holds, else returns ErrExists;
// it then tells no holder, since that may change.
func (b *Bus) CreateIdentity(ctx context.Context, key IdentityKey, id record.Identity) (revision uint64, err error) {
	revision, err = b.UpdateIdentity(ctx, key, id, 0)
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("%w: %w", ErrExists, err)
	}
	return revision, err
}

// UpdateIdentity replaces an identity that is at the expected revision, else
// returns ErrConflict. A session's key is kept for 48 h from then on, any for its TTL.
func (b *Bus) UpdateIdentity(ctx context.Context, key IdentityKey, id record.Identity, expect uint64) (revision uint64, err error) {
	results, err := b.PutIdentities(ctx, []IdentityPut{{Key: key, Identity: id, Expect: expect}})
	if err != nil {
		return 0, err
	}
	if results[0].Conflict {
		return 0, fmt.Errorf("identity %s: %w", key, ErrConflict)
	}
	return results[0].Revision, nil
}

// An IdentityPut asks for an identity to be written.
type IdentityPut struct {
	Key      IdentityKey
	Identity record.Identity
	Expect   uint64 // the revision it replaces; 0: there is none
}

// PutIdentities writes many identities at once, each provided that it is at
// the expected revision. It tries until the context ends.
func (b *Bus) PutIdentities(ctx context.Context, puts []IdentityPut) ([]PutResult, error) {
	session := encodeToken(record.KindSessionID) + "."
	items := make([]conditionalPut, len(puts))
	for i, p := range puts {
		items[i] = conditionalPut{
			subject: prefixIdentities + string(p.Key), data: record.AppendIdentity(nil, p.Identity), expect: p.Expect,
		}
		switch {
		case p.Identity.TTL > 0:
			items[i].header = []field{{headerTTL, p.Identity.TTL.String()}}
		case strings.HasPrefix(string(p.Key), session):
			items[i].header = []field{{headerTTL, sessionTTL}}
		}
	}
	results, err := b.putAll(ctx, b.effects, streamIdentities, items)
	if err != nil {
		return nil, fmt.Errorf("put identities: %w", err)
	}
	return results, nil
}
