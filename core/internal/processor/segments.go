package processor

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A commit that changes which segments a profile is in also sends the system
// events that say so: each once, however often the commit is repeated. Only
// patches change them; an event's own rules cannot.

// systemEvents is the name space of the ids of system events.
var systemEvents = uuid.MustParse("5b0c7a52-7a0e-5d0b-9c55-3d5c1f6c8e17")

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
func segmentsBefore(e *entry, p *record.Patch) map[string]any {
	names := slices.ContainsFunc(p.Patches, func(one wire.Patch) bool { return one.Op == wire.OpEnter || one.Op == wire.OpLeave })
	if !names || e.doc == nil {
		return nil
	}
	before := make(map[string]any, len(e.doc.Profile.Segments))
	maps.Copy(before, e.doc.Profile.Segments)
	return before
}

// tellSegments sends the events of what the command changed of the profile's
// segments, given those before; nil where it could not change any.
func (b *batch) tellSegments(c *record.Command, e *entry, before map[string]any) {
	if before == nil {
		return
	}
	left, entered := crossed(before, e.doc.Profile.Segments)
	for _, id := range left {
		b.cause(c, segmentEvent(c, record.TypeSegmentLeft, id))
	}
	for _, id := range entered {
		b.cause(c, segmentEvent(c, record.TypeSegmentEntered, id))
	}
}

// segmentEvent is the event that says what a command did: the same event however
// often it is made.
func segmentEvent(c *record.Command, kind, segment string) *record.Event {
	name := append(append(c.ID[:len(c.ID):len(c.ID)], kind...), segment...)
	return &record.Event{
		ID: uuid.NewSHA1(systemEvents, name).String(), Type: kind, Source: record.SourceSystem, Time: c.Received,
		Properties: append(sdk.AppendString([]byte(`{"segment":`), segment), '}'),
	}
}
