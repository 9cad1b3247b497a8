// Package fold says what a command does to the profile that it reaches. It is a
// function of the command, the document, who holds the identifiers, and the
// configuration: there is no clock and no I/O here, so that the same log gives
// the same profiles, events and commands wherever it is read.
//
// Whoever drives it owns the documents: it gives them in and keeps what comes out.
package fold

import (
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// MaxDocument is how large a profile's document may become, in bytes of JSON.
const MaxDocument = 1 << 20

// A Claim is an identifier of a command and who holds its key.
type Claim struct {
	record.Identifier
	Holder string // profile id, empty where nobody holds it
	// From is who held the key until this event took it; empty where nobody did.
	From string
	Gen  uint64 // how often a holder of it was erased
	// Late is true where a holder was erased after the command was received.
	Late bool
	// Foreign is true for an anonymous id that another user's profile holds
	// than the event's.
	Foreign bool
}

// An Input is a command and what it meets.
type Input struct {
	Rules   *Rules
	Command *record.Command
	// Doc is the document of Command.Profile, nil where nobody has the id yet. It is
	// changed in place.
	Doc *record.Document
	// Size is about how many bytes the document takes, encoded.
	Size int
	// Claims are the identifiers that [Fold.Wants] lists, in its order.
	Claims []Claim
	// Derive is the id of the person whom an identifier that nobody holds makes.
	Derive func(Claim) string
	// Hash is a keyed hash of a text, for fields that are stored hashed.
	Hash func(text string) string
}

// A Decision says what becomes of an event that reached a profile.
type Decision struct {
	// Forward names the profile that the event belongs to instead, empty
	// where it is applied here. Settled goes with it.
	Forward string
	Settled bool
	// Take are the claims, by index, whose keys become this profile's: those
	// that nobody holds and those that move to it.
	Take []int
	// Free are the claims whose keys an erased profile still holds, Give those that go
	// to whom the event is forwarded.
	Free, Give []int
}

// A Move makes another profile the holder of a claim's key, or nobody.
type Move struct {
	Claim int
	To    string // empty: nobody, because who held it was erased
	// Erased is when, where To is empty.
	Erased time.Time
}

// A Result is what a command does. Its slices are valid until the next one.
type Result struct {
	// Doc is the document after the command; Changed tells whether it is another than before.
	Doc     *record.Document
	Changed bool
	Size    int
	// Applied is true where the command took effect here: its id is then known.
	Applied bool
	Moves   []Move
	// Events go to EVENTS; Own is the command's own among them, -1 where it has none.
	Events []record.Processed
	Own    int
	// Changes go there after them: what was changed without an event that says so.
	Changes []record.Processed
	// Commands are sent to the partitions of their profiles, of Command.Profile
	// where theirs is empty. Those without an ID get one of their place.
	Commands []record.Command
	// Outcome answers who waits for the command; nil: whoever applies it does.
	Outcome *record.Outcome
	// Dead is why the command becomes a dead letter, empty where it does not.
	Dead string
	// Forwarded, Invalid and Nobody say what happened, for who counts.
	Forwarded, Invalid, Nobody bool
	// Problems are rules that failed, and parts of a patch that do not fit.
	Problems []error
}

// A Fold folds commands, one after another. It is not safe for concurrent use.
type Fold struct {
	Input
	application
	merge  *record.Merge
	absorb *absorption
	found  *record.Backfill
	patch  *record.Patch
	broken error // why the body cannot be read
	full   bool  // there is no room for another system event
	result Result
}

// Begin takes a command up. What it needs to know of identifiers is then told by
// Wants, if Claims are not there yet.
func (f *Fold) Begin(in Input) {
	f.Input = in
	f.merge, f.absorb, f.found, f.patch, f.broken, f.full = nil, nil, nil, nil, nil, false
	f.result = Result{
		Doc: in.Doc, Size: in.Size, Own: -1,
		Events: f.result.Events[:0], Changes: f.result.Changes[:0], Commands: f.result.Commands[:0], Moves: f.result.Moves[:0], Problems: f.result.Problems[:0],
	}
	f.application = application{}
	switch in.Command.Kind {
	case record.KindPatch:
		f.patch, f.broken = record.ParsePatch(in.Command.Body)
	case record.KindMerge:
		f.merge, f.broken = record.ParseMerge(in.Command.Body)
	case record.KindAbsorb:
		f.absorb, f.broken = parseAbsorption(in.Command.Body)
	case record.KindBackfill:
		f.found, f.broken = record.ParseBackfill(in.Command.Body)
	}
}

// Wants lists the identifiers whose holders the command depends on.
func (f *Fold) Wants() []record.Identifier {
	switch {
	case f.broken != nil:
	case f.Command.Kind == record.KindEvent:
		return EventIdentifiers(f.Command.Event)
	case f.merge != nil:
		return f.merge.Shared
	case f.absorb != nil:
		return f.absorb.identifiers()
	case f.Command.Kind == record.KindErase && f.live():
		return identifiersOf(f.Doc)
	}
	return nil
}

// Resolve says who holds what Wants lists.
func (f *Fold) Resolve(claims []Claim) { f.Claims = claims }

// EventIdentifiers are those of an event, the strongest first: the session and the
// fingerprint come last.
func EventIdentifiers(e *record.Event) []record.Identifier {
	if e.ProfileLess || len(e.IDs) == 0 && e.Session == "" && e.Fingerprint == "" {
		return nil
	}
	list := e.IDs[:len(e.IDs):len(e.IDs)]
	if e.Session != "" {
		list = append(list, record.Identifier{Kind: record.KindSessionID, Value: e.Session})
	}
	if e.Fingerprint != "" {
		list = append(list, e.FingerprintIdentifier())
	}
	return list
}

// live tells whether the profile is one that can be changed.
func (f *Fold) live() bool { return f.Doc != nil && f.Doc.State == record.StateLive }

// Route decides whom a command is about. Only an event takes keys: Apply relies on
// their being taken, and the claims' saying so.
func (f *Fold) Route() Decision {
	c := f.Command
	if c.Kind == record.KindEvent {
		f.examine()
		erased := f.Doc != nil && f.Doc.State == record.StateErased
		if c.Profile == "" || !f.event.Valid && !erased || f.late() {
			return Decision{}
		}
	}
	switch {
	case f.Doc != nil && f.Doc.State == record.StateRedirect && c.Profile != "":
		if c.Kind == record.KindRedirect || c.Kind == record.KindDue {
			return Decision{}
		}
		return Decision{Forward: f.Doc.To, Settled: c.Settled}
	case c.Kind != record.KindEvent:
		return Decision{}
	case f.Doc != nil && f.Doc.State == record.StateErased:
		return f.leave()
	}
	return f.route()
}

// Apply does what the command asks for, by the decision that Route made.
func (f *Fold) Apply(d Decision) *Result {
	c := f.Command
	switch {
	case c.Hops > record.MaxHops:
		f.refuse(tooManyHops)
	case f.broken != nil:
		f.refuse(f.broken.Error())
	case d.Forward != "" && c.Forwards >= maxForwards:
		f.refuse(tooManyForwards)
	case d.Forward != "":
		f.forward(d)
	default:
		switch c.Kind {
		case record.KindEvent:
			f.applyEvent()
		case record.KindPatch:
			f.applyPatch()
		case record.KindMerge:
			f.applyMerge()
		case record.KindAbsorb:
			f.applyAbsorb()
		case record.KindErase:
			f.applyErase()
		case record.KindRedirect:
			f.applyRedirect()
		case record.KindDue:
			f.applyDue()
		case record.KindBackfill:
			f.applyBackfill()
		default:
			f.refuse("commands of this kind are not processed by this version")
		}
	}
	if f.result.Changed {
		f.result.Doc.Due = f.dueOf(f.result.Doc)
	}
	return &f.result
}

// Repeated is the result of a command that was applied before.
func (f *Fold) Repeated() *Result {
	o := &record.Outcome{Status: record.StatusDuplicate, Valid: true}
	if f.Doc != nil {
		o.Profile = f.Command.Profile
		if f.Doc.State == record.StateRedirect {
			o.Profile = f.Doc.To
		}
	}
	if f.Command.Event != nil {
		o.Session = f.Command.Event.Session
	}
	f.result.Outcome = o
	return &f.result
}

// forward sends the command to the profile that it belongs to. Its id is not known
// by that: it is where it is applied.
func (f *Fold) forward(d Decision) {
	next := *f.Command
	next.Profile, next.Settled = d.Forward, d.Settled
	next.Forwards++
	f.result.Commands = append(f.result.Commands, next)
	f.result.Forwarded = true
	for _, i := range d.Free {
		f.result.Moves = append(f.result.Moves, Move{Claim: i, Erased: f.Doc.ErasedAt})
	}
	for _, i := range d.Give {
		f.result.Moves = append(f.result.Moves, Move{Claim: i, To: d.Forward})
	}
}

// refuse sets the command aside and tells who waits for it.
func (f *Fold) refuse(reason string) {
	f.result.Dead = reason
	f.result.Outcome = refused(reason)
}

// refused is the outcome of a command that came to nothing.
func refused(reason string) *record.Outcome {
	return &record.Outcome{
		Status: record.StatusAccepted, Errors: []sdk.FieldError{{Path: "command", Message: reason}},
	}
}

// tooManyHops is why commands that set each other off come to an end.
var tooManyHops = fmt.Sprintf("more than %d commands caused one another; look for flows that set each other off", record.MaxHops)

// maxForwards is how often a command is sent on from one profile to another. Redirects
// lead to ever older profiles and are shortened, so it takes a fault to come here.
const maxForwards = 200

var tooManyForwards = fmt.Sprintf("sent on from profile to profile more than %d times", maxForwards)

// changed notes what the profile's document is now; growth is about how many bytes
// were added.
func (f *Fold) changed(growth int) {
	f.result.Doc, f.result.Changed = f.Doc, true
	f.result.Size += growth
}

// guard tells whether a change that adds about growth bytes may make the
// profile too large, and then gives its text, to put it back by.
func (f *Fold) guard(growth int) (before []byte, tight bool) {
	if f.result.Size+2*growth <= MaxDocument {
		return nil, false
	}
	if f.Doc != nil {
		before = f.Doc.AppendJSON(nil)
	}
	f.result.Size = len(before)
	return before, f.result.Size+2*growth > MaxDocument
}

// restore puts the profile back as it was.
func (f *Fold) restore(before []byte) {
	f.Doc = nil
	if before != nil {
		doc, err := record.ParseDocument(before)
		if err != nil {
			panic(fmt.Sprintf("a document that was written just now cannot be read: %v", err))
		}
		f.Doc = doc
	}
	f.result.Doc = f.Doc
}

// overLimit is what an event or a patch is told that would make its profile too
// large.
func overLimit(size int) []sdk.FieldError {
	return []sdk.FieldError{{
		Path: "profile", Message: fmt.Sprintf("the profile would take %d bytes, over the limit of %d", size, MaxDocument),
	}}
}
