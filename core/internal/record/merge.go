package record

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Rank orders profiles by age. It never changes, and of two that are one person
// the younger is merged into the older, so that no merges run in a circle.
type Rank struct {
	Created time.Time
	ID      string
}

// Before tells whether the rank is that of the older profile.
func (r Rank) Before(other Rank) bool {
	if !r.Created.Equal(other.Created) {
		return r.Created.Before(other.Created)
	}
	return r.ID < other.ID
}

// A Merge is the body of a command of KindMerge: a peer says that it has met an
// identifier which the profile holds, so that the two are one person.
type Merge struct {
	Peer Rank
	// Shared are the identifiers that the peer has met, the strongest first.
	Shared []Identifier
	// Identities are the peer's.
	Identities map[string][]string
}

// An Absorb is the body of a command of KindAbsorb: what becomes part of the
// profile.
type Absorb struct {
	// From was merged into the profile; it is a redirect from now on.
	From string
	// Document was that of From, as JSON; empty where nobody had the id.
	Document []byte
	// Shared are the identifiers by which the two were found to be one.
	Shared []Identifier
}

// An Erase is the body of a command of KindErase.
type Erase struct{ By string }

// A Redirect is the body of a command of KindRedirect: what the profile was merged
// into was itself merged into another.
type Redirect struct{ To Rank }

// AppendMerge appends the body.
func AppendMerge(dst []byte, m *Merge) []byte {
	dst = appendRank(append(dst, mergeVersion), m.Peer)
	dst = appendIdentifiers(dst, m.Shared)
	dst = binary.AppendUvarint(dst, uint64(len(m.Identities)))
	for _, kind := range slices.Sorted(maps.Keys(m.Identities)) {
		dst = appendBytes(dst, kind)
		dst = binary.AppendUvarint(dst, uint64(len(m.Identities[kind])))
		for _, value := range m.Identities[kind] {
			dst = appendBytes(dst, value)
		}
	}
	return dst
}

const mergeVersion = 1

// ParseMerge decodes the body.
func ParseMerge(text []byte) (*Merge, error) {
	r := reader{rest: text}
	r.version("merge")
	m := &Merge{Peer: r.rank(), Shared: r.identifiers()}
	if n := r.count(2); n > 0 {
		m.Identities = make(map[string][]string, n)
		for range n {
			kind := r.string()
			values := make([]string, 0, 1)
			for range r.count(1) {
				values = append(values, r.string())
			}
			m.Identities[kind] = values
		}
	}
	return m, r.end()
}

// AppendAbsorb appends the body.
func AppendAbsorb(dst []byte, a *Absorb) []byte {
	dst = appendBytes(append(dst, mergeVersion), a.From)
	dst = appendBytes(dst, a.Document)
	return appendIdentifiers(dst, a.Shared)
}

// ParseAbsorb decodes the body; the document is a part of it.
func ParseAbsorb(text []byte) (*Absorb, error) {
	r := reader{rest: text}
	r.version("absorb")
	a := &Absorb{From: r.string(), Document: r.bytes(), Shared: r.identifiers()}
	return a, r.end()
}

// AppendErase appends the body.
func AppendErase(dst []byte, e *Erase) []byte { return appendBytes(append(dst, mergeVersion), e.By) }

// ParseErase decodes the body.
func ParseErase(text []byte) (*Erase, error) {
	r := reader{rest: text}
	r.version("erase")
	e := &Erase{By: r.string()}
	return e, r.end()
}

// AppendRedirect appends the body.
func AppendRedirect(dst []byte, d *Redirect) []byte {
	return appendRank(append(dst, mergeVersion), d.To)
}

// ParseRedirect decodes the body.
func ParseRedirect(text []byte) (*Redirect, error) {
	r := reader{rest: text}
	r.version("redirect")
	d := &Redirect{To: r.rank()}
	return d, r.end()
}

func appendRank(dst []byte, r Rank) []byte {
	return appendBytes(binary.AppendVarint(dst, r.Created.UnixMilli()), r.ID)
}

func (r *reader) rank() Rank {
	return Rank{Created: time.UnixMilli(r.varint()).UTC(), ID: r.string()}
}

func appendIdentifiers(dst []byte, list []Identifier) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, id := range list {
		dst = appendBytes(appendBytes(dst, id.Kind), id.Value)
	}
	return dst
}

func (r *reader) identifiers() []Identifier {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]Identifier, n)
	for i := range list {
		list[i] = Identifier{Kind: r.string(), Value: r.string()}
	}
	return list
}

func (r *reader) version(of string) {
	if v := r.byte(); r.err == nil && v != mergeVersion {
		r.fail(fmt.Sprintf("version %d of a command to %s, want %d", v, of, mergeVersion))
	}
}
