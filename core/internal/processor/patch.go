package processor

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// patch folds what a flow's run, or a plugin, wants of a profile: the profile
// is changed and the events are sent by the same commit, once however often the
// command comes.
//
// Who waits gets an outcome that is not valid, with the reason, where the
// command as a whole came to nothing.
func (b *batch) patch(it *item) error {
	c := &it.Command
	if c.Hops > record.MaxHops {
		return b.refuse(it, tooManyHops)
	}
	p, err := record.ParsePatch(c.Body)
	if err != nil {
		return b.refuse(it, err.Error())
	}
	e, err := b.load(c.Profile)
	if err != nil {
		return err
	}
	fresh, err := b.reserve(c)
	if err != nil {
		return fmt.Errorf("look up a patch by %s: %w", p.By, err)
	}
	if !fresh {
		b.repeated(c, profileOf(e))
		return nil
	}
	if c.Profile != "" && e.doc == nil {
		b.node.metrics.nobody.Inc()
		b.reply(c, refused("nobody has the profile"))
		return nil
	}
	before := segmentsBefore(e, p)
	if tooLarge, err := b.change(c, e, p); tooLarge != nil || err != nil {
		if err != nil {
			return err
		}
		b.withdraw(c)
		return b.refuse(it, fmt.Sprintf("%s: %s", p.By, tooLarge[0].Message))
	}
	b.tellSegments(c, e, before)
	b.send(c, p)
	b.node.metrics.patches.Inc()
	o := &record.Outcome{Status: record.StatusAccepted, Profile: profileOf(e), Valid: true}
	if e.doc != nil {
		o.Revision = e.doc.Profile.Revision
	}
	b.reply(c, o)
	return nil
}

// reserve enters the command's id among those that the commit has seen; false
// where it was seen before.
func (b *batch) reserve(c *record.Command) (fresh bool, err error) {
	if fresh, err = b.node.seen.Reserve(c.ID); fresh && err == nil {
		b.commit.Seen = append(b.commit.Seen, c.ID)
	}
	return fresh, err
}

// withdraw takes back the id that was reserved last: the command was not applied.
func (b *batch) withdraw(c *record.Command) {
	b.commit.Seen = b.commit.Seen[:len(b.commit.Seen)-1]
	b.node.seen.Release([]record.ID{c.ID})
}

// change does the patches to the profile. One that does not fit it is left out.
// If they would make the profile too large none is done, and tooLarge says so.
func (b *batch) change(c *record.Command, e *entry, p *record.Patch) (tooLarge []sdk.FieldError, err error) {
	growth := 2*len(c.Body) + 512 // an object is longer than its name in a path
	before, tight := e.guard(growth)
	changed := false
	var problems []error
	for i := range p.Patches {
		if e.doc == nil {
			problems = append(problems, fmt.Errorf("%s: patch %d: there is no profile", p.By, i))
			continue
		}
		did, err := profile.Apply(e.doc.Profile, p.Patches[i], c.Received)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: patch %d: %w", p.By, i, err))
		}
		changed = changed || did
	}
	if tight && changed {
		// With a revision that may be a digit longer.
		if size := len(e.doc.AppendJSON(nil)) + 1; size > maxDocument {
			return overLimit(size), b.restore(e, before)
		}
	}
	b.node.report("a patch does not fit its profile", problems)
	if changed {
		e.doc.Profile.Revision++
		if c.Received.After(e.doc.Profile.Updated) {
			e.doc.Profile.Updated = c.Received
		}
		e.size += growth
		b.touch(c.Profile, e)
	}
	return nil, nil
}

// send makes a command of each event of a patch.
func (b *batch) send(c *record.Command, p *record.Patch) {
	for i := range p.Events {
		e := &p.Events[i]
		if err := sendable(e); err != nil {
			b.node.report("an event of a patch cannot be sent", []error{fmt.Errorf("%s: event %d: %w", p.By, i, err)})
			continue
		}
		e.ProfileLess = c.Profile == ""
		if e.Time.IsZero() {
			e.Time = c.Received
		}
		b.cause(c, e)
	}
}

// cause makes a command of an event that a command sends. It is about the profile
// of that one, whoever it is by now identified by, and comes after it.
func (b *batch) cause(c *record.Command, e *record.Event) {
	partition := b.number
	if c.Profile != "" {
		partition = b.node.bus.Partition(c.Profile)
	}
	next := record.Command{
		Kind: record.KindEvent, ID: record.EventID(e.Source, e.ID), Profile: c.Profile,
		Hops: c.Hops + 1, Settled: true, Received: c.Received, Event: e,
	}
	data := record.AppendCommand(nil, &next)
	b.commit.Commands = append(b.commit.Commands, record.Routed{Partition: partition, Command: data})
	b.weight += len(data)
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

// refuse sets a command aside and tells who waits for it.
func (b *batch) refuse(it *item, reason string) error {
	if err := b.node.deadLetter(b.ctx, it, reason); err != nil {
		return err
	}
	b.reply(&it.Command, refused(reason))
	return nil
}

// refused is the outcome of a command that came to nothing.
func refused(reason string) *record.Outcome {
	return &record.Outcome{
		Status: record.StatusAccepted, Errors: []sdk.FieldError{{Path: "command", Message: reason}},
	}
}

// tooManyHops is why commands that set each other off come to an end.
var tooManyHops = fmt.Sprintf("more than %d commands caused one another; look for flows that set each other off", record.MaxHops)
