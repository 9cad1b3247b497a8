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
	Gen uint64
	// ErasedAt is when a holder of it was erased last, also where another one has it
	// now; zero: none was.
	ErasedAt time.Time
	// TTL is how long the key is kept after it was written, in whole seconds; 0: for
	// as long as those of its kind are.
	TTL time.Duration
	// By is the commit that made the profile the holder.
	By CommitID
}

// A CommitID names a commit: the C-th of its partition. C is 0 for none.
type CommitID struct {
	Partition int
	C         uint64
}

const identityVersion = 3

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
	dst = binary.AppendVarint(dst, erased)
	dst = binary.AppendUvarint(dst, uint64(id.TTL/time.Second))
	return appendCommitID(dst, id.By)
}

func appendCommitID(dst []byte, id CommitID) []byte {
	dst = binary.AppendUvarint(dst, uint64(id.Partition))
	return binary.AppendUvarint(dst, id.C)
}

func (r *reader) commitID() CommitID { return CommitID{Partition: int(r.uvarint()), C: r.uvarint()} }

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
	id.TTL = time.Duration(r.uvarint()) * time.Second
	id.By = r.commitID()
	return id
}
