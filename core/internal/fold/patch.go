package fold

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// applyPatch folds what a flow's run, or a plugin, wants of a profile: the profile
// is changed and the events are sent by the same commit, once however often the
// command comes.
//
// Who waits gets an outcome that is not valid, with the reason, where the
// command as a whole came to nothing.
func (f *Fold) applyPatch() {
	c, p := f.Command, f.patch
	if c.Profile != "" && !f.live() {
		f.result.Applied, f.result.Nobody = true, true
		f.result.Outcome = refused("nobody has the profile")
		return
	}
	before := segmentsBefore(f.Doc, p)
	if tooLarge := f.changeBy(p); tooLarge != nil {
		f.refuse(fmt.Sprintf("%s: %s", p.By, tooLarge[0].Message))
		return
	}
	f.result.Applied = true
	f.tellSegments(before)
	f.sendEvents(p)
	o := &record.Outcome{Status: record.StatusAccepted, Valid: true}
	if f.Doc != nil {
		o.Profile, o.Revision = f.Doc.Profile.ID, f.Doc.Profile.Revision
	}
	f.result.Outcome = o
}

// changeBy does the patches to the profile. One that does not fit it is left out.
// If they would make the profile too large none is done, and tooLarge says so.
func (f *Fold) changeBy(p *record.Patch) (tooLarge []sdk.FieldError) {
	c := f.Command
	growth := 2*len(c.Body) + 512 // an object is longer than its name in a path
	before, tight := f.guard(growth)
	var changed []sdk.Path
	for i := range p.Patches {
		if f.Doc == nil {
			f.problem(fmt.Errorf("%s: patch %d: there is no profile", p.By, i))
			continue
		}
		did, err := profile.Apply(f.Doc.Profile, p.Patches[i], c.Received)
		if err != nil {
			f.problem(fmt.Errorf("%s: patch %d: %w", p.By, i, err))
		}
		if did {
			changed = append(changed, f.stampPatch(&p.Patches[i], p.By))
		}
	}
	if tight && len(changed) > 0 {
		// With a revision that may be a digit longer.
		if size := len(f.Doc.AppendJSON(nil)) + 1; size > MaxDocument {
			f.restore(before)
			return overLimit(size)
		}
	}
	if len(changed) > 0 {
		f.Doc.Profile.Revision++
		f.Doc.Profile.Updated = later(f.Doc.Profile.Updated, c.Received)
		f.changed(growth)
		f.logChange(p.Author(), f.valuesAt(changed))
	}
	return nil
}

// stampPatch notes when a patch changed a field, and who wanted it, and returns which
// field it was. Segments say so themselves.
func (f *Fold) stampPatch(p *wire.Patch, by string) sdk.Path {
	path, err := sdk.ParsePath(p.Path)
	if err == nil && p.Op != wire.OpEnter && p.Op != wire.OpLeave {
		profile.Stamp(f.Doc, path.String(), f.Command.Received, by)
	}
	return path
}

// sendEvents makes a command of each event of a patch. It is about the profile of
// the patch, whoever it is by now identified by, and comes after it.
func (f *Fold) sendEvents(p *record.Patch) {
	c := f.Command
	for i := range p.Events {
		e := &p.Events[i]
		if err := sendable(e); err != nil {
			f.problem(fmt.Errorf("%s: event %d: %w", p.By, i, err))
			continue
		}
		e.ProfileLess = c.Profile == ""
		if e.Time.IsZero() {
			e.Time = c.Received
		}
		f.result.Commands = append(f.result.Commands, record.Command{
			Kind: record.KindEvent, ID: record.EventID(e.Source, e.ID), Profile: c.Profile,
			Hops: c.Hops + 1, Settled: true, Received: c.Received, Event: e,
		})
	}
}

// maxType is how many characters an event's type may have.
const maxType = 128

// sendable holds an event to what the gateway holds those of clients to, since
// it does not pass there.
func sendable(e *record.Event) error {
	switch {
	case e.ID == "" || e.Source == "":
		return fmt.Errorf("an event needs an id and a source")
	case e.Type == "" || utf8.RuneCountInString(e.Type) > maxType:
		return fmt.Errorf("type %.200q: want 1 to %d characters", e.Type, maxType)
	}
	for _, r := range e.Type {
		if unicode.IsControl(r) {
			return fmt.Errorf("type %q: control characters are not allowed", e.Type)
		}
	}
	for name, text := range map[string][]byte{"properties": e.Properties, "traits": e.Traits, "context": e.Context} {
		object, err := sdk.ParseObject(text)
		if err == nil {
			err = profile.Storable(object, profile.MaxDepth-1)
		}
		if err != nil {
			return fmt.Errorf("type %s: %s: %w", e.Type, name, err)
		}
	}
	return nil
}
