package record

import (
	"encoding/binary"
	"fmt"
	"time"
)

// An Identity is the value of a key of the identities bucket.
type Identity struct {
	// Profile holds the key; empty after an erasure.
	Profile string
	// Gen goes into the ids derived from the key; an erasure raises it.
	Gen      uint64
	ErasedAt time.Time // zero unless erased
}

const identityVersion = 1

// AppendIdentity appends the value of an identities key.
func AppendIdentity(dst []byte, id Identity) []byte {
	return appendIdentity(append(dst, identityVersion), id)
}

func appendIdentity(dst []byte, id Identity) []byte {
	dst = appendBytes(dst, id.Profile)
	dst = binary.AppendUvarint(dst, id.Gen)
	var erased int64
	if !id.ErasedAt.IsZero() {
		erased = id.ErasedAt.UnixMilli()
	}
	return binary.AppendVarint(dst, erased)
}

// ParseIdentity decodes the value of an identities key.
func ParseIdentity(text []byte) (Identity, error) {
	r := reader{rest: text}
	if v := r.byte(); r.err == nil && v != identityVersion {
		return Identity{}, fmt.Errorf("%w: identity of version %d, want %d", ErrMalformed, v, identityVersion)
	}
	id := r.identity()
	return id, r.end()
}

func (r *reader) identity() Identity {
	id := Identity{Profile: r.string(), Gen: r.uvarint()}
	if erased := r.varint(); erased != 0 {
		id.ErasedAt = time.UnixMilli(erased).UTC()
	}
	return id
}
