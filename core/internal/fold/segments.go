package fold

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// What becomes of a profile is told by system events: they are folded into it and
// sent by the commit that made it so, each once, however often that is repeated.

// systemEvents is the name space of the ids of system events.
var systemEvents = uuid.MustParse("5b0c7a52-7a0e-5d0b-9c55-3d5c1f6c8e17")

// tell sends a system event about the profile, with what else tells it from others
// that the same command causes. It is a change of its own.
func (f *Fold) tell(kind string, properties []byte) {
	f.tellOf(f.Command.Received, "", kind, properties)
}

// tellOf does so of what happened at a time, to a session where one is named.
func (f *Fold) tellOf(at time.Time, session, kind string, properties []byte) {
	kept := f.application
	f.about(at, session, kind, properties)
	growth := 512 + len(properties) + f.made
	if !f.full { // looked at once: a command may have thousands of events
		_, f.full = f.guard(growth)
	}
	if f.full {
		f.event.Profile = f.Doc.Profile.ID
		f.annotate()
		f.invalid(overLimit(f.result.Size + growth))
	} else {
		f.raise()
		f.follow()
		f.changed(growth)
	}
	hops := f.Command.Hops
	if f.Command.Kind == record.KindPatch {
		hops++
	}
	f.result.Events = append(f.result.Events, f.processed(hops, len(properties)))
	f.application = kept
}

// tellFirst sends a system event before the event at hand, of whose change it is a
// part: it has no revision of its own. It is stored where that event is; the end of a
// visit, which is about what came before, where its session is.
func (f *Fold) tellFirst(at time.Time, session, kind string, properties []byte) {
	kept := f.application
	f.about(at, session, kind, properties)
	if kind != record.TypeVisitEnded {
		f.transient, f.transientSession = kept.transient, kept.transientSession
	}
	f.follow()
	f.result.Events = append(f.result.Events, f.processed(f.Command.Hops, len(properties)))
	f.application = kept
}

// about takes up a system event about the profile. What it says of a session is stored
// where the session is.
func (f *Fold) about(at time.Time, session, kind string, properties []byte) {
	f.application = application{event: systemEvent(f.Command, kind, properties)}
	f.event.Time, f.event.Session = at, session
	if s := f.Doc.Find(session); s != nil {
		f.transientSession = s.Transient
	}
	f.findType()
	f.hold()
}

// systemEvent is the event that says what a command did: the same one however often
// it is made, and another one than those of other commands.
func systemEvent(c *record.Command, kind string, properties []byte) sdk.Event {
	name := append(append(c.ID[:len(c.ID):len(c.ID)], kind...), properties...)
	return sdk.Event{
		ID: uuid.NewSHA1(systemEvents, name).String(), Type: kind, Source: record.SourceSystem,
		Time: c.Received, Received: c.Received, Properties: sdk.RawObject(properties), Valid: true,
	}
}

// crossed tells which segments a profile has left and which it has entered, each
// list sorted. What it has within a segment does not count.
func crossed(before, after map[string]any) (left, entered []string) {
	for id := range before {
		if _, still := after[id]; !still {
			left = append(left, id)
		}
	}
	for id := range after {
		if _, already := before[id]; !already {
			entered = append(entered, id)
		}
	}
	slices.Sort(left)
	slices.Sort(entered)
	return left, entered
}

// segmentsBefore are those that the profile is in, to be compared with those that
// it is in after the patch; nil where the patch names none.
func segmentsBefore(doc *record.Document, p *record.Patch) map[string]any {
	names := slices.ContainsFunc(p.Patches, func(one wire.Patch) bool { return one.Op == wire.OpEnter || one.Op == wire.OpLeave })
	if !names || doc == nil {
		return nil
	}
	before := make(map[string]any, len(doc.Profile.Segments))
	maps.Copy(before, doc.Profile.Segments)
	return before
}

// tellSegments sends the events of what the command changed of the profile's
// segments, given those before; nil where it could not change any.
func (f *Fold) tellSegments(before map[string]any) {
	if before == nil {
		return
	}
	left, entered := crossed(before, f.Doc.Profile.Segments)
	for _, id := range left {
		f.tell(record.TypeSegmentLeft, segmentProperties(id))
	}
	for _, id := range entered {
		f.tell(record.TypeSegmentEntered, segmentProperties(id))
	}
}

func segmentProperties(segment string) []byte {
	return append(sdk.AppendString([]byte(`{"segment":`), segment), '}')
}

// mergedProperties are those of the event that a profile was merged into another.
func mergedProperties(from string, trimmed []string) []byte {
	p := sdk.AppendString([]byte(`{"from":`), from)
	if len(trimmed) > 0 {
		p = append(p, `,"trimmed":`...)
		p = sdk.AppendValue(p, trimmed)
	}
	return append(p, '}')
}
