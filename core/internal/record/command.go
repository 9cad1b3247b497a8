// Package record is what the streams carry: commands in INGEST, commits in
// COMMITS, processed events in EVENTS, documents in PROFILES, identities in
// their bucket. It encodes and decodes them and does nothing else.
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// An ID names a command for deduplication: 128 uniformly distributed bits.
type ID = [16]byte

// EventID is the ID of a client's event, known by its source and its own id.
func EventID(source, event string) ID { return digest('e', source, event) }

// DerivedID is the ID of the n-th command that commit c of a partition caused.
func DerivedID(partition int, c uint64, n int) ID {
	var b [24]byte
	binary.BigEndian.PutUint64(b[0:], uint64(partition))
	binary.BigEndian.PutUint64(b[8:], c)
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	return digest('c', string(b[:]), "")
}

// DueID is the ID of the command that does what is due at a profile at an instant.
func DueID(profile string, at time.Time) ID {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMilli()))
	return digest('d', profile, string(b[:]))
}

func digest(space byte, a, b string) (id ID) {
	var room [128]byte
	text := append(room[:0], space)
	text = appendBytes(text, a)
	text = appendBytes(text, b)
	sum := sha256.Sum256(text)
	copy(id[:], sum[:])
	return id
}

// FlowsReply is the subject on which flows answer a caller who takes the
// outcome of the event on reply.
func FlowsReply(reply string) string { return reply + "-f" }

// A Kind says what a command does.
type Kind byte

// The kinds of command. Their numbers are on disk: they never change meaning.
const (
	KindEvent   Kind = 1 // apply an event to a profile
	KindPatch   Kind = 2 // set and remove fields, on behalf of a flow or plugin
	KindSegment Kind = 3 // enter or leave a segment
	KindMerge   Kind = 4 // join a profile to an older one
	KindAbsorb  Kind = 5 // take over a merged profile's state
	KindResume  Kind = 6 // go on with a paused run
	KindErase   Kind = 7 // forget a profile
	KindConfig  Kind = 8 // work by a newer configuration from here on

	KindRedirect Kind = 9  // point a merged profile at where its survivor was merged into
	KindDue      Kind = 10 // do what is due at the profile by Received
	KindBackfill Kind = 11 // enter stored events into windows that are new
)

// A Command asks one partition for one change. Everything that changes a
// profile is a command.
type Command struct {
	Kind Kind
	// ID is what the fold knows repetitions by.
	ID ID
	// Profile is whom the command is routed to; empty for an event about
	// nobody and for KindConfig.
	Profile string
	// Reply is the subject on which a waiting caller takes the [Outcome];
	// empty where nobody waits.
	Reply string
	// Flows is true where the caller also waits for what the event's flows
	// answer. They answer on [FlowsReply] of the same subject.
	Flows bool
	// Patient is true where whoever takes the outcome does not mind when: the
	// command is processed along with others.
	Patient bool
	// Hops counts how many commands caused this one, one by another.
	Hops uint8
	// Forwards counts how often it was sent on to another profile, as one that was
	// merged does.
	Forwards uint8
	// Settled is true where the processor itself has decided whom the event
	// is about: it is not routed again.
	Settled  bool
	Received time.Time // when the gateway took in what caused it
	Event    *Event    // KindEvent
	Revision uint64    // KindConfig: the configuration's revision
	Body     []byte    // of the other kinds: [Patch], [Merge], [Absorb], [Erase], [Redirect], [Backfill], none of KindDue
}

// An Event is an event as the gateway took it in.
type Event struct {
	ID, Type, Source, Session string
	// Profile is the profile id that the client named, empty where it named none.
	Profile string
	// ProfileLess is true where the event is about nobody on purpose.
	ProfileLess bool
	// Transient is true where the event takes its effect and is not to be found
	// afterwards: the query store does not get it.
	Transient bool
	// TransientSession is the same of what the event says about its session. The
	// end of one that others have made known is stored all the same.
	TransientSession bool
	// TransientProfile is true where the event leaves its profile, and its session,
	// as they are, and makes none.
	TransientProfile bool
	// Ephemeral is true where the event's source was one when the event was taken in: it
	// stays so, whatever becomes of the source until it is processed.
	Ephemeral bool
	// Static is true where the first of IDs says whom the event is about, whatever
	// the others and the session say.
	Static bool
	// Passed is the profile that a link from another site says its visitor has there;
	// it exists. It is united with the one that the event is about.
	Passed string
	// Fingerprint is what a browser looks like, empty where its source does not go by
	// that.
	Fingerprint string
	Time        time.Time
	IDs         []Identifier
	Properties  []byte // JSON object, or empty
	Traits      []byte // JSON object, or empty
	Context     []byte // JSON object, or empty
	Tags        []string
}

// An Identifier is one value that identifies a person, such as an e-mail
// address. Value is normalised.
type Identifier struct {
	Kind, Value string
}

// The kinds of identifier that every installation has.
const (
	KindUser      = "user"
	KindAnonymous = "anonymous"
	KindEmail     = "email"
	// KindEventID is the event itself, source/id: what a profile is derived from where
	// nothing else identifies it.
	KindEventID   = "event"
	KindPhone     = "phone"
	KindSessionID = "session"
	// KindFingerprint is what a browser of a source looks like: the weakest of all,
	// for a short while, and on nobody's profile.
	KindFingerprint = "fingerprint"
)

// Moves tells whether identifiers of the kind go from one person to another, as
// those of a browser do when somebody else logs in.
func Moves(kind string) bool {
	return kind == KindAnonymous || kind == KindSessionID || kind == KindFingerprint
}

// ByFingerprint tells whether the event may be about whoever its browser looks like,
// where nothing else says whom it is about. One that brings an identifier which stays
// with a person may not: browsers that look alike are not one person's.
func (e *Event) ByFingerprint() bool {
	if e.Fingerprint == "" || e.Passed != "" || e.Static {
		return false
	}
	for i := range e.IDs {
		if !Moves(e.IDs[i].Kind) {
			return false
		}
	}
	return true
}

// FingerprintIdentifier is the event's fingerprint as an identifier, which counts for
// its source alone.
func (e *Event) FingerprintIdentifier() Identifier {
	return Identifier{Kind: KindFingerprint, Value: e.Source + "/" + e.Fingerprint}
}

const (
	commandVersion = 3

	flagSettled          = 1 << 0
	flagProfileLess      = 1 << 1
	flagFlows            = 1 << 2
	flagPatient          = 1 << 3
	flagTransient        = 1 << 4
	flagTransientSession = 1 << 5
	flagTransientProfile = 1 << 6
	flagStatic           = 1 << 7
	flagEphemeral        = 1 << 8
)

// AppendCommand appends one command. A message of INGEST is one or more of
// them, one after another.
func AppendCommand(dst []byte, c *Command) []byte {
	dst = append(dst, commandVersion, byte(c.Kind))
	var flags uint16
	if c.Settled {
		flags |= flagSettled
	}
	if c.Event != nil && c.Event.ProfileLess {
		flags |= flagProfileLess
	}
	if c.Event != nil && c.Event.Transient {
		flags |= flagTransient
	}
	if c.Event != nil && c.Event.TransientSession {
		flags |= flagTransientSession
	}
	if c.Event != nil && c.Event.TransientProfile {
		flags |= flagTransientProfile
	}
	if c.Event != nil && c.Event.Static {
		flags |= flagStatic
	}
	if c.Event != nil && c.Event.Ephemeral {
		flags |= flagEphemeral
	}
	if c.Flows {
		flags |= flagFlows
	}
	if c.Patient {
		flags |= flagPatient
	}
	dst = binary.BigEndian.AppendUint16(dst, flags)
	dst = append(dst, c.Hops, c.Forwards)
	dst = append(dst, c.ID[:]...)
	dst = appendBytes(dst, c.Profile)
	dst = appendBytes(dst, c.Reply)
	dst = binary.AppendVarint(dst, c.Received.UnixMilli())
	switch c.Kind {
	case KindEvent:
		return appendEvent(dst, c.Event)
	case KindConfig:
		return binary.AppendUvarint(dst, c.Revision)
	}
	return appendBytes(dst, c.Body)
}

func appendEvent(dst []byte, e *Event) []byte {
	dst = appendBytes(dst, e.ID)
	dst = appendBytes(dst, e.Type)
	dst = appendBytes(dst, e.Source)
	dst = appendBytes(dst, e.Session)
	dst = appendBytes(dst, e.Profile)
	dst = appendBytes(dst, e.Passed)
	dst = appendBytes(dst, e.Fingerprint)
	dst = binary.AppendVarint(dst, e.Time.UnixMilli())
	dst = binary.AppendUvarint(dst, uint64(len(e.IDs)))
	for _, id := range e.IDs {
		dst = appendBytes(dst, id.Kind)
		dst = appendBytes(dst, id.Value)
	}
	dst = appendBytes(dst, e.Properties)
	dst = appendBytes(dst, e.Traits)
	dst = appendBytes(dst, e.Context)
	dst = binary.AppendUvarint(dst, uint64(len(e.Tags)))
	for _, tag := range e.Tags {
		dst = appendBytes(dst, tag)
	}
	return dst
}

// ParseCommands decodes the commands of one message of INGEST. Their raw JSON
// fields are parts of the text, which must not change afterwards.
func ParseCommands(text []byte) ([]Command, error) {
	var commands []Command
	r := reader{rest: text}
	for len(r.rest) > 0 {
		c := Command{}
		r.command(&c)
		if r.err != nil {
			return nil, fmt.Errorf("command %d of the message: %w", len(commands), r.err)
		}
		commands = append(commands, c)
	}
	return commands, nil
}

// Awaited tells whether somebody waits impatiently for the outcome of a command of
// the message, without decoding it. A message that cannot be decoded is not.
func Awaited(text []byte) bool {
	r := reader{rest: text}
	for len(r.rest) > 0 {
		r.byte() // version
		kind := Kind(r.byte())
		flags := r.uint16()
		r.skip(2 + len(ID{})) // hops, forwards, id
		r.bytes()             // profile
		if len(r.bytes()) > 0 && flags&flagPatient == 0 && r.err == nil {
			return true
		}
		r.varint() // received
		switch kind {
		case KindEvent:
			r.skipEvent()
		case KindConfig:
			r.uvarint()
		default:
			r.bytes()
		}
	}
	return false
}

func (r *reader) skipEvent() {
	for range 7 { // id, type, source, session, profile, passed, fingerprint
		r.bytes()
	}
	r.varint() // time
	for range 2 * r.count(2) {
		r.bytes()
	}
	for range 3 { // properties, traits, context
		r.bytes()
	}
	for range r.count(1) {
		r.bytes()
	}
}

func (r *reader) command(c *Command) {
	if v := r.byte(); r.err == nil && v != commandVersion {
		r.fail(fmt.Sprintf("version %d of a command, want %d", v, commandVersion))
		return
	}
	c.Kind = Kind(r.byte())
	flags := r.uint16()
	c.Settled = flags&flagSettled != 0
	c.Flows = flags&flagFlows != 0
	c.Patient = flags&flagPatient != 0
	c.Hops, c.Forwards = r.byte(), r.byte()
	c.ID = r.id()
	c.Profile = r.string()
	c.Reply = r.string()
	c.Received = time.UnixMilli(r.varint()).UTC()
	switch c.Kind {
	case KindEvent:
		c.Event = r.event()
		c.Event.ProfileLess = flags&flagProfileLess != 0
		c.Event.Transient = flags&flagTransient != 0
		c.Event.TransientSession = flags&flagTransientSession != 0
		c.Event.TransientProfile = flags&flagTransientProfile != 0
		c.Event.Static = flags&flagStatic != 0
		c.Event.Ephemeral = flags&flagEphemeral != 0
	case KindConfig:
		c.Revision = r.uvarint()
	case KindPatch, KindSegment, KindMerge, KindAbsorb, KindResume, KindErase, KindRedirect, KindDue, KindBackfill:
		c.Body = r.bytes()
	default:
		r.fail(fmt.Sprintf("unknown kind %d", c.Kind))
	}
}

func (r *reader) event() *Event {
	e := &Event{
		ID: r.string(), Type: r.string(), Source: r.string(), Session: r.string(), Profile: r.string(),
		Passed: r.string(), Fingerprint: r.string(),
		Time: time.UnixMilli(r.varint()).UTC(),
	}
	if n := r.count(2); n > 0 {
		e.IDs = make([]Identifier, n)
		for i := range e.IDs {
			e.IDs[i] = Identifier{Kind: r.string(), Value: r.string()}
		}
	}
	e.Properties, e.Traits, e.Context = r.bytes(), r.bytes(), r.bytes()
	if n := r.count(1); n > 0 {
		e.Tags = make([]string, n)
		for i := range e.Tags {
			e.Tags[i] = r.string()
		}
	}
	return e
}

// Public returns the event in the public form, not yet applied to anybody.
func (e *Event) Public(received time.Time) sdk.Event {
	return sdk.Event{
		ID: e.ID, Type: e.Type, Source: e.Source, Session: e.Session, Time: e.Time, Received: received,
		Properties: sdk.RawObject(e.Properties), Traits: sdk.RawObject(e.Traits), Context: sdk.RawObject(e.Context),
		Tags: e.Tags, Valid: true,
	}
}
