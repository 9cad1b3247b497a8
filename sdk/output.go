package sdk

import (
	"fmt"
	"strings"

	"github.com/tributary-bus/tributary/sdk/wire"
)

// An Output is what an action answers: the port on which the run goes on, the
// payload for the nodes behind it, changes to the profile and events to send.
// [Reply] begins one; its methods add to it and return it.
//
// Nothing of it has happened when the action returns. The changes are seen by
// the run's next nodes at once, and are made for good, all in one, when the run
// ends or pauses. The zero Output leads to the action's only port.
type Output struct{ body *outputBody }

type outputBody struct {
	port    string
	payload any
	patches []wire.Patch
	events  []wire.Event
	err     error // the first mistake in what was added
}

// Reply begins an output: the port, and a payload that can be written as JSON,
// or nil. Where the action has one port, the port may be left empty.
func Reply(port string, payload any) Output {
	return Output{&outputBody{port: port, payload: payload}}
}

// Set sets a place of the profile, such as "traits.vip".
func (o Output) Set(path string, value any) Output { return o.patch(wire.OpSet, path, value) }

// SetIfMissing sets a place where there is nothing or null.
func (o Output) SetIfMissing(path string, value any) Output {
	return o.patch(wire.OpSetIfMissing, path, value)
}

// Increment adds a number to a place, exactly: 0.1 and 0.2 are 0.3. Nothing
// there counts as 0.
func (o Output) Increment(path string, by any) Output { return o.patch(wire.OpIncrement, path, by) }

// Decrement subtracts a number from a place.
func (o Output) Decrement(path string, by any) Output { return o.patch(wire.OpDecrement, path, by) }

// Append adds a value, or the elements of a list, to the list at a place: those
// that it lacks.
func (o Output) Append(path string, value any) Output { return o.patch(wire.OpAppend, path, value) }

// Remove takes a value, or the elements of a list, out of the list at a place.
func (o Output) Remove(path string, value any) Output { return o.patch(wire.OpRemove, path, value) }

// Delete removes a place.
func (o Output) Delete(path string) Output { return o.patch(wire.OpDelete, path, nil) }

// Enter puts the profile into a segment, by the segment's id.
func (o Output) Enter(segment string) Output {
	return o.patch(wire.OpEnter, Path{"segments", segment}.String(), nil)
}

// Leave takes the profile out of a segment.
func (o Output) Leave(segment string) Output {
	return o.patch(wire.OpLeave, Path{"segments", segment}.String(), nil)
}

// Emit sends an event about the same profile. Its properties are an object, or nil.
func (o Output) Emit(eventType string, properties any) Output {
	return o.EmitEvent(Emitted{Type: eventType, Properties: properties})
}

// An Emitted is an event that an action sends. What is not its type is an
// object, such as a map or a struct, or nil.
type Emitted struct {
	Type       string // 1–128 characters
	Properties any
	Traits     any
	Context    any
}

// EmitEvent sends an event about the same profile.
func (o Output) EmitEvent(e Emitted) Output {
	o = o.begun()
	event := wire.Event{Type: e.Type}
	err := event.Check()
	if err == nil {
		event.Properties, err = encodeObject("properties", e.Properties)
	}
	if err == nil {
		event.Traits, err = encodeObject("traits", e.Traits)
	}
	if err == nil {
		event.Context, err = encodeObject("context", e.Context)
	}
	if err != nil {
		o.body.fail(fmt.Errorf("emit %q: %w", e.Type, err))
		return o
	}
	o.body.events = append(o.body.events, event)
	return o
}

// String shows the output, a line each for the reply, its changes and its
// events, for tests and logs.
func (o Output) String() string {
	b := o.begun().body
	if b.err != nil {
		return b.err.Error()
	}
	text := b.port + " " + string(ViewOf(b.payload).Raw())
	for _, p := range b.patches {
		text += strings.TrimRight(fmt.Sprintf("\n%s %s %s", p.Op, p.Path, string(p.Value)), " ")
	}
	for _, e := range b.events {
		text += strings.TrimRight(fmt.Sprintf("\nemit %s %s", e.Type, string(e.Properties)), " ")
	}
	return text
}

func (o Output) begun() Output {
	if o.body == nil {
		o.body = &outputBody{}
	}
	return o
}

func (o Output) patch(op wire.Op, path string, value any) Output {
	o = o.begun()
	p := wire.Patch{Op: op, Path: path}
	_, err := ParsePath(path)
	if err == nil && op != wire.OpDelete && op != wire.OpEnter && op != wire.OpLeave {
		if p.Value, err = encodeValue(value); err == nil && len(p.Value) == 0 {
			p.Value = []byte("null")
		}
	}
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		o.body.fail(fmt.Errorf("%s %s: %w", op, path, err))
		return o
	}
	o.body.patches = append(o.body.patches, p)
	return o
}

func (b *outputBody) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func encodeObject(name string, v any) ([]byte, error) {
	text, err := encodeValue(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch kind := text.Kind(); {
	case len(text) == 0 || kind == 'n':
		return nil, nil
	case kind != '{':
		return nil, fmt.Errorf("the %s must be an object", name)
	}
	return text, nil
}

// reply fills in what is answered; the ports are those of the action.
func (o Output) reply(r *wire.Reply, ports []string) error {
	o = o.begun()
	b := o.body
	switch {
	case b.err != nil:
		return b.err
	case len(b.patches) > wire.MaxPatches:
		return fmt.Errorf("%d changes to the profile are more than %d", len(b.patches), wire.MaxPatches)
	case len(b.events) > wire.MaxEvents:
		return fmt.Errorf("%d events are more than %d", len(b.events), wire.MaxEvents)
	}
	port, err := choosePort(b.port, ports)
	if err != nil {
		return err
	}
	payload, err := encodeValue(b.payload)
	if err != nil {
		return fmt.Errorf("the payload: %w", err)
	}
	r.Port, r.Payload, r.Patches, r.Events = port, payload, b.patches, b.events
	return nil
}

func choosePort(port string, ports []string) (string, error) {
	if port == "" && len(ports) == 1 {
		return ports[0], nil
	}
	for _, p := range ports {
		if p == port {
			return port, nil
		}
	}
	if port == "" {
		return "", fmt.Errorf("the action named no port; it has %s", quotedList(ports))
	}
	return "", fmt.Errorf("the action has no port %q; it has %s", port, quotedList(ports))
}
