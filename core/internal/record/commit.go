package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

// A Position is a place in a partition's part of INGEST: all messages below
// Seq are done, and of message Seq the first Done commands.
type Position struct {
	Seq  uint64
	Done uint32 // AllDone where the message is done whole
}

// AllDone says that a message is done, however many commands it holds.
const AllDone = math.MaxUint32

// A Commit is one batch of a partition: the message of COMMITS that makes it
// happen, with all that its effects need to be repeated.
type Commit struct {
	Partition int
	C         uint64   // grows by one with each commit of the partition
	From, To  Position // what of INGEST it covers
	Revision  uint64   // the configuration it leaves the partition with
	At        time.Time
	// Holders are the identities that the batch created or moves.
	Holders []Holder
	// Found are the identifiers of its commands, but for those that the command's
	// profile held alone and always had: with them, the commands and the configuration
	// the batch can be folded again.
	Found []Finding
	// Known are those of its commands, by number, that had been applied before.
	Known     []uint32
	Seen      []ID
	Documents []Change
	Events    []Processed
	Commands  []Routed
	Replies   []Reply
}

// A Holder says that the commit makes a profile the holder of a key of the
// identities bucket.
type Holder struct {
	Key      string // as the bucket has it: kind and keyed hash
	Identity Identity
	// From is the commit that had made who held the key before its holder;
	// none where nobody held it. Revision is that of the key then.
	From     CommitID
	Revision uint64
}

// A Finding is who held an identifier of a command when it was folded.
type Finding struct {
	Command, Claim uint32 // by number: of the batch's commands, of the command's identifiers
	Holder, From   string
	Gen            uint64
	Foreign, Late  bool
}

// A Change is a profile's document after the commit.
type Change struct {
	Profile  string
	Document []byte // [Document], encoded
}

// A Routed is a command that the commit causes, and the profile's partition.
type Routed struct {
	Partition int
	Command   []byte // [Command], encoded
}

// A Reply answers a caller who waits for the outcome of a command.
type Reply struct {
	Subject string
	Data    []byte // [Outcome], encoded
}

// scratch holds commits while they are put together.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// AppendCommit appends the commit, compressed.
func AppendCommit(dst []byte, c *Commit) []byte {
	room := scratch.Get().(*[]byte)
	defer scratch.Put(room)
	b := (*room)[:0]
	b = binary.AppendUvarint(b, uint64(c.Partition))
	b = binary.AppendUvarint(b, c.C)
	for _, p := range [...]Position{c.From, c.To} {
		b = binary.AppendUvarint(b, p.Seq)
		b = binary.AppendUvarint(b, uint64(p.Done))
	}
	b = binary.AppendUvarint(b, c.Revision)
	b = binary.AppendVarint(b, c.At.UnixMilli())
	b = binary.AppendUvarint(b, uint64(len(c.Holders)))
	for i := range c.Holders {
		h := &c.Holders[i]
		b = appendBytes(b, h.Key)
		b = appendIdentity(b, h.Identity)
		b = appendCommitID(b, h.From)
		b = binary.AppendUvarint(b, h.Revision)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Found)))
	for i := range c.Found {
		f := &c.Found[i]
		b = binary.AppendUvarint(b, uint64(f.Command))
		b = binary.AppendUvarint(b, uint64(f.Claim))
		b = appendBytes(b, f.Holder)
		b = appendBytes(b, f.From)
		b = binary.AppendUvarint(b, f.Gen<<2|bit(f.Late)<<1|bit(f.Foreign))
	}
	b = binary.AppendUvarint(b, uint64(len(c.Known)))
	for _, n := range c.Known {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendUvarint(b, uint64(len(c.Seen)))
	for i := range c.Seen {
		b = append(b, c.Seen[i][:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Documents)))
	for i := range c.Documents {
		b = appendBytes(b, c.Documents[i].Profile)
		b = appendBytes(b, c.Documents[i].Document)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Events)))
	for i := range c.Events {
		b = appendBytes(b, c.Events[i].Type)
		b = appendBytes(b, c.Events[i].Data)
		b = append(b, c.Events[i].Hops)
		b = appendBytes(b, c.Events[i].Reply)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Commands)))
	for i := range c.Commands {
		b = binary.AppendUvarint(b, uint64(c.Commands[i].Partition))
		b = appendBytes(b, c.Commands[i].Command)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Replies)))
	for i := range c.Replies {
		b = appendBytes(b, c.Replies[i].Subject)
		b = appendBytes(b, c.Replies[i].Data)
	}
	*room = b
	dst = append(dst, commitVersion)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(b)))
	packed := s2.Encode(dst[len(dst):cap(dst)], b)
	return dst[:len(dst)+len(packed)]
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

const (
	commitVersion = 7
	// maxCommit bounds what a commit may inflate to, so that a damaged length
	// cannot ask for all memory. A commit is cut long before.
	maxCommit = 256 << 20
)

// ParseCommit decodes a message of COMMITS.
func ParseCommit(text []byte) (*Commit, error) {
	if len(text) == 0 || text[0] != commitVersion {
		return nil, fmt.Errorf("%w: no commit of version %d", ErrMalformed, commitVersion)
	}
	if n, err := s2.DecodedLen(text[1:]); err != nil || n > maxCommit {
		return nil, errors.Join(fmt.Errorf("%w: a commit of %d bytes, want at most %d", ErrMalformed, n, maxCommit), err)
	}
	plain, err := s2.Decode(nil, text[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r := reader{rest: plain}
	c := &Commit{Partition: int(r.uvarint()), C: r.uvarint()}
	for _, p := range [...]*Position{&c.From, &c.To} {
		p.Seq = r.uvarint()
		p.Done = uint32(r.uvarint())
	}
	c.Revision = r.uvarint()
	c.At = time.UnixMilli(r.varint()).UTC()
	if n := r.count(4); n > 0 {
		c.Holders = make([]Holder, n)
		for i := range c.Holders {
			c.Holders[i] = Holder{Key: r.string(), Identity: r.identity(), From: r.commitID(), Revision: r.uvarint()}
		}
	}
	if n := r.count(5); n > 0 {
		c.Found = make([]Finding, n)
		for i := range c.Found {
			f := &c.Found[i]
			f.Command, f.Claim, f.Holder, f.From = uint32(r.uvarint()), uint32(r.uvarint()), r.string(), r.string()
			gen := r.uvarint()
			f.Gen, f.Late, f.Foreign = gen>>2, gen&2 != 0, gen&1 != 0
		}
	}
	if n := r.count(1); n > 0 {
		c.Known = make([]uint32, n)
		for i := range c.Known {
			c.Known[i] = uint32(r.uvarint())
		}
	}
	if n := r.count(len(ID{})); n > 0 {
		c.Seen = make([]ID, n)
		for i := range c.Seen {
			c.Seen[i] = r.id()
		}
	}
	if n := r.count(2); n > 0 {
		c.Documents = make([]Change, n)
		for i := range c.Documents {
			c.Documents[i] = Change{Profile: r.string(), Document: r.bytes()}
		}
	}
	if n := r.count(4); n > 0 {
		c.Events = make([]Processed, n)
		for i := range c.Events {
			c.Events[i] = Processed{Type: r.string(), Data: r.bytes(), Hops: r.byte(), Reply: r.string()}
		}
	}
	if n := r.count(2); n > 0 {
		c.Commands = make([]Routed, n)
		for i := range c.Commands {
			c.Commands[i] = Routed{Partition: int(r.uvarint()), Command: r.bytes()}
		}
	}
	if n := r.count(2); n > 0 {
		c.Replies = make([]Reply, n)
		for i := range c.Replies {
			c.Replies[i] = Reply{Subject: r.string(), Data: r.bytes()}
		}
	}
	return c, r.end()
}
