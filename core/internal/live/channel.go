package live

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// The kinds of channels.
const (
	kindEvents  = "events"
	kindProfile = "profile"
	kindSegment = "segment"
	kindFlow    = "flow"
	kindSystem  = "system"
)

// A Channel is what can be subscribed to.
type Channel struct {
	kind, id string
}

// Names is how channels are written, for messages.
const Names = "events, profile:<id>, segment:<id>, flow:<id> or system"

// maxChannelID bounds the id in a channel's name, in bytes.
const maxChannelID = 256

// ParseChannel reads a channel's name. Its error is for whoever sent the name.
func ParseChannel(name string) (Channel, error) {
	kind, id, has := strings.Cut(name, ":")
	switch {
	case name == kindEvents, name == kindSystem:
		return Channel{kind: name}, nil
	case !has || kind != kindProfile && kind != kindSegment && kind != kindFlow:
		return Channel{}, fmt.Errorf("there is no such channel; want %s", Names)
	case id == "" || len(id) > maxChannelID:
		return Channel{}, fmt.Errorf("%s: needs an id of at most %d bytes", kind, maxChannelID)
	}
	return Channel{kind, id}, nil
}

// String is the channel's name.
func (c Channel) String() string {
	if c.id == "" {
		return c.kind
	}
	return c.kind + ":" + c.id
}

// Filters tells whether subscriptions to the channel may have a filter.
func (c Channel) Filters() bool { return c.kind == kindEvents || c.kind == kindSegment }

// segmentChanges are the types of the events that say that a profile has
// entered or left a segment, and what is told of them.
var segmentChanges = map[string]string{record.TypeSegmentEntered: "entered", record.TypeSegmentLeft: "left"}

// carries tells whether the channel has the event. That of a segment has only what
// the product says: anybody may send an event of the same type.
func (c Channel) carries(e *bus.StoredEvent, text *texts) bool {
	if c.kind == kindEvents {
		return true
	}
	if segmentChanges[e.Type] == "" {
		return false
	}
	event := text.event(e)
	source, _ := event.String("source")
	id, _ := event.String("properties.segment")
	return source == record.SourceSystem && id == c.id
}

// push is the frame that carries an event on the channel.
func (c Channel) push(e *bus.StoredEvent, text *texts) []byte {
	if c.kind == kindEvents {
		return pushFrame(c, e.Seq, text.event(e).Raw())
	}
	event := text.event(e)
	data := append([]byte(`{"segment":`), sdk.AppendString(nil, c.id)...)
	data = append(data, `,"change":"`...)
	data = append(data, segmentChanges[e.Type]...)
	data = append(data, `","profile":`...)
	data = append(data, event.Member("profile").Raw()...)
	data = append(data, `,"time":`...)
	data = append(data, event.Member("time").Raw()...)
	return pushFrame(c, e.Seq, append(data, '}'))
}

// pushFrame is a push of the contract:
//
//	{"push":{"channel":"events","offset":13,"data":{…}}}
func pushFrame(c Channel, offset uint64, data []byte) []byte {
	name := c.String()
	dst := make([]byte, 0, len(data)+len(name)+64)
	dst = append(dst, `{"push":{"channel":`...)
	dst = sdk.AppendString(dst, name)
	dst = append(dst, `,"offset":`...)
	dst = sdk.AppendValue(dst, offset)
	dst = append(dst, `,"data":`...)
	dst = append(dst, data...)
	return append(dst, `}}`...)
}

// texts are the parts of one event's text, each looked for once.
type texts struct {
	of    uint64
	whole sdk.View
	text  sdk.View
}

func (t *texts) event(e *bus.StoredEvent) sdk.View {
	if t.of != e.Seq || t.whole.IsNull() {
		t.of, t.whole = e.Seq, sdk.RawView(e.Data)
		t.text = t.whole.Member("event")
	}
	return t.text
}

func (t *texts) session(e *bus.StoredEvent) sdk.View {
	t.event(e)
	return t.whole.Member("session")
}

// PushOf takes a push apart: its offset, in digits, and its data. ok is false
// for any other frame.
func PushOf(frame []byte) (offset, data []byte, ok bool) {
	// A channel's name is the only text before them, in which quotes are escaped.
	_, rest, ok := bytes.Cut(frame, []byte(`","offset":`))
	if !ok || !bytes.HasPrefix(frame, []byte(`{"push":{`)) {
		return nil, nil, false
	}
	offset, data, ok = bytes.Cut(rest, []byte(`,"data":`))
	return offset, bytes.TrimSuffix(data, []byte(`}}`)), ok
}
