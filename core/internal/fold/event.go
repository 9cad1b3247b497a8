package fold

import (
	"slices"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// An application is an event on its way into a profile.
type application struct {
	event sdk.Event
	// eventType holds the rules of the event's type, nil where there are none.
	eventType *config.EventType
	changes   map[string]any
	// ephemeral is true for an event that is folded and not kept.
	ephemeral bool
	// made is how many bytes the event's type has made of the event, 0 where it is as
	// it was sent.
	made int
	// transient and transientSession are true where the query store is not to have the
	// event, and what it says of its session.
	transient, transientSession bool
	// aside is true for an event that leaves its profile as it is.
	aside bool

	scope   condition.Vars
	history profile.History
}

// examine prepares the event for its profile and tells by event.Valid whether it is
// one that may change it. It changes nothing.
func (f *Fold) examine() {
	c := f.Command
	f.application = application{event: c.Event.Public(c.Received)}
	if c.Hops > 0 && c.Profile != "" && f.event.Session != "" && !f.attending() {
		f.event.Session = "" // what a flow sends opens no session and goes back to none
	}
	if f.ephemeral = f.Rules.Ephemeral(c.Event); f.ephemeral {
		f.event.Session = ""
	}
	f.transient = f.ephemeral || c.Event.Transient
	f.transientSession = f.ephemeral || c.Event.TransientSession || c.Event.TransientProfile
	f.aside = c.Event.TransientProfile
	if list := f.Rules.screens(f.event.Type); list != nil {
		f.screen(list)
	}
	f.findType()
	f.hold()
}

func (f *Fold) problem(err error) {
	if err != nil {
		f.result.Problems = append(f.result.Problems, err)
	}
}

// invalid marks the event as not valid. It is about nobody then, but for a system
// event: that tells what has become of a profile.
func (f *Fold) invalid(errs []sdk.FieldError) {
	f.event.Valid, f.event.Errors = false, errs
	if f.Doc == nil || f.event.Source != record.SourceSystem {
		f.event.Profile = ""
	}
}

// vars are what the rules' conditions see. Now is when the event was received.
func (f *Fold) vars() *condition.Vars {
	f.history = profile.History{Now: f.event.Received, Kept: f.Rules.set.Kept()}
	v := &f.scope
	*v = condition.Vars{Event: &f.event, Now: f.event.Received, History: &f.history}
	if f.live() {
		f.history.Doc = f.Doc
		v.Profile = f.Doc.Profile
		if s := f.Doc.Find(f.event.Session); s != nil {
			v.Session = &s.Session
		}
	}
	return v
}

// applyEvent folds an event into its profile, or describes it where it is about
// nobody.
func (f *Fold) applyEvent() {
	c := f.Command
	f.result.Applied = true
	switch {
	case f.late():
		f.result.Outcome = erasedOutcome()
		return
	case !f.event.Valid:
		f.result.Invalid = true
	case c.Profile == "":
		f.annotate()
	case c.Event.TransientProfile:
		f.applyAside()
	default:
		f.applyWithin()
		if f.event.Valid {
			f.propose()
		}
	}
	f.emit()
}

// applyWithin folds a valid event into its profile, unless that would make the
// profile too large: then the event is kept as not valid.
func (f *Fold) applyWithin() {
	e := f.Command.Event
	growth := len(e.Properties) + len(e.Traits) + len(e.Context) + f.made + 512
	if f.Doc == nil || f.event.Session != "" && !f.attending() {
		growth += 1024 // what begins is kept and told, too
	}
	growth += f.stamps()
	before, tight := f.guard(growth)
	told := len(f.result.Events)
	f.enter()
	if tight {
		if size := len(f.Doc.AppendJSON(nil)); size > MaxDocument {
			f.restore(before)
			f.changes, f.result.Events = nil, f.result.Events[:told]
			f.invalid(overLimit(size))
			return
		}
	}
	f.changed(growth)
}

// stamps is about how many bytes the event's changes take beside their values: a path
// and who made it, for each field that is written. What rules copy of the profile
// itself may be as large as that.
func (f *Fold) stamps() (size int) {
	each := len(f.event.ID) + stampRoom
	if f.event.Type == "identify" {
		for name := range f.event.Traits.View() {
			size += len(name) + each
		}
	}
	if t := f.eventType; t != nil {
		for i := range t.Copy {
			if size += len(t.Copy[i].Text) + each; t.Copy[i].OfProfile {
				size += f.result.Size
			}
		}
	}
	return size
}

// stampRoom is what a stamp takes beside its path and who made it.
const stampRoom = 40

// enter folds the event into the profile, which it makes where nobody has the id. What
// begins by that is told first, as a part of the same change.
func (f *Fold) enter() {
	born := f.Doc == nil
	if born {
		f.Doc = &record.Document{State: record.StateLive, Profile: sdk.NewProfile(f.Command.Profile, f.event.Received)}
	}
	f.event.Profile = f.Doc.Profile.ID
	f.identify()
	f.raise()
	if born {
		f.tellFirst(f.event.Received, "", record.TypeProfileCreated, nil)
	}
	f.attend()
	f.follow()
}

// raise gives the profile its next revision.
func (f *Fold) raise() {
	p := f.Doc.Profile
	p.Revision++
	p.Updated = f.event.Received
}

// follow counts the event and does what the rules of its type want.
func (f *Fold) follow() {
	f.event.Profile = f.Doc.Profile.ID
	profile.CountEvent(f.Doc, &f.event, f.Rules.set.Kept(), f.event.Received)
	f.describe()
	if f.event.Type == "identify" {
		f.adoptTraits()
	}
	if consent.Tells(f.event.Type) {
		f.adoptConsents()
	}
	if f.eventType != nil {
		f.move(f.journey())
		f.copy()
	}
}

// identify enters the identifiers of the event into the profile: those whose keys
// it holds.
func (f *Fold) identify() {
	p := f.Doc.Profile
	for i := range f.Claims {
		c := &f.Claims[i]
		if c.Kind == record.KindSessionID || c.Kind == record.KindFingerprint || slices.Contains(p.Identities[c.Kind], c.Value) || c.Holder != p.ID {
			continue
		}
		p.Identities[c.Kind] = append(p.Identities[c.Kind], c.Value)
		f.change(sdk.Path{"identities", c.Kind}.String(), p.Identities[c.Kind])
		if path := f.Rules.fields[c.Kind]; path != nil {
			f.problem(f.write(path, path.String(), config.OpSet, c.Value))
		}
	}
}

// write changes one place of the profile, whose path is also given as text, unless it
// says what came later.
func (f *Fold) write(path sdk.Path, text string, op config.Op, operand any) error {
	at := f.happened()
	replaces := op == config.OpSet || op == config.OpDelete
	if replaces && profile.Superseded(f.Doc, path, text, at) {
		return nil
	}
	switch operand.(type) {
	case map[string]any, []any:
		// What was copied of the profile may be nested deeper than any event: what
		// could not be read again would stop its partition.
		if err := profile.Storable(operand, profile.MaxDepth-len(path)); err != nil {
			return err
		}
	}
	v, changed, err := profile.Change(f.Doc.Profile, path, op, operand)
	if err != nil {
		return err
	}
	if changed {
		f.change(text, v)
	}
	if changed || replaces {
		profile.Stamp(f.Doc, text, at, f.event.ID)
	}
	return nil
}

// change notes what a place of the profile has become.
func (f *Fold) change(path string, v any) {
	if f.changes == nil {
		f.changes = map[string]any{}
	}
	f.changes[path] = v
}

// adoptTraits sets an identify event's traits on the profile.
func (f *Fold) adoptTraits() {
	for name, v := range f.event.Traits.View() {
		path := sdk.Path{"traits", name}
		f.problem(f.write(path, path.String(), config.OpSet, sdk.Clone(v)))
	}
}

// emit sends the event on and answers who waits for it.
func (f *Fold) emit() {
	c := f.Command
	sent := f.processed(c.Hops, len(c.Event.Properties)+len(c.Event.Context))
	if c.Flows && c.Reply != "" && f.event.Valid {
		sent.Reply = record.FlowsReply(c.Reply)
	}
	f.result.Own = len(f.result.Events)
	f.result.Events = append(f.result.Events, sent)
	if c.Reply == "" {
		return
	}
	o := &record.Outcome{
		Status: record.StatusAccepted, Profile: f.event.Profile, Session: f.event.Session,
		Valid: f.event.Valid, Errors: f.event.Errors,
	}
	if f.event.Profile != "" {
		o.Revision = f.Doc.Profile.Revision
	}
	f.result.Outcome = o
}

// processed is what EVENTS carries of the event; room is about how many bytes it takes.
func (f *Fold) processed(hops uint8, room int) record.Processed {
	out := record.ProcessedEvent{
		Event: f.event, Config: f.Rules.set.Revision(), Changes: f.changes, Aside: f.aside,
		Transient: f.transient, TransientSession: f.transientSession,
	}
	if !f.event.Valid {
		out.Sender = f.Command.Profile
	}
	if f.event.Profile != "" {
		out.Revision = f.Doc.Profile.Revision
		if f.event.Session != "" {
			if s := f.Doc.Find(f.event.Session); s != nil {
				out.Session = &s.Session
			}
		}
	}
	return record.Processed{Type: f.event.Type, Data: out.AppendJSON(make([]byte, 0, 512+room)), Hops: hops}
}
