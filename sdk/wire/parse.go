package wire

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseCall decodes a call. Names that it does not know are skipped, so that a
// newer core can say more. The raw fields are parts of the text, which must not
// change afterwards.
func ParseCall(text []byte) (*Call, error) {
	// Names within a document are not compared: the core has done so, and a
	// profile has many.
	p := newParser(text, jsontext.AllowDuplicateNames(true))
	defer p.free()
	c := &Call{}
	for p.enter('{'); p.more('}'); {
		switch string(p.name()) {
		case `"id"`:
			c.ID = p.str("id")
		case `"attempt"`:
			c.Attempt = int(p.integer("attempt", 1<<31-1))
		case `"timeout"`:
			c.Timeout = time.Duration(p.integer("timeout", int64(MaxTimeout/time.Millisecond))) * time.Millisecond
		case `"flow"`:
			c.Flow = p.str("flow")
		case `"node"`:
			c.Node = p.str("node")
		case `"run"`:
			c.Run = p.str("run")
		case `"config"`:
			c.Config = p.object("config")
		case `"payload"`:
			c.Payload = p.raw()
		case `"event"`:
			c.Event = p.object("event")
		case `"profile"`:
			c.Profile = p.object("profile")
		case `"session"`:
			c.Session = p.object("session")
		default:
			p.skip()
		}
	}
	p.end()
	switch {
	case p.err != nil:
	case c.ID == "":
		p.err = errors.New("it has no id")
	case len(c.ID) > MaxID:
		p.err = fmt.Errorf("its id has more than %d bytes", MaxID)
	}
	if p.err != nil {
		return nil, fmt.Errorf("malformed call: %w", p.err)
	}
	return c, nil
}

// ParseReply decodes a reply and holds it to the limits. Names that it does not
// know are skipped. The raw fields are parts of the text, which must not change
// afterwards.
func ParseReply(text []byte) (*Reply, error) {
	if len(text) > MaxReply {
		return nil, fmt.Errorf("the reply has %d bytes, more than %d", len(text), MaxReply)
	}
	p := newParser(text)
	defer p.free()
	r := &Reply{}
	for p.enter('{'); p.more('}'); {
		switch string(p.name()) {
		case `"id"`:
			r.ID = p.str("id")
		case `"port"`:
			r.Port = p.str("port")
		case `"payload"`:
			r.Payload = p.raw()
		case `"patches"`:
			r.Patches = p.patches()
		case `"events"`:
			r.Events = p.events()
		case `"error"`:
			r.Error = p.failure()
		default:
			p.skip()
		}
	}
	p.end()
	if p.err == nil {
		p.err = r.check()
	}
	if p.err != nil {
		return nil, fmt.Errorf("malformed reply: %w", p.err)
	}
	return r, nil
}

// check holds what the fields say together.
func (r *Reply) check() error {
	switch {
	case r.Error == nil && r.Port == "":
		return errors.New("it has neither a port nor an error")
	case r.Error != nil && (r.Port != "" || len(r.Patches) > 0 || len(r.Events) > 0):
		return errors.New("it has an error, and a port, patches or events beside it")
	}
	return nil
}

func (p *parser) patches() []Patch {
	var list []Patch
	for p.enter('['); p.more(']'); {
		if len(list) == MaxPatches {
			p.fail(fmt.Errorf("it has more than %d patches", MaxPatches))
			break
		}
		patch := p.patch()
		if p.err == nil {
			if err := patch.Check(); err != nil {
				p.fail(fmt.Errorf("patch %d: %w", len(list), err))
			}
		}
		list = append(list, patch)
	}
	return list
}

func (p *parser) patch() (patch Patch) {
	for p.enter('{'); p.more('}'); {
		switch string(p.name()) {
		case `"op"`:
			patch.Op = Op(p.str("op"))
		case `"path"`:
			patch.Path = p.str("path")
		case `"value"`:
			patch.Value = p.value() // null is a value
		default:
			p.skip()
		}
	}
	return patch
}

func (p *parser) events() []Event {
	var list []Event
	for p.enter('['); p.more(']'); {
		if len(list) == MaxEvents {
			p.fail(fmt.Errorf("it has more than %d events", MaxEvents))
			break
		}
		event := p.event()
		if p.err == nil {
			if err := event.Check(); err != nil {
				p.fail(fmt.Errorf("event %d: %w", len(list), err))
			}
		}
		list = append(list, event)
	}
	return list
}

func (p *parser) event() (e Event) {
	for p.enter('{'); p.more('}'); {
		switch string(p.name()) {
		case `"type"`:
			e.Type = p.str("type")
		case `"properties"`:
			e.Properties = p.object("properties")
		case `"traits"`:
			e.Traits = p.object("traits")
		case `"context"`:
			e.Context = p.object("context")
		default:
			p.skip()
		}
	}
	return e
}

func (p *parser) failure() *Error {
	if p.null() {
		return nil
	}
	e := &Error{}
	for p.enter('{'); p.more('}'); {
		switch string(p.name()) {
		case `"message"`:
			e.Message = p.str("error.message")
		case `"temporary"`:
			e.Temporary = p.boolean("error.temporary")
		default:
			p.skip()
		}
	}
	if e.Message == "" {
		e.Message = "the action failed and did not say why"
	}
	return e
}
