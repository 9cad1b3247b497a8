package fold

import (
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// An erased profile leaves a tombstone: its ids and when it was erased, nothing of
// the person. Events that were received before are dropped there; what comes after
// is of somebody new, under an id that cannot be the old one, because the keys'
// generation was raised.

// applyErase forgets a profile.
func (f *Fold) applyErase() {
	f.result.Applied = true
	e, err := record.ParseErase(f.Command.Body)
	if err != nil {
		f.refuse(err.Error())
		return
	}
	if f.Doc == nil {
		f.result.Nobody = true
		f.result.Outcome = refused("nobody has the profile")
		return
	}
	f.result.Outcome = &record.Outcome{Status: record.StatusAccepted, Profile: f.Command.Profile, Valid: true}
	if f.Doc.State == record.StateErased {
		return
	}
	tomb := &record.Document{State: record.StateErased, ErasedAt: f.Command.Received, IDs: f.Doc.Profile.IDs}
	for i := range f.Claims {
		if slices.Contains(tomb.IDs, f.Claims[i].Holder) {
			f.result.Moves = append(f.result.Moves, Move{Claim: i, Erased: tomb.ErasedAt})
		}
	}
	f.Doc = tomb
	f.result.Size = 64 + 40*len(tomb.IDs)
	f.changed(0)
	f.tellErased(e.By)
}

// tellErased sends the event that says so. It is about nobody: there is nobody left.
func (f *Fold) tellErased(by string) {
	f.application = application{event: systemEvent(f.Command, record.TypeProfileErased, erasedProperties(f.Command.Profile, by))}
	f.findType()
	f.hold()
	f.annotate()
	f.result.Own = len(f.result.Events)
	f.result.Events = append(f.result.Events, f.processed(f.Command.Hops, 128))
}

func erasedProperties(profile, by string) []byte {
	p := sdk.AppendString([]byte(`{"profile":`), profile)
	if by != "" {
		p = append(p, `,"by":`...)
		p = sdk.AppendString(p, by)
	}
	return append(p, '}')
}

// leave decides about an event at a tombstone that came after the erasure: it goes to
// somebody else.
func (f *Fold) leave() Decision {
	c := f.Command
	var d Decision
	for i := range f.Claims {
		claim := &f.Claims[i]
		// One that nobody holds must not lead back here either.
		switch {
		case slices.Contains(f.Doc.IDs, claim.Holder), claim.Holder == "" && slices.Contains(f.Doc.IDs, f.Derive(*claim)):
			d.Free = append(d.Free, i)
		case claim.Holder != "" && d.Forward == "" && f.tells(claim):
			d.Forward = claim.Holder
		}
	}
	if to := c.Event.Passed; d.Forward == "" && to != "" && !slices.Contains(f.Doc.IDs, to) {
		d.Forward = to
	}
	if d.Forward != "" {
		return d
	}
	if len(f.Claims) > 0 && f.Claims[0].Kind != record.KindFingerprint {
		strongest := f.Claims[0]
		if len(d.Free) > 0 && d.Free[0] == 0 {
			strongest.Gen++
		}
		d.Forward = f.Derive(strongest)
		return d
	}
	// It named the profile, or its browser looks like its, and nothing else.
	d.Forward = f.Derive(Claim{Identifier: record.Identifier{Kind: record.KindEventID, Value: c.Event.Source + "/" + c.Event.ID}, Gen: 1})
	return d
}

// late tells whether an event is of somebody who was erased after it was received: at
// the tombstone, or by its strongest identifier, wherever it was sent. Unless it names
// a profile that is there.
func (f *Fold) late() bool {
	c := f.Command
	if f.Doc != nil && f.Doc.State == record.StateErased {
		return !c.Received.After(f.Doc.ErasedAt)
	}
	if c.Profile == "" || len(f.Claims) == 0 || !f.Claims[0].Late {
		return false
	}
	return f.Doc == nil || c.Event.Profile == "" || !f.has(c.Event.Profile)
}

func erasedOutcome() *record.Outcome {
	return &record.Outcome{Status: record.StatusAccepted, Errors: []sdk.FieldError{{
		Path: "profile", Message: "was erased after the event was received; the event is dropped",
	}}}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
